//! Keys that take turns: a key is left after so many operations, so that what is known of each
//! stays short enough to be judged. Clients share them.

use std::sync::Arc;

use parking_lot::Mutex;
use rand::Rng;
use rand::rngs::StdRng;

/// Keys in use at once.
const ACTIVE: i64 = 3;

/// The keys of a workload, numbered from 0.
#[derive(Clone, Debug)]
pub(crate) struct Rotation {
    state: Arc<Mutex<State>>,
    ops_max: u64,
}

#[derive(Debug, Default)]
struct State {
    first: i64,
    ops: u64,
    values: i64,
}

impl Rotation {
    /// Keys that each serve about `ops_max` operations.
    pub(crate) fn new(ops_max: u64) -> Self {
        Self {
            state: Arc::default(),
            ops_max,
        }
    }

    /// A key of those in use.
    pub(crate) fn key(&self, chance: &mut StdRng) -> i64 {
        let mut state = self.state.lock();
        state.ops += 1;
        if state.ops.is_multiple_of(self.ops_max) {
            state.first += 1;
        }
        state.first + chance.random_range(0..ACTIVE)
    }

    /// A value that nobody else was given.
    pub(crate) fn value(&self) -> i64 {
        let mut state = self.state.lock();
        state.values += 1;
        state.values
    }

    /// Every key that may have been used.
    pub(crate) fn used(&self) -> std::ops::Range<i64> {
        0..self.state.lock().first + ACTIVE
    }
}
