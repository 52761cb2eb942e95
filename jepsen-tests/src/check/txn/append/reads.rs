//! What acknowledged transactions read of lists, and what a read alone proves.

use std::collections::HashMap;

use super::Lists;
use crate::check::txn::parse::{Seen, Step, Txn, Txns};
use crate::check::{Finding, Findings};
use crate::history::Kind;

/// One read of one list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading<'t> {
    pub(super) txn: u32,
    pub(super) key: u32,
    /// All that it saw.
    pub(super) list: &'t [u32],
    /// How many at the end are the transaction's own appends.
    own: usize,
    /// Whether the transaction appends to the list after it.
    appends_later: bool,
}

impl<'t> Reading<'t> {
    /// What others had appended.
    pub(super) fn outer(&self) -> &'t [u32] {
        &self.list[..self.list.len() - self.own]
    }
}

/// All reads; notes those that contradict their own transaction.
pub(super) fn collect<'t>(txns: &'t Txns<'_>, found: &mut Findings) -> Vec<Reading<'t>> {
    let mut readings = Vec::new();
    for (at, txn) in txns.numbered() {
        if txn.op.kind == Kind::Ok {
            collect_txn(txns, at, txn, &mut readings, found);
        }
    }
    readings
}

/// What a transaction knows of a list that it has touched.
#[derive(Default)]
struct Known<'t> {
    /// What others had appended, once it has read.
    outer: Option<&'t [u32]>,
    own: Vec<u32>,
}

fn collect_txn<'t>(
    txns: &Txns<'_>,
    at: u32,
    txn: &'t Txn<'_>,
    readings: &mut Vec<Reading<'t>>,
    found: &mut Findings,
) {
    let mut known: HashMap<u32, Known<'t>> = HashMap::new();
    for (number, step) in txn.steps.iter().enumerate() {
        match step {
            Step::Write { key, value } => known.entry(*key).or_default().own.push(*value),
            Step::Read {
                key,
                seen: Seen::List(list),
            } => {
                let known = known.entry(*key).or_default();
                let outer = list.strip_suffix(known.own.as_slice());
                let agrees = match (outer, known.outer) {
                    (None, _) => false,
                    (Some(outer), Some(before)) => outer == before,
                    (Some(_), None) => true,
                };
                if !agrees {
                    found.add("internal", || internal(txns, txn, *key, list, known));
                }
                let outer = outer.unwrap_or(list);
                known.outer = known.outer.or(Some(outer));
                let later = &txn.steps[number + 1..];
                readings.push(Reading {
                    txn: at,
                    key: *key,
                    list,
                    own: list.len() - outer.len(),
                    appends_later: later
                        .iter()
                        .any(|step| matches!(step, Step::Write { key: other, .. } if other == key)),
                });
            }
            Step::Read { .. } => {}
        }
    }
}

fn show(txns: &Txns<'_>, list: &[u32]) -> String {
    let all: Vec<String> = list
        .iter()
        .map(|value| txns.values.value(*value).to_string())
        .collect();
    format!("[{}]", all.join(" "))
}

fn internal(txns: &Txns<'_>, txn: &Txn<'_>, key: u32, list: &[u32], known: &Known<'_>) -> Finding {
    let wanted = match known.outer {
        Some(outer) => {
            let whole: Vec<u32> = outer.iter().chain(&known.own).copied().collect();
            show(txns, &whole)
        }
        None => format!("a list that ends with {}", show(txns, &known.own)),
    };
    let what = format!(
        "a transaction read {} of key {}, but by its own steps must read {wanted}",
        show(txns, list),
        txns.keys.value(key)
    );
    Finding::new("internal", what, &[txn.op])
}

/// Reads of what a failed transaction appended (G1a), of a state in the middle of a transaction
/// (G1b), and of what nobody appended.
pub(super) fn check_aborted(
    txns: &Txns<'_>,
    lists: &Lists<'_>,
    readings: &[Reading<'_>],
    found: &mut Findings,
) {
    for reading in readings {
        let key = reading.key;
        let reader = txns.all[reading.txn as usize].op;
        let name = |value: u32| txns.values.value(value);
        for value in lists.suspects(txns, reading) {
            match txns.writers.get(&(key, value)) {
                None => found.add("unwritten", || {
                    let what = format!(
                        "{} was read of key {}, but nobody appended it",
                        name(value),
                        txns.keys.value(key)
                    );
                    Finding::new("unwritten", what, &[reader])
                }),
                Some(writer) => found.add("G1a", || {
                    let what = format!(
                        "{} was read of key {}, but the transaction that appended it had failed",
                        name(value),
                        txns.keys.value(key)
                    );
                    Finding::new("G1a", what, &[txns.all[writer.txn as usize].op, reader])
                }),
            }
        }
        let Some(last) = reading.outer().last() else {
            continue;
        };
        if let Some(writer) = txns.writer(key, *last)
            && !writer.is_last
            && writer.txn != reading.txn
        {
            found.add("G1b", || {
                let what = format!(
                    "{} was read as the last of key {}, but its transaction appended more to it",
                    name(*last),
                    txns.keys.value(key)
                );
                Finding::new("G1b", what, &[txns.all[writer.txn as usize].op, reader])
            });
        }
    }
}

/// Two acknowledged transactions that read the same list and then appended to it.
pub(super) fn check_lost_updates(txns: &Txns<'_>, readings: &[Reading<'_>], found: &mut Findings) {
    let mut updates: HashMap<(u32, &[u32]), u32> = HashMap::new();
    for reading in readings
        .iter()
        .filter(|reading| reading.appends_later && reading.own == 0)
    {
        let first = *updates
            .entry((reading.key, reading.list))
            .or_insert(reading.txn);
        if first != reading.txn {
            found.add("lost-update", || {
                let what = format!(
                    "two transactions read {} of key {} and then appended to it",
                    show(txns, reading.list),
                    txns.keys.value(reading.key)
                );
                let [one, other] = [first, reading.txn].map(|txn| txns.all[txn as usize].op);
                Finding::new("lost-update", what, &[one, other])
            });
        }
    }
}
