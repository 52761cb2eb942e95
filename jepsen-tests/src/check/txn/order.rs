//! Dependencies by time: of each process's own transactions, and of all in real time.
//!
//! Both take an interval of each node, and keep only edges that others do not imply: the frontier
//! holds what has ended, less what is known to come before something else in it. So there are no
//! more edges than nodes times those under way at once.

use std::collections::HashMap;

use crate::history::{NEVER, Op};

/// When a node was under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) node: u32,
    pub(super) process: i64,
    pub(super) invoked_at: u32,
    /// `NEVER` if nobody was told; then nothing is known to come after it.
    pub(super) completed_at: u32,
}

impl Span {
    pub(super) fn new(node: u32, op: &Op<'_>) -> Self {
        Self {
            node,
            process: op.process,
            invoked_at: op.invoked_at,
            completed_at: op.completed_at,
        }
    }
}

/// Pairs of nodes of which the first ended before the second began.
pub(super) fn realtime(spans: &[Span]) -> Vec<(u32, u32)> {
    let mut moments: Vec<(u32, usize)> = Vec::with_capacity(spans.len() * 2);
    for (at, span) in spans.iter().enumerate() {
        moments.push((span.invoked_at, at));
        if span.completed_at != NEVER {
            moments.push((span.completed_at, at));
        }
    }
    moments.sort_unstable();
    let mut frontier: Vec<usize> = Vec::new();
    let mut before: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut pairs = Vec::new();
    for (moment, at) in moments {
        let span = &spans[at];
        if moment == span.invoked_at {
            pairs.extend(frontier.iter().map(|end| (spans[*end].node, span.node)));
            if span.completed_at != NEVER {
                before.insert(at, frontier.clone());
            }
            continue;
        }
        let implied = before.remove(&at).unwrap_or_default();
        frontier.retain(|end| !implied.contains(end));
        frontier.push(at);
    }
    pairs
}

/// Pairs of nodes that one process did one after the other.
pub(super) fn process(spans: &[Span]) -> Vec<(u32, u32)> {
    let mut sorted: Vec<&Span> = spans.iter().collect();
    sorted.sort_unstable_by_key(|span| span.invoked_at);
    let mut last: HashMap<i64, u32> = HashMap::new();
    let mut pairs = Vec::new();
    for span in sorted {
        let before = match span.completed_at {
            NEVER => last.remove(&span.process),
            _ => last.insert(span.process, span.node),
        };
        pairs.extend(before.map(|before| (before, span.node)));
    }
    pairs
}
