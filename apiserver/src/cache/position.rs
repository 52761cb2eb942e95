//! How far the watches are. Moves only after everything up to it has been published.

use std::time::Duration;

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
    wanted: [watch::Sender<u64>; 3],
    main_wanted: Notify,
    events_wanted: Notify,
}

impl Default for Positions {
    fn default() -> Self {
        let channel = || watch::channel(0).0;
        Self {
            lanes: [channel(), channel(), channel()],
            wanted: [channel(), channel(), channel()],
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
    // Cancel-safe: nothing is consumed.
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
        self.wanted[lane.number()].send_if_modified(|wanted| {
            let more = revision > *wanted;
            if more {
                *wanted = revision;
            }
            more
        });
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
        *self.wanted[lane.number()].borrow() > self.get(lane)
    }

    /// Forgets a wish that no progress can fulfil, such as a revision from the far future.
    pub fn forget_wish(&self, lane: Lane) {
        self.wanted[lane.number()].send_replace(0);
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
        assert!(positions.is_wanted(Lane::Behind));
        positions.advance(Lane::Behind, 6);
        assert!(!positions.is_wanted(Lane::Behind));
    }
}
