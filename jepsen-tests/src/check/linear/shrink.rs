//! Makes the proof small: drops operations as long as those that are left still have no order.
//!
//! Dropping must keep the proof a proof: if a set without an operation has no order, the set with
//! it must have none either. That holds for reads, and for all operations that write or observe a
//! value, taken together. With versions it holds for reads alone, since every write counts.

use std::collections::HashSet;

use super::Timed;
use super::model::Change;
use super::prefix::until;
use super::problem::{Problem, wanted, written};
use super::search::{self, Outcome};
use crate::history::NEVER;

/// Searches that one proof may cost.
const TRIES_MAX: usize = 2000;
/// Configurations that one of them may cost.
const BUDGET_EACH: u64 = 50_000;
/// Configurations that all of them may cost.
const BUDGET: u64 = 5_000_000;

/// The positions of a small part of `ops` that has no order, in the order of invocation; `last` is
/// the first operation that ended too early.
pub(super) fn shrink(ops: &[Timed], is_versioned: bool, last: usize) -> Vec<usize> {
    let mut shrinking = Shrinking {
        kept: until(ops, ops[last].completed_at),
        is_versioned,
        tries: 0,
        budget: BUDGET,
    };
    if !is_versioned {
        shrinking.drop_values();
    }
    shrinking.drop_reads();
    if !is_versioned {
        shrinking.drop_values();
        shrinking.drop_unsure();
    }
    let mut shown = shrinking.kept;
    shown.sort_by_key(|(_, op)| op.invoked_at);
    shown.into_iter().map(|(at, _)| at).collect()
}

struct Shrinking {
    kept: Vec<(usize, Timed)>,
    is_versioned: bool,
    tries: usize,
    budget: u64,
}

impl Shrinking {
    /// Whether these have no order; an unfinished search says nothing.
    fn is_impossible(&mut self, ops: &[(usize, Timed)]) -> bool {
        self.tries += 1;
        let mut budget = BUDGET_EACH.min(self.budget);
        let given = budget;
        let timed: Vec<Timed> = ops.iter().map(|(_, op)| *op).collect();
        let outcome = search::run(&Problem::new(&timed, self.is_versioned), &mut budget);
        self.budget -= given - budget;
        matches!(outcome, Outcome::Impossible { .. })
    }

    fn is_spent(&self) -> bool {
        self.tries >= TRIES_MAX || self.budget == 0
    }

    /// Keeps those that `stays`, if they are enough for a proof.
    fn try_keep(&mut self, stays: impl Fn(&(usize, Timed)) -> bool) -> bool {
        let fewer: Vec<_> = self.kept.iter().filter(|op| stays(op)).copied().collect();
        if fewer.len() == self.kept.len() || !self.is_impossible(&fewer) {
            return false;
        }
        self.kept = fewer;
        true
    }

    /// Drops from `all` what it can, by halves, quarters, and so on.
    fn drop_in_chunks<T: Copy>(
        &mut self,
        all: &[T],
        mut drop: impl FnMut(&mut Self, &[T]) -> bool,
    ) {
        let mut left = all.to_vec();
        let mut size = left.len().div_ceil(2);
        while size > 0 && !self.is_spent() {
            let mut at = 0;
            while at < left.len() && !self.is_spent() {
                let chunk = left[at..left.len().min(at + size)].to_vec();
                if drop(self, &chunk) {
                    left.drain(at..at + chunk.len());
                } else {
                    at += chunk.len();
                }
            }
            size /= 2;
        }
    }

    fn drop_reads(&mut self) {
        let is_read = |(_, op): &&(usize, Timed)| matches!(op.call.change, Change::Read(_));
        let reads: Vec<usize> = self.kept.iter().filter(is_read).map(|op| op.0).collect();
        self.drop_in_chunks(&reads, |this, chunk| {
            this.try_keep(|(at, _)| !chunk.contains(at))
        });
    }

    /// Drops operations that may never have happened: without them there is no order all the more
    /// only if nothing observes what they wrote, which [`Self::drop_values`] has seen to; those
    /// that are left over write what another writes too.
    fn drop_unsure(&mut self) {
        let observed: HashSet<u32> = self
            .kept
            .iter()
            .filter_map(|(_, op)| wanted(op.call.change))
            .collect();
        self.kept.retain(|(_, op)| {
            op.completed_at != NEVER
                || written(op.call.change).is_some_and(|value| observed.contains(&value))
        });
    }

    /// Drops values with all that writes or observes them.
    fn drop_values(&mut self) {
        let values = self
            .kept
            .iter()
            .filter_map(|(_, op)| written(op.call.change));
        let mut values: Vec<u32> = values.collect();
        values.sort_unstable();
        values.dedup();
        self.drop_in_chunks(&values, |this, chunk| {
            let gone = this.closure(chunk);
            this.try_keep(|(_, op)| {
                let touches = |value: Option<u32>| value.is_some_and(|value| gone.contains(&value));
                !touches(written(op.call.change)) && !touches(wanted(op.call.change))
            })
        });
    }

    /// `values`, and what operations that observe one of them write.
    fn closure(&self, values: &[u32]) -> HashSet<u32> {
        let mut gone: HashSet<u32> = values.iter().copied().collect();
        loop {
            let before = gone.len();
            for (_, op) in &self.kept {
                if let Change::Cas { old, new } = op.call.change
                    && gone.contains(&old)
                {
                    gone.insert(new);
                }
            }
            if gone.len() == before {
                return gone;
            }
        }
    }
}
