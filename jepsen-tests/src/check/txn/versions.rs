//! The order of the versions of one register, as far as it is known.
//!
//! The initial version comes before all others; a transaction that reads one version and writes
//! another does so in this order; and where the model promises the order of time, whatever a
//! transaction left of the key comes no later than what the next one found. Should all of this
//! together contradict itself, the surest part that does not is used.

use std::collections::{HashMap, HashSet, VecDeque};

use super::graph::Level;
use super::order::{self, Span};
use super::{Model, scc};
use crate::check::intern::NIL;

/// What one transaction did to the key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access {
    pub(super) span: Span,
    /// The version it found.
    pub(super) read: Option<u32>,
    /// The version it left.
    pub(super) written: Option<u32>,
}

impl Access {
    /// What it found, as far as that is known.
    fn first(&self) -> Option<u32> {
        self.read.or(self.written)
    }

    fn last(&self) -> Option<u32> {
        self.written.or(self.read)
    }
}

/// One version before another, and what says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Before {
    pub(super) before: u32,
    pub(super) after: u32,
    pub(super) level: Level,
    /// The transactions, by their nodes, that show it; the same twice if one does.
    pub(super) shown_by: (u32, u32),
}

/// What is known of the order.
#[derive(Debug, Default)]
pub(super) struct Versions {
    /// No two of the same versions, and no circle.
    pub(super) order: Vec<Before>,
    /// A circle among all that is known, if there is one.
    pub(super) circle: Option<Vec<Before>>,
}

/// Orders the versions that `accesses` show.
pub(super) fn order(accesses: &[Access], model: Model) -> Versions {
    let writers: Vec<Access> = accesses
        .iter()
        .filter(|access| access.written.is_some())
        .map(|access| Access {
            read: None,
            ..*access
        })
        .collect();
    let mut versions = Versions::default();
    let mut known: Vec<Before> = Vec::new();
    // From what is surest to what is least so: the order of writes is surer than that which reads
    // of other transactions add.
    for more in [
        by_transaction(accesses),
        by_time(&writers, model),
        by_time(accesses, model),
    ] {
        known.extend(more);
        known.sort_unstable();
        known.dedup_by_key(|before| (before.before, before.after));
        let mut all = known.clone();
        add_initial(accesses, &mut all);
        versions.circle = circle(&all);
        if versions.circle.is_some() {
            break;
        }
        versions.order = all;
    }
    versions
}

/// What each transaction found before what it left.
fn by_transaction(accesses: &[Access]) -> Vec<Before> {
    let pair = |access: &Access| {
        let (before, after) = (access.read?, access.written?);
        (before != after).then_some(Before {
            before,
            after,
            level: Level::Data,
            shown_by: (access.span.node, access.span.node),
        })
    };
    accesses.iter().filter_map(pair).collect()
}

fn by_time(accesses: &[Access], model: Model) -> Vec<Before> {
    let spans: Vec<Span> = accesses.iter().map(|access| access.span).collect();
    let (pairs, level) = if model >= Model::StrictSerializable {
        (order::realtime(&spans), Level::Realtime)
    } else if model >= Model::StrongSessionSerializable {
        (order::process(&spans), Level::Process)
    } else {
        return Vec::new();
    };
    let by_node: HashMap<u32, &Access> = accesses
        .iter()
        .map(|access| (access.span.node, access))
        .collect();
    let pair = |(one, other): (u32, u32)| {
        let before = by_node.get(&one)?.last()?;
        let after = by_node.get(&other)?.first()?;
        (before != after).then_some(Before {
            before,
            after,
            level,
            shown_by: (one, other),
        })
    };
    pairs.into_iter().filter_map(pair).collect()
}

/// Puts the initial version before those that nothing else is known to precede, and before all that
/// are said to precede it.
fn add_initial(accesses: &[Access], order: &mut Vec<Before>) {
    let preceded: HashSet<u32> = order.iter().map(|before| before.after).collect();
    let contrary: HashSet<u32> = order
        .iter()
        .filter(|before| before.after == NIL)
        .map(|before| before.before)
        .collect();
    let mut added: HashSet<u32> = HashSet::new();
    for access in accesses {
        if let Some(after) = access.written
            && (!preceded.contains(&after) || contrary.contains(&after))
            && added.insert(after)
        {
            order.push(Before {
                before: NIL,
                after,
                level: Level::Data,
                shown_by: (access.span.node, access.span.node),
            });
        }
    }
}

/// A shortest circle of versions.
fn circle(known: &[Before]) -> Option<Vec<Before>> {
    let mut numbers: HashMap<u32, u32> = HashMap::new();
    let mut successors: Vec<Vec<(u32, Before)>> = Vec::new();
    for before in known {
        let [from, to] = [before.before, before.after].map(|version| {
            *numbers.entry(version).or_insert_with(|| {
                successors.push(Vec::new());
                u32::try_from(successors.len() - 1).expect("versions are 32-bit numbers")
            })
        });
        successors[from as usize].push((to, *before));
    }
    let successor = |node: u32, at: usize| successors[node as usize].get(at).map(|next| next.0);
    let component = scc::components(successors.len(), successor)
        .into_iter()
        .min_by_key(Vec::len)?;
    let shortest = component
        .iter()
        .take(STARTS_MAX)
        .filter_map(|start| around(*start, &successors));
    shortest.min_by_key(Vec::len)
}

/// Versions of a component from which a circle is looked for.
const STARTS_MAX: usize = 64;

/// A shortest way from `start` back to it.
fn around(start: u32, successors: &[Vec<(u32, Before)>]) -> Option<Vec<Before>> {
    let mut came: HashMap<u32, (u32, Before)> = HashMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(node) = open.pop_front() {
        for (next, before) in &successors[node as usize] {
            if came.contains_key(next) {
                continue;
            }
            came.insert(*next, (node, *before));
            if *next != start {
                open.push_back(*next);
                continue;
            }
            let mut way = Vec::new();
            let mut at = start;
            while let Some((from, before)) = came.get(&at) {
                way.push(*before);
                at = *from;
                if at == start {
                    break;
                }
            }
            way.reverse();
            return Some(way);
        }
    }
    None
}
