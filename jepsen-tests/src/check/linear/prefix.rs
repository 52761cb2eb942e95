//! The first moment at which there was no order any more.
//!
//! A search over a whole history looks ahead, so where it gave up need not be where the history
//! went wrong. A beginning of the history knows nothing of the rest; the shortest one without an
//! order is found by halving.

use super::Timed;
use super::problem::{Problem, written};
use super::search::{self, Outcome};
use crate::history::NEVER;

/// Configurations that one look may cost. One that costs more counts as possible, which makes the
/// beginning longer than it need be, and the proof no less a proof.
const BUDGET_EACH: u64 = 1_000_000;

/// The operation, by its answer, up to which there is no order, though there is one up to the
/// answer before. The whole of `ops` has none, and the search of it got to the end of `reached`.
pub(super) fn first_impossible(ops: &[Timed], is_versioned: bool, reached: usize) -> usize {
    let sure = (0..ops.len()).filter(|at| ops[*at].completed_at != NEVER);
    let mut ends: Vec<usize> = sure.collect();
    ends.sort_unstable_by_key(|at| ops[*at].completed_at);
    let is_impossible = |end: usize| {
        let begun: Vec<Timed> = until(ops, ops[ends[end]].completed_at)
            .into_iter()
            .map(|(_, op)| op)
            .collect();
        let problem = Problem::new(&begun, is_versioned);
        let outcome = search::run(&problem, &mut BUDGET_EACH.clone());
        matches!(outcome, Outcome::Impossible { .. })
    };
    // Invariant: up to each end before `low` there is an order, up to `high` there is none.
    let mut low = ends.partition_point(|at| ops[*at].completed_at < ops[reached].completed_at);
    let mut high = ends.len() - 1;
    // It is most often near, so the steps grow before they are halved.
    let mut step = 1;
    while low + step < high {
        let at = low + step - 1;
        if is_impossible(at) {
            high = at;
            break;
        }
        low = at + 1;
        step *= 2;
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if is_impossible(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    ends[high]
}

/// What had begun by `end`, and had ended or not, with its position.
pub(super) fn until(ops: &[Timed], end: u32) -> Vec<(usize, Timed)> {
    let begun = ops.iter().copied().enumerate();
    let mut begun: Vec<_> = begun.filter(|(_, op)| op.invoked_at < end).collect();
    for (_, op) in &mut begun {
        // What ended later had no end yet.
        if op.completed_at > end {
            op.completed_at = NEVER;
        }
    }
    begun.retain(|(_, op)| op.completed_at != NEVER || written(op.call.change).is_some());
    begun
}
