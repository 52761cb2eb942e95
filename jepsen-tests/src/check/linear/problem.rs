//! The operations made ready for the search: what cannot matter is left out, and what cannot be
//! told apart is made equal.

use std::collections::{HashMap, HashSet};

use super::Timed;
use super::model::{Change, UNSEEN};
use crate::history::NEVER;

/// The operations of one register.
pub(super) struct Problem {
    /// Ordered by invocation.
    pub(super) ops: Vec<Timed>,
    /// The position of each in what the caller gave.
    pub(super) origin: Vec<usize>,
    pub(super) is_versioned: bool,
    /// Operations of unknown outcome by the value they write, each list ordered by invocation.
    pub(super) unsure: HashMap<u32, Vec<u32>>,
    /// For values that one operation alone writes: the last invocation of a sure one that finds it.
    pub(super) sole: HashMap<u32, u32>,
    /// With versions: the value that answers tell of each.
    pub(super) told: HashMap<i64, u32>,
}

impl Problem {
    pub(super) fn new(given: &[Timed], is_versioned: bool) -> Self {
        let observed = observed(given, is_versioned);
        let is_useful = |op: &Timed| match written(op.call.change) {
            // Reads without an answer prove nothing.
            None => op.completed_at != NEVER,
            Some(value) => op.completed_at != NEVER || is_versioned || observed.contains(&value),
        };
        let mut origin: Vec<usize> = (0..given.len()).collect();
        origin.retain(|at| is_useful(&given[*at]));
        origin.sort_by_key(|at| given[*at].invoked_at);
        let mut ops: Vec<Timed> = origin.iter().map(|at| given[*at]).collect();
        for op in &mut ops {
            let unseen = |value: u32| match observed.contains(&value) {
                true => value,
                false => UNSEEN,
            };
            op.call.change = match op.call.change {
                Change::Read(value) => Change::Read(value),
                Change::Write(value) => Change::Write(unseen(value)),
                Change::Cas { old, new } => Change::Cas {
                    old,
                    new: unseen(new),
                },
            };
        }
        Self {
            unsure: unsure(&ops),
            sole: sole(&ops),
            told: if is_versioned {
                told(&ops)
            } else {
                HashMap::new()
            },
            ops,
            origin,
            is_versioned,
        }
    }

    pub(super) fn is_sure(&self, op: u32) -> bool {
        self.ops[op as usize].completed_at != NEVER
    }

    /// Whether `op` writes, whatever it finds, a value that nobody observes. With versions every
    /// write is observed.
    pub(super) fn is_unseen(&self, op: u32) -> bool {
        !self.is_versioned && self.ops[op as usize].call.change == Change::Write(UNSEEN)
    }
}

/// The value that a change leaves.
pub(super) fn written(change: Change) -> Option<u32> {
    match change {
        Change::Read(_) => None,
        Change::Write(value) | Change::Cas { new: value, .. } => Some(value),
    }
}

/// The value that a change must find.
pub(super) fn wanted(change: Change) -> Option<u32> {
    match change {
        Change::Read(value) | Change::Cas { old: value, .. } => Some(value),
        Change::Write(_) => None,
    }
}

/// Values that some operation must have found, or that one of unknown outcome must have found to
/// write such a value; with versions, to write any value, since every write counts.
fn observed(ops: &[Timed], is_versioned: bool) -> HashSet<u32> {
    let counts = |op: &&Timed| is_versioned || op.completed_at != NEVER;
    let sure = ops.iter().filter(counts);
    let mut observed: HashSet<u32> = sure.filter_map(|op| wanted(op.call.change)).collect();
    let mut links: HashMap<u32, Vec<u32>> = HashMap::new();
    for op in ops.iter().filter(|op| op.completed_at == NEVER) {
        if let Change::Cas { old, new } = op.call.change {
            links.entry(new).or_default().push(old);
        }
    }
    let mut open: Vec<u32> = observed.iter().copied().collect();
    while let Some(value) = open.pop() {
        for old in links.get(&value).into_iter().flatten() {
            if observed.insert(*old) {
                open.push(*old);
            }
        }
    }
    observed
}

fn unsure(ops: &[Timed]) -> HashMap<u32, Vec<u32>> {
    let mut unsure: HashMap<u32, Vec<u32>> = HashMap::new();
    for (at, op) in (0..).zip(ops) {
        if op.completed_at == NEVER
            && let Some(value) = written(op.call.change)
        {
            unsure.entry(value).or_default().push(at);
        }
    }
    unsure
}

fn sole(ops: &[Timed]) -> HashMap<u32, u32> {
    let mut writers: HashMap<u32, u32> = HashMap::new();
    for value in ops.iter().filter_map(|op| written(op.call.change)) {
        *writers.entry(value).or_default() += 1;
    }
    // The initial value was there without a writer.
    writers.retain(|value, count| *count == 1 && *value != 0 && *value != UNSEEN);
    let mut sole: HashMap<u32, u32> = HashMap::new();
    for op in ops.iter().filter(|op| op.completed_at != NEVER) {
        if let Some(value) = wanted(op.call.change).filter(|value| writers.contains_key(value)) {
            let last = sole.entry(value).or_default();
            *last = (*last).max(op.invoked_at);
        }
    }
    sole
}

fn told(ops: &[Timed]) -> HashMap<i64, u32> {
    let value = |change| match change {
        Change::Read(value) | Change::Write(value) | Change::Cas { new: value, .. } => value,
    };
    let sure = ops.iter().filter(|op| op.completed_at != NEVER);
    sure.filter_map(|op| Some((op.call.version?, value(op.call.change))))
        .collect()
}
