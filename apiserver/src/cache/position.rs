//! How far the watches are. Moves only after everything up to it has been published.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

/// The ranges that are watched. A kind lies wholly in one of them, so its order holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Keys before the events.
    Before,
    /// Keys behind the events.
    Behind,
    /// The events themselves, on a stream of their own.
    Events,
}

impl Lane {
    /// All lanes in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Before, Self::Behind, Self::Events];

    /// The lane's number, which is also its watch id.
    pub fn number(self) -> usize {
        match self {
            Self::Before => 0,
            Self::Behind => 1,
            Self::Events => 2,
        }
    }
}

/// A reader waited longer than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFarBehind {
    /// Where the lane is.
    pub current: u64,
}

/// The positions of all lanes, and who waits for them.
#[derive(Debug)]
pub struct Positions {
    lanes: [watch::Sender<u64>; 3],
    wanted: [Wanted; 3],
    main_wanted: Notify,
    events_wanted: Notify,
}

/// The revisions that readers wait for, each with the number of its readers. Bounded by the
/// requests in flight.
type Wanted = Mutex<BTreeMap<u64, usize>>;

/// A reader's wish, which lasts as long as the reader waits: one for a revision from the far future
/// ends with its reader and takes no other reader's wish along.
struct Wish<'a> {
    wanted: &'a Wanted,
    revision: u64,
}

impl<'a> Wish<'a> {
    fn new(wanted: &'a Wanted, revision: u64) -> Self {
        *wanted.lock().entry(revision).or_default() += 1;
        Self { wanted, revision }
    }
}

impl Drop for Wish<'_> {
    fn drop(&mut self) {
        let mut wanted = self.wanted.lock();
        if let Some(readers) = wanted.get_mut(&self.revision) {
            *readers -= 1;
            if *readers == 0 {
                wanted.remove(&self.revision);
            }
        }
    }
}

impl Default for Positions {
    fn default() -> Self {
        let channel = || watch::channel(0).0;
        Self {
            lanes: [channel(), channel(), channel()],
            wanted: Default::default(),
            main_wanted: Notify::new(),
            events_wanted: Notify::new(),
        }
    }
}

impl Positions {
    /// The lane's position: everything up to it is published.
    pub fn get(&self, lane: Lane) -> u64 {
        *self.lanes[lane.number()].borrow()
    }

    /// Moves a lane on. It never goes back.
    // Invariant: called by the one task that publishes the lane, after publishing.
    pub fn advance(&self, lane: Lane, revision: u64) {
        self.lanes[lane.number()].send_if_modified(|position| {
            let moves = revision > *position;
            if moves {
                *position = revision;
            }
            moves
        });
    }

    /// Waits until the lane has reached `revision`, at most `limit`. Asks the store for its
    /// progress at once, since a change outside the lane moves the revision but not the lane.
    // Cancel-safe: nothing is consumed, and the wish goes with the future.
    pub async fn reach(
        &self,
        lane: Lane,
        revision: u64,
        limit: Duration,
    ) -> Result<(), TooFarBehind> {
        let mut position = self.lanes[lane.number()].subscribe();
        if *position.borrow_and_update() >= revision {
            return Ok(());
        }
        let _wish = Wish::new(&self.wanted[lane.number()], revision);
        self.notify(lane).notify_one();
        let reached = tokio::time::timeout(limit, position.wait_for(|at| *at >= revision)).await;
        match reached {
            Ok(Ok(_)) => Ok(()),
            // The sender lives as long as `self`, so only time runs out.
            Ok(Err(_)) | Err(_) => Err(TooFarBehind {
                current: self.get(lane),
            }),
        }
    }

    /// Whether someone waits for more than the lane has.
    pub fn is_wanted(&self, lane: Lane) -> bool {
        let position = self.get(lane);
        let wanted = self.wanted[lane.number()].lock();
        wanted
            .last_key_value()
            .is_some_and(|(revision, _)| *revision > position)
    }

    /// Told when someone begins to wait for the lane.
    pub fn notify(&self, lane: Lane) -> &Notify {
        match lane {
            Lane::Before | Lane::Behind => &self.main_wanted,
            Lane::Events => &self.events_wanted,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt as _;

    use super::{Lane, Positions, TooFarBehind};

    #[tokio::test]
    async fn waits_for_its_own_lane() {
        let positions = Positions::default();
        positions.advance(Lane::Before, 5);
        positions.advance(Lane::Before, 3);
        assert_eq!(positions.get(Lane::Before), 5);
        let soon = Duration::from_millis(1);
        assert_eq!(positions.reach(Lane::Before, 5, soon).await, Ok(()));
        assert_eq!(
            positions.reach(Lane::Behind, 5, soon).await,
            Err(TooFarBehind { current: 0 })
        );
        let late = Duration::from_secs(60);
        let mut waiting = Box::pin(positions.reach(Lane::Behind, 6, late));
        assert_eq!(waiting.as_mut().now_or_never(), None);
        assert!(positions.is_wanted(Lane::Behind));
        positions.advance(Lane::Behind, 6);
        assert!(!positions.is_wanted(Lane::Behind));
        assert_eq!(waiting.await, Ok(()));
    }

    #[tokio::test]
    async fn a_wish_that_fails_takes_no_other_along() {
        let positions = Positions::default();
        let late = Duration::from_secs(60);
        let mut waiting = Box::pin(positions.reach(Lane::Before, 7, late));
        let mut same = Box::pin(positions.reach(Lane::Before, 7, late));
        assert_eq!(waiting.as_mut().now_or_never(), None);
        assert_eq!(same.as_mut().now_or_never(), None);
        // From the far future: never reached, and given up.
        let soon = Duration::from_millis(1);
        positions
            .reach(Lane::Before, u64::MAX, soon)
            .await
            .unwrap_err();
        assert!(positions.is_wanted(Lane::Before), "two still wait");
        drop(waiting);
        assert!(positions.is_wanted(Lane::Before), "one still waits");
        // A reader that goes away takes its wish along.
        drop(same);
        assert!(!positions.is_wanted(Lane::Before));
    }
}
