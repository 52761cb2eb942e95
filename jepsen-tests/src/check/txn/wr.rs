//! Registers written and read by transactions. A read tells which write it saw; the order of the
//! writes is less certain than that of appends, and comes from [`super::versions`].

use std::collections::{HashMap, HashSet};

use super::graph::{Base, Edge, Level, Why};
use super::order::Span;
use super::parse::{Seen, Step, Txn, Txns};
use super::versions::{self, Access, Before, Versions};
use super::{Model, cycles};
use crate::check::intern::NIL;
use crate::check::{Error, Finding, Findings, Workload};
use crate::history::{Kind, Op};

/// Versions that may follow the one read, of those that nothing orders: the rest adds nothing that
/// these do not show as well.
const SUCCESSORS_MAX: usize = 64;

/// Everything that is wrong.
pub(in crate::check) fn check(ops: &[Op<'_>], model: Model) -> Result<Findings, Error> {
    let txns = Txns::parse(ops, Workload::Wr)?;
    let mut found = Findings::default();
    let mut seen: HashSet<u32> = HashSet::new();
    for (at, txn) in txns.numbered().filter(|(at, _)| txns.is_ok(*at)) {
        check_reads(&txns, at, txn, &mut seen, &mut found);
    }
    let accesses = accesses(&txns, &seen);
    let mut edges = Vec::new();
    for (key, of_key) in (0..).zip(&accesses) {
        let versions = versions::order(of_key, model);
        check_lost_updates(&txns, key, of_key, &mut found);
        if let Some(circle) = &versions.circle {
            found.add("cyclic-versions", || cyclic(&txns, key, circle));
        }
        key_edges(&txns, key, of_key, &versions, &mut edges);
    }
    let nodes: Vec<u32> = txns
        .numbered()
        .map(|(at, _)| at)
        .filter(|at| txns.is_ok(*at) || seen.contains(at))
        .collect();
    cycles::find(&txns, &nodes, edges, model, &mut found);
    Ok(found)
}

/// What each read alone proves; `seen` gets those whose writes were read.
fn check_reads(
    txns: &Txns<'_>,
    at: u32,
    txn: &Txn<'_>,
    seen: &mut HashSet<u32>,
    found: &mut Findings,
) {
    let mut known: HashMap<u32, u32> = HashMap::new();
    for step in &txn.steps {
        let (key, value) = match step {
            Step::Write { key, value } => {
                known.insert(*key, *value);
                continue;
            }
            Step::Read {
                key,
                seen: Seen::Value(value),
            } => (*key, *value),
            Step::Read { .. } => continue,
        };
        let wanted = *known.entry(key).or_insert(value);
        if wanted != value {
            found.add("internal", || {
                let what = format!(
                    "a transaction read {} of key {}, but by its own steps must read {}",
                    txns.values.value(value),
                    txns.keys.value(key),
                    txns.values.value(wanted)
                );
                Finding::new("internal", what, &[txn.op])
            });
        }
        if value != NIL {
            check_source(txns, at, (key, value), seen, found);
        }
    }
}

/// Whether what was read was written, by whom, and for good.
fn check_source(
    txns: &Txns<'_>,
    reader: u32,
    (key, value): (u32, u32),
    seen: &mut HashSet<u32>,
    found: &mut Findings,
) {
    let op = |txn: u32| txns.all[txn as usize].op;
    let read = || {
        let (value, key) = (txns.values.value(value), txns.keys.value(key));
        format!("{value} was read of key {key}")
    };
    let Some(writer) = txns.writers.get(&(key, value)) else {
        found.add("unwritten", || {
            let what = format!("{}, but nobody wrote it", read());
            Finding::new("unwritten", what, &[op(reader)])
        });
        return;
    };
    if txns.is_failed(writer.txn) {
        found.add("G1a", || {
            let what = format!("{}, but the transaction that wrote it had failed", read());
            Finding::new("G1a", what, &[op(writer.txn), op(reader)])
        });
        return;
    }
    seen.insert(writer.txn);
    if !writer.is_last && writer.txn != reader {
        found.add("G1b", || {
            let what = format!("{}, but its transaction wrote that key again", read());
            Finding::new("G1b", what, &[op(writer.txn), op(reader)])
        });
    }
}

/// By key: what each transaction that happened did to it.
fn accesses(txns: &Txns<'_>, seen: &HashSet<u32>) -> Vec<Vec<Access>> {
    let mut accesses: Vec<Vec<Access>> = vec![Vec::new(); txns.keys.len()];
    for (at, txn) in txns.numbered() {
        let is_ok = txn.op.kind == Kind::Ok;
        if !is_ok && !seen.contains(&at) {
            continue;
        }
        for step in &txn.steps {
            let (Step::Write { key, .. } | Step::Read { key, .. }) = step;
            let of_key = &mut accesses[*key as usize];
            if of_key.last().is_none_or(|last| last.span.node != at) {
                of_key.push(Access {
                    span: Span::new(at, txn.op),
                    read: None,
                    written: None,
                });
            }
            let Some(access) = of_key.last_mut() else {
                continue;
            };
            match step {
                Step::Write { value, .. } => access.written = Some(*value),
                Step::Read {
                    seen: Seen::Value(value),
                    ..
                } if access.written.is_none() => {
                    access.read = access.read.or(Some(*value));
                }
                Step::Read { .. } => {}
            }
        }
    }
    accesses
}

/// The dependencies that the order of one key's versions makes.
fn key_edges(
    txns: &Txns<'_>,
    key: u32,
    accesses: &[Access],
    versions: &Versions,
    edges: &mut Vec<Edge>,
) {
    let mut later: HashMap<u32, Vec<(u32, u32, Level)>> = HashMap::new();
    for Before {
        before,
        after,
        level,
        ..
    } in &versions.order
    {
        let Some(writer) = txns.writer(key, *after) else {
            continue;
        };
        let successors = later.entry(*before).or_default();
        if successors.len() < SUCCESSORS_MAX {
            successors.push((*after, writer.txn, *level));
        }
    }
    let mut add = |from, to, base, level, before, after| {
        let why = Why { key, before, after };
        edges.push(Edge {
            from,
            to,
            level,
            base,
            why,
        });
    };
    for (before, successors) in &later {
        let Some(writer) = txns.writer(key, *before) else {
            continue;
        };
        for (after, txn, level) in successors {
            add(writer.txn, *txn, Base::Ww, *level, *before, *after);
        }
    }
    for access in accesses {
        let (reader, Some(read)) = (access.span.node, access.read) else {
            continue;
        };
        if let Some(writer) = txns.writer(key, read) {
            add(writer.txn, reader, Base::Wr, Level::Data, read, read);
        }
        for (after, txn, level) in later.get(&read).into_iter().flatten() {
            add(reader, *txn, Base::Rw, *level, read, *after);
        }
    }
}

/// Two acknowledged transactions that read the same version and then wrote the key.
fn check_lost_updates(txns: &Txns<'_>, key: u32, accesses: &[Access], found: &mut Findings) {
    let mut updates: HashMap<u32, u32> = HashMap::new();
    for access in accesses {
        let (Some(read), Some(_)) = (access.read, access.written) else {
            continue;
        };
        let first = *updates.entry(read).or_insert(access.span.node);
        if first != access.span.node {
            found.add("lost-update", || {
                let what = format!(
                    "two transactions read {} of key {} and then wrote it",
                    txns.values.value(read),
                    txns.keys.value(key)
                );
                let [one, other] = [first, access.span.node].map(|txn| txns.all[txn as usize].op);
                Finding::new("lost-update", what, &[one, other])
            });
        }
    }
}

fn cyclic(txns: &Txns<'_>, key: u32, circle: &[Before]) -> Finding {
    let mut shown: Vec<u32> = circle
        .iter()
        .flat_map(|before| [before.shown_by.0, before.shown_by.1])
        .collect();
    shown.sort_unstable();
    shown.dedup();
    let ops: Vec<&Op<'_>> = shown.iter().map(|txn| txns.all[*txn as usize].op).collect();
    let versions: Vec<String> = circle
        .iter()
        .chain(circle.first())
        .map(|before| txns.values.value(before.before).to_string())
        .collect();
    let what = format!(
        "key {}: its versions come before each other in a circle: {}",
        txns.keys.value(key),
        versions.join(" < ")
    );
    Finding::new("cyclic-versions", what, &ops)
}
