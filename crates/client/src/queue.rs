//! The work queue of reconcilers: a key waits at most once, is worked on by one worker at a time, and comes back
//! later with growing delays after failures.
//!
//! It never loses a key that was added while the key was being worked on. It holds at most [`KEYS_MAX`] keys; beyond
//! that an addition is dropped and counted, and the reconciler's periodic resync brings the key back.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// More keys than objects of one kind in the largest cluster that is meant to work.
pub const KEYS_MAX: usize = 1_000_000;
/// The first delay after a failure, as in client-go.
const DELAY_FIRST: Duration = Duration::from_millis(5);
/// The last delay after many failures where a queue does not say otherwise, as in client-go.
const DELAY_MAX: Duration = Duration::from_secs(1000);

/// A handle on a queue of keys. Clones share the queue.
pub struct Queue<T> {
    state: Arc<Mutex<State<T>>>,
    changed: Arc<Notify>,
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self {
            state: self.state.clone(),
            changed: self.changed.clone(),
        }
    }
}

impl<T> std::fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

struct State<T> {
    ready: VecDeque<T>,
    /// Keys that want work: those in `ready`, and those that were added while being worked on.
    dirty: HashSet<T>,
    working: HashSet<T>,
    /// When a delayed key is due, and the reverse.
    due: BTreeMap<(Instant, u64), T>,
    due_of: HashMap<T, (Instant, u64)>,
    failures: HashMap<T, u32>,
    delay_max: Duration,
    ticket: u64,
    dropped: u64,
    closed: bool,
}

impl<T: Clone + Eq + Hash> Default for Queue<T> {
    fn default() -> Self {
        let state = State {
            ready: VecDeque::new(),
            dirty: HashSet::new(),
            working: HashSet::new(),
            due: BTreeMap::new(),
            due_of: HashMap::new(),
            failures: HashMap::new(),
            delay_max: DELAY_MAX,
            ticket: 0,
            dropped: 0,
            closed: false,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            changed: Arc::new(Notify::new()),
        }
    }
}

impl<T: Clone + Eq + Hash> State<T> {
    fn add(&mut self, key: T) -> bool {
        if self.closed || self.dirty.contains(&key) {
            return false;
        }
        if self.dirty.len() >= KEYS_MAX {
            self.dropped += 1;
            return false;
        }
        self.dirty.insert(key.clone());
        if self.working.contains(&key) {
            return false;
        }
        self.ready.push_back(key);
        true
    }

    /// Counts a failure; the delay that it earns.
    fn fail(&mut self, key: T) -> Duration {
        let failures = self.failures.entry(key).or_default();
        let delay = DELAY_FIRST.saturating_mul(2_u32.saturating_pow(*failures));
        *failures = failures.saturating_add(1);
        delay.min(self.delay_max)
    }

    /// Moves what is due to `ready`; returns when the next one is.
    fn wake(&mut self, now: Instant) -> Option<Instant> {
        while let Some(entry) = self.due.first_entry() {
            let (when, _) = *entry.key();
            if when > now {
                return Some(when);
            }
            let key = entry.remove();
            self.due_of.remove(&key);
            self.add(key);
        }
        None
    }
}

impl<T: Clone + Eq + Hash> Queue<T> {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty queue whose delays after failures grow no further than `delay_max`, for what must not wait long.
    pub fn with_delay_max(delay_max: Duration) -> Self {
        let queue = Self::default();
        queue.state.lock().delay_max = delay_max;
        queue
    }

    /// Adds a key, unless it waits already.
    pub fn add(&self, key: T) {
        if self.state.lock().add(key) {
            self.changed.notify_one();
        }
    }

    /// Adds a key once `delay` is over. An earlier appointment of the same key stays, a later one moves forward.
    pub fn add_after(&self, key: T, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        let when = Instant::now() + delay;
        match state.due_of.get(&key).copied() {
            Some((old, _)) if old <= when => return,
            Some(old) => {
                state.due.remove(&old);
            }
            None if state.due.len() >= KEYS_MAX => {
                state.dropped += 1;
                return;
            }
            None => {}
        }
        state.ticket += 1;
        let place = (when, state.ticket);
        state.due.insert(place, key.clone());
        state.due_of.insert(key, place);
        drop(state);
        self.changed.notify_one();
    }

    /// Adds a key after a failure: 5 ms, doubled by each further failure, up to 1000 s or the queue's own maximum.
    pub fn add_rate_limited(&self, key: T) {
        let delay = self.state.lock().fail(key.clone());
        self.add_after(key, delay);
    }

    /// Ends the growth of delays, after a success.
    pub fn forget(&self, key: &T) {
        self.state.lock().failures.remove(key);
    }

    /// Failures since the last [`Queue::forget`].
    pub fn failures(&self, key: &T) -> u32 {
        self.state.lock().failures.get(key).copied().unwrap_or(0)
    }

    /// The next key; the caller owns it until [`Queue::done`]. None once the queue is closed.
    ///
    /// Cancel-safe: a key is taken only in the moment of return.
    pub async fn get(&self) -> Option<T> {
        loop {
            let changed = self.changed.notified();
            let next_due = {
                let mut state = self.state.lock();
                if state.closed {
                    return None;
                }
                let next_due = state.wake(Instant::now());
                if let Some(key) = state.ready.pop_front() {
                    state.dirty.remove(&key);
                    state.working.insert(key.clone());
                    let more = !state.ready.is_empty() || next_due.is_some();
                    drop(state);
                    if more {
                        // Another worker takes over the waiting, or the next key.
                        self.changed.notify_one();
                    }
                    return Some(key);
                }
                next_due
            };
            match next_due {
                Some(when) => {
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep_until(when) => {}
                    }
                }
                None => changed.await,
            }
        }
    }

    /// Gives a key back. If it was added meanwhile, it waits again.
    pub fn done(&self, key: &T) {
        let again = {
            let mut state = self.state.lock();
            state.working.remove(key);
            let again = state.dirty.contains(key) && !state.closed;
            if again {
                state.ready.push_back(key.clone());
            }
            again
        };
        if again {
            self.changed.notify_one();
        }
    }

    /// Ends the queue: waiting and later `get`s return None.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.ready.clear();
        state.due.clear();
        drop(state);
        // Those who begin to wait after this see `closed` first.
        self.changed.notify_waiters();
        self.changed.notify_one();
    }

    /// Keys that are ready for a worker.
    pub fn len(&self) -> usize {
        self.state.lock().ready.len()
    }

    /// Whether no key is ready.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Additions refused because the queue was full.
    pub fn dropped(&self) -> u64 {
        self.state.lock().dropped
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, timeout};

    use super::Queue;

    #[tokio::test]
    async fn a_key_waits_once_and_returns_if_added_while_worked_on() {
        let queue = Queue::new();
        queue.add("a");
        queue.add("a");
        queue.add("b");
        assert_eq!(queue.len(), 2);
        assert_eq!(queue.get().await, Some("a"));
        queue.add("a");
        assert_eq!(queue.get().await, Some("b"));
        assert!(
            timeout(Duration::from_millis(20), queue.get())
                .await
                .is_err()
        );
        queue.done(&"a");
        assert_eq!(queue.get().await, Some("a"));
    }

    #[tokio::test]
    async fn delays_grow_and_are_forgotten() {
        let queue = Queue::new();
        let start = Instant::now();
        for _ in 0..3 {
            queue.add_rate_limited("a");
            assert_eq!(queue.get().await, Some("a"));
            queue.done(&"a");
        }
        let waited = start.elapsed();
        assert!(waited >= Duration::from_millis(35), "{waited:?}");
        assert_eq!(queue.failures(&"a"), 3);
        queue.forget(&"a");
        assert_eq!(queue.failures(&"a"), 0);
        for _ in 0..40 {
            queue.add_rate_limited("b");
        }
        assert_eq!(queue.failures(&"b"), 40);
    }

    #[test]
    fn delays_grow_no_further_than_the_queues_maximum() {
        let last = |queue: Queue<&'static str>| {
            let fail = || queue.state.lock().fail("a");
            for _ in 0..100 {
                fail();
            }
            fail()
        };
        assert_eq!(last(Queue::new()), Duration::from_secs(1000));
        let minute = Duration::from_secs(60);
        assert_eq!(last(Queue::with_delay_max(minute)), minute);
    }

    #[tokio::test]
    async fn the_earlier_appointment_wins() {
        let queue = Queue::new();
        let start = Instant::now();
        queue.add_after("a", Duration::from_secs(100));
        queue.add_after("a", Duration::from_millis(20));
        queue.add_after("a", Duration::from_millis(60));
        assert_eq!(queue.get().await, Some("a"));
        assert!(start.elapsed() < Duration::from_secs(50));
        queue.done(&"a");
        assert!(
            timeout(Duration::from_millis(90), queue.get())
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn closing_ends_those_who_wait() {
        let queue = Queue::<String>::new();
        let other = queue.clone();
        let (got, ()) = tokio::join!(queue.get(), async move {
            tokio::task::yield_now().await;
            other.close();
        });
        assert_eq!(got, None);
        assert_eq!(queue.get().await, None);
    }

    #[tokio::test]
    async fn two_workers_share_delayed_and_ready_keys() {
        let queue = Queue::new();
        queue.add_after("late", Duration::from_millis(30));
        let (one, two) = (queue.clone(), queue.clone());
        let (first, second) = tokio::join!(one.get(), async move {
            queue.add("now");
            two.get().await
        });
        let mut got = [first, second];
        got.sort();
        assert_eq!(got, [Some("late"), Some("now")]);
    }
}
