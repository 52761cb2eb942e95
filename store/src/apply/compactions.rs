//! Which compactions wait for their dead rows to go, and the hash of the last one that is done.
//!
//! As etcd, this removes the rows of one compaction after the other, and hashes for each of them what
//! changed since the one before, while all of it is there. A member that starts again in the midst of
//! a compaction has no hash of it; etcd neither.

use std::collections::VecDeque;

use crate::mvcc::hash::Stretch;

/// Compactions that wait. After more the rows of all of them go together, and none has a hash.
const WAITING_MAX: usize = 1000;

/// Two compactions, the second after the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) before: i64,
    pub(super) at: i64,
}

/// What etcd hashes of a compaction, as far as it cannot be read again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub(super) pair: Pair,
    /// What changed between the two.
    pub(super) changed: Stretch,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Compactions {
    waiting: VecDeque<Pair>,
    kept: Option<Kept>,
}

impl Compactions {
    /// Adds one that was applied.
    pub(super) fn push(&mut self, pair: Pair) {
        self.waiting.push_back(pair);
        if self.waiting.len() > WAITING_MAX {
            self.waiting.clear();
        }
    }

    /// The one whose rows are to go next.
    pub(super) fn first(&self) -> Option<Pair> {
        self.waiting.front().copied()
    }

    /// The dead rows of the compaction at `at` are gone.
    pub(super) fn done(&mut self, at: i64, kept: Option<Kept>) {
        self.waiting.retain(|pair| pair.at > at);
        self.kept = kept;
    }

    /// What is kept of the compaction at `at`.
    pub(super) fn kept(&self, at: i64) -> Option<Kept> {
        self.kept.filter(|kept| kept.pair.at == at)
    }
}
