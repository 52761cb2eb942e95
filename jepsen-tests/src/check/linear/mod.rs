//! Is there an order of the operations on one register that explains every answer?
//!
//! The search is Wing and Gong's with Lowe's memory of configurations already tried: depth first,
//! and a configuration is what has happened so far together with the register's state. What an
//! operation of unknown outcome may do, it may do at any later time, or never.

mod model;
mod prefix;
mod problem;
mod search;
mod shrink;

pub(super) use model::{Call, Change};
use problem::Problem;

/// An operation and its time, as positions in the history.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timed {
    /// What it did.
    pub(super) call: Call,
    /// Where it began.
    pub(super) invoked_at: u32,
    /// Where it was acknowledged; `NEVER` if its outcome is unknown.
    pub(super) completed_at: u32,
}

/// Why there is no order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// There is none.
    Impossible {
        /// The first operation, by completion, up to whose answer there is no order.
        last: usize,
        /// A small set of operations, `last` perhaps among them, that has no order by itself; in
        /// the order of their invocations.
        shown: Vec<usize>,
    },
    /// The search was given up when its budget was spent.
    TooMany,
}

/// Searches for an order. Every configuration tried takes one from `budget`.
pub(super) fn check(ops: &[Timed], is_versioned: bool, budget: &mut u64) -> Result<(), Failure> {
    let problem = Problem::new(ops, is_versioned);
    match search::run(&problem, budget) {
        search::Outcome::Found => Ok(()),
        search::Outcome::TooMany => Err(Failure::TooMany),
        search::Outcome::Impossible { reached } => {
            let last = prefix::first_impossible(ops, is_versioned, reached);
            let shown = shrink::shrink(ops, is_versioned, last);
            Err(Failure::Impossible { last, shown })
        }
    }
}
