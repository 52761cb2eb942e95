//! List-append: every read of a list shows the order of all appends before it, so the longest list
//! read of a key is the order of its versions.

mod lists;
mod reads;

use std::collections::HashSet;

use lists::Lists;
use reads::Reading;

use super::graph::{Base, Edge, Level, Why};
use super::parse::{Step, Txns};
use super::{Model, cycles};
use crate::check::intern::NIL;
use crate::check::{Error, Findings, Workload};
use crate::history::{Kind, Op};

/// Appends never seen that one reader is ordered before: those that ended first, which is enough to
/// find a lost one.
const UNSEEN_MAX: usize = 64;

/// Everything that is wrong.
pub(in crate::check) fn check(ops: &[Op<'_>], model: Model) -> Result<Findings, Error> {
    let txns = Txns::parse(ops, Workload::Append)?;
    let mut found = Findings::default();
    let readings = reads::collect(&txns, &mut found);
    let lists = Lists::new(&txns, &readings);
    lists::check(&txns, &lists, &readings, &mut found);
    reads::check_aborted(&txns, &lists, &readings, &mut found);
    reads::check_lost_updates(&txns, &readings, &mut found);
    let mut edges = Vec::new();
    for (key, order) in lists.orders() {
        order_edges(&txns, key, order, &mut edges);
    }
    for reading in &readings {
        read_edges(&txns, &lists, reading, &mut edges);
    }
    unseen_edges(&txns, &lists, &readings, &mut edges);
    let nodes = happened(&txns, &readings);
    cycles::find(&txns, &nodes, edges, model, &mut found);
    Ok(found)
}

/// Transactions that certainly happened: acknowledged, or an append of theirs was read.
fn happened(txns: &Txns<'_>, readings: &[Reading<'_>]) -> Vec<u32> {
    let mut seen: HashSet<u32> = HashSet::new();
    for reading in readings {
        for value in reading.list {
            seen.extend(txns.writer(reading.key, *value).map(|writer| writer.txn));
        }
    }
    let happened = |(at, txn): (u32, &super::parse::Txn<'_>)| {
        (txn.op.kind == Kind::Ok || seen.contains(&at)).then_some(at)
    };
    txns.numbered().filter_map(happened).collect()
}

fn edge(from: u32, to: u32, base: Base, why: Why) -> Edge {
    Edge {
        from,
        to,
        base,
        level: Level::Data,
        why,
    }
}

/// Each append before the next one.
fn order_edges(txns: &Txns<'_>, key: u32, order: &[u32], edges: &mut Vec<Edge>) {
    // An element that is there twice is an anomaly by itself, and says nothing of the order.
    let mut met: HashSet<u32> = HashSet::new();
    let written = order
        .iter()
        .filter(|value| met.insert(**value))
        .filter_map(|value| Some((*value, txns.writer(key, *value)?.txn)));
    let mut last: Option<(u32, u32)> = None;
    for (value, txn) in written {
        if let Some((before, writer)) = last {
            let why = Why {
                key,
                before,
                after: value,
            };
            edges.push(edge(writer, txn, Base::Ww, why));
        }
        last = Some((value, txn));
    }
}

/// Each append before those who read it last; those before the next append.
fn read_edges(txns: &Txns<'_>, lists: &Lists<'_>, reading: &Reading<'_>, edges: &mut Vec<Edge>) {
    let key = reading.key;
    let before = reading.outer().last().copied().unwrap_or(NIL);
    if let Some(writer) = txns.writer(key, before) {
        let why = Why {
            key,
            before,
            after: before,
        };
        edges.push(edge(writer.txn, reading.txn, Base::Wr, why));
    }
    if !lists.is_prefix(reading) {
        return;
    }
    let later = lists.order(key).get(reading.outer().len()..).unwrap_or(&[]);
    let next = later
        .iter()
        .find_map(|value| Some((*value, txns.writer(key, *value)?.txn)));
    if let Some((after, writer)) = next {
        let why = Why { key, before, after };
        edges.push(edge(reading.txn, writer, Base::Rw, why));
    }
}

/// An acknowledged append that is in no list comes after all lists: after the last append that is,
/// and after everybody who read the longest list.
fn unseen_edges(
    txns: &Txns<'_>,
    lists: &Lists<'_>,
    readings: &[Reading<'_>],
    edges: &mut Vec<Edge>,
) {
    let mut unseen: Vec<Vec<(u32, u32)>> = vec![Vec::new(); txns.keys.len()];
    for (at, txn) in txns.numbered().filter(|(at, _)| txns.is_ok(*at)) {
        for step in &txn.steps {
            if let Step::Write { key, value } = *step
                && !lists.is_seen(key, value)
            {
                unseen[key as usize].push((value, at));
            }
        }
    }
    for of_key in &mut unseen {
        of_key.sort_by_key(|(_, txn)| txns.all[*txn as usize].op.completed_at);
        of_key.truncate(UNSEEN_MAX);
    }
    for (key, order) in lists.orders() {
        let Some(before) = order.last().copied() else {
            continue;
        };
        let Some(writer) = txns.writer(key, before) else {
            continue;
        };
        for (after, txn) in &unseen[key as usize] {
            let why = Why {
                key,
                before,
                after: *after,
            };
            edges.push(edge(writer.txn, *txn, Base::Ww, why));
        }
    }
    for reading in readings.iter().filter(|reading| lists.is_longest(reading)) {
        for (after, txn) in &unseen[reading.key as usize] {
            let why = Why {
                key: reading.key,
                before: reading.outer().last().copied().unwrap_or(NIL),
                after: *after,
            };
            edges.push(edge(reading.txn, *txn, Base::Rw, why));
        }
    }
}
