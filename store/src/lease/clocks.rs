//! The leader's timers: when each lease ends, and when what is left of a long one is to be kept in the
//! log. Pure: the time is an argument.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

/// Entries that a queue may hold for nothing before it is looked through.
const SLACK: usize = 1024;

/// One timer for each id.
#[derive(Default)]
pub(super) struct Timers {
    due: HashMap<i64, Instant>,
    /// Every id of `due` at least once, under its time or an earlier one.
    queue: BinaryHeap<Reverse<(Instant, i64)>>,
}

impl Timers {
    /// Sets a timer; one that is set moves.
    pub(super) fn set(&mut self, id: i64, due: Instant) {
        // A timer that moves forward in time is found under its old place; one that moves back is not.
        if self.due.insert(id, due).is_none_or(|before| due < before) {
            self.queue.push(Reverse((due, id)));
        }
    }

    /// When the timer is due.
    pub(super) fn get(&self, id: i64) -> Option<Instant> {
        self.due.get(&id).copied()
    }

    /// Takes what is due. It stays known, but rings no more until it is put back or set anew.
    pub(super) fn take(&mut self, now: Instant, max: usize) -> Vec<i64> {
        let mut taken = Vec::new();
        while taken.len() < max {
            let Some(Reverse((due, id))) = self.queue.peek().copied() else {
                break;
            };
            if due > now {
                break;
            }
            self.queue.pop();
            match self.due.get(&id) {
                Some(due) if *due > now => self.queue.push(Reverse((*due, id))),
                Some(_) => taken.push(id),
                None => {}
            }
        }
        taken
    }

    /// Lets what was taken ring again.
    pub(super) fn put_back(&mut self, id: i64) {
        if let Some(due) = self.due.get(&id) {
            self.queue.push(Reverse((*due, id)));
        }
    }

    /// Drops the timer.
    pub(super) fn forget(&mut self, id: i64) {
        if self.due.remove(&id).is_some() && self.queue.len() > 2 * self.due.len() + SLACK {
            self.sweep();
        }
    }

    /// Drops what the queue holds of timers that are gone, and of each other one all but the first
    /// entry: long leases that come and go would fill it otherwise.
    fn sweep(&mut self) {
        let mut entries = std::mem::take(&mut self.queue).into_vec();
        entries.retain(|Reverse((_, id))| self.due.contains_key(id));
        entries.sort_unstable_by_key(|Reverse((at, id))| (*id, *at));
        entries.dedup_by_key(|Reverse((_, id))| *id);
        self.queue = entries.into();
    }
}

/// Everything that a leader times; empty on a follower.
#[derive(Default)]
pub(super) struct Clocks {
    /// The term in which this member leads and has taken over all leases.
    pub(super) leading: Option<u64>,
    /// When leases end. They stay known until the revoke is through, so that a renewal that comes too late
    /// is told so.
    pub(super) ends: Timers,
    /// When what is left of a lease is to be kept.
    pub(super) checkpoints: Timers,
    /// Leases whose checkpoint is proposed, with no certain outcome yet.
    pub(super) in_doubt: HashSet<i64>,
}

impl Clocks {
    /// Starts a lease's time, or starts it anew. A lease that has longer to live than `checkpoint_every`
    /// is looked at again after that time.
    pub(super) fn start(
        &mut self,
        id: i64,
        now: Instant,
        end: Instant,
        checkpoint_every: Option<Duration>,
    ) {
        self.ends.set(id, end);
        match checkpoint_every {
            Some(every) if end > now + every => self.checkpoints.set(id, now + every),
            Some(_) | None => self.checkpoints.forget(id),
        }
    }

    /// The lease is gone.
    pub(super) fn forget(&mut self, id: i64) {
        self.ends.forget(id);
        self.checkpoints.forget(id);
        self.in_doubt.remove(&id);
    }

    /// How many leases there are.
    pub(super) fn len(&self) -> usize {
        self.ends.due.len()
    }

    /// Takes leases that are due for a checkpoint, with the seconds that they have left.
    pub(super) fn take_checkpoints(&mut self, now: Instant, max: usize) -> Vec<(i64, i64)> {
        let mut points = Vec::new();
        for id in self.checkpoints.take(now, max) {
            self.checkpoints.forget(id);
            let Some(end) = self.ends.get(id).filter(|end| *end > now) else {
                continue;
            };
            points.push((id, seconds_up(end - now)));
        }
        points
    }
}

/// Whole seconds, never fewer than there are.
fn seconds_up(left: Duration) -> i64 {
    let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

/// Moves ends later, and none earlier, so that at most `per_second` leases end within any second. After
/// a change of leader all of them may be due at once, and their revokes would hold up everything else.
pub(super) fn spread(ends: &mut [(Instant, i64)], per_second: usize) {
    ends.sort_unstable();
    for nth in per_second.max(1)..ends.len() {
        let earliest = ends[nth - per_second.max(1)].0 + Duration::from_secs(1);
        ends[nth].0 = ends[nth].0.max(earliest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_renewed_lease_expires_at_its_new_time() {
        let start = Instant::now();
        let at = |after| start + seconds(after);
        let mut ends = Timers::default();
        ends.set(1, at(10));
        ends.set(2, at(20));
        ends.set(1, at(30));
        assert!(ends.take(at(15), 10).is_empty());
        assert_eq!(ends.take(at(25), 10), [2]);
        // Not twice, until it is put back.
        assert!(ends.take(at(25), 10).is_empty());
        ends.put_back(2);
        assert_eq!(ends.take(at(25), 10), [2]);
        ends.forget(2);
        ends.put_back(2);
        assert_eq!(ends.take(at(40), 10), [1]);
    }

    #[test]
    fn so_many_at_once() {
        let now = Instant::now();
        let mut ends = Timers::default();
        (0..10).for_each(|id| ends.set(id, now));
        assert_eq!(ends.take(now, 4).len(), 4);
        assert_eq!(ends.take(now, 10).len(), 6);
    }

    #[test]
    fn a_timer_that_moves_back_rings_at_its_new_time() {
        let now = Instant::now();
        let mut timers = Timers::default();
        timers.set(1, now + seconds(10));
        timers.set(1, now + seconds(1));
        assert_eq!(timers.take(now + seconds(2), 10), [1]);
    }

    #[test]
    fn timers_that_come_and_go_leave_nothing_behind() {
        let now = Instant::now();
        let mut timers = Timers::default();
        timers.set(-1, now + seconds(1));
        for id in 0..100_000 {
            timers.set(id, now + seconds(1_000_000));
            timers.forget(id);
        }
        assert!(timers.queue.len() <= 2 * SLACK, "{}", timers.queue.len());
        // What was taken stays taken, and what is set rings once.
        assert_eq!(timers.take(now + seconds(2), 10), [-1]);
        timers.set(7, now + seconds(9));
        timers.set(7, now + seconds(3));
        timers.sweep();
        assert_eq!(timers.take(now + seconds(9), 10), [7]);
    }

    #[test]
    fn only_long_leases_are_checkpointed_and_a_renewal_postpones_it() {
        let start = Instant::now();
        let at = |after| start + seconds(after);
        let every = Some(seconds(5));
        let mut clocks = Clocks::default();
        clocks.start(1, at(0), at(60), every);
        clocks.start(2, at(0), at(5), every);
        clocks.start(3, at(0), at(60), None);
        assert!(clocks.take_checkpoints(at(4), 10).is_empty());
        clocks.start(1, at(4), at(64), every);
        assert!(clocks.take_checkpoints(at(8), 10).is_empty());
        assert_eq!(clocks.take_checkpoints(at(9), 10), [(1, 55)]);
        assert!(clocks.take_checkpoints(at(20), 10).is_empty());
        let half = at(9) + Duration::from_millis(500);
        clocks.start(4, half, half + seconds(20), every);
        assert_eq!(
            clocks.take_checkpoints(half + Duration::from_millis(5_500), 10),
            [(4, 15)],
            "rounded up: a lease must not lose time by a checkpoint"
        );
    }

    #[test]
    fn a_pile_of_leases_is_spread_and_none_ends_earlier() {
        let start = Instant::now();
        let mut ends: Vec<_> = (0..1000).map(|id| (start + seconds(3), id)).collect();
        ends.push((start + seconds(1), 5000));
        ends.push((start + seconds(100), 5001));
        let before: HashMap<i64, Instant> = ends.iter().map(|(end, id)| (*id, *end)).collect();
        spread(&mut ends, 300);
        assert!(ends.iter().all(|(end, id)| *end >= before[id]));
        let mut sorted: Vec<Instant> = ends.iter().map(|(end, _)| *end).collect();
        sorted.sort_unstable();
        for window in sorted.windows(301) {
            assert!(window[300] - window[0] >= seconds(1));
        }
        assert_eq!(sorted.last(), Some(&(start + seconds(100))));
        let few = &mut [(start, 1), (start, 2)];
        spread(few, 300);
        assert_eq!(few, &[(start, 1), (start, 2)]);
    }
}
