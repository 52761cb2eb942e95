//! Registers: reads, writes and compare-and-sets of single keys must have happened one after
//! another, each between its invocation and its answer.
//!
//! A key is judged apart from the others, since linearizability is a property of each object. With
//! versions, as etcd tells them, every write raises the key's version by one and its revision by
//! something, and the revisions of all keys rise together, as do those in the answers' headers.

mod parse;
mod versions;

use std::collections::HashMap;

pub(super) use parse::is_versioned;

use super::intern::Interner;
use super::linear::{self, Call, Failure};
use super::{Error, Finding, Findings, Verdict};
use crate::history::Op;

/// Configurations that all keys together may cost: under a gigabyte, and a minute or so.
const CONFIGURATIONS_MAX: u64 = 20_000_000;

/// Whether answers tell the key's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Versions {
    /// They do not.
    Absent,
    /// They do, and perhaps its revision.
    Told,
}

/// One operation on one key.
#[derive(Clone, Copy, Debug)]
struct KeyOp<'a> {
    call: Call,
    /// The store's revision, as its answer's header tells it.
    header: Option<i64>,
    op: &'a Op<'a>,
}

/// Judges all keys.
pub(super) fn check(ops: &[Op<'_>], versions: Versions) -> Result<Verdict, Error> {
    let mut values = Interner::new();
    let parsed = parse::all(ops, versions, &mut values)?;
    let mut keys: Vec<Vec<KeyOp<'_>>> = Vec::new();
    let mut numbers: HashMap<u32, usize> = HashMap::new();
    for (key, op) in parsed {
        let at = *numbers.entry(key).or_insert_with(|| {
            keys.push(Vec::new());
            keys.len() - 1
        });
        keys[at].push(op);
    }
    let mut names: Vec<(usize, u32)> = numbers.iter().map(|(key, at)| (*at, *key)).collect();
    names.sort_unstable();
    let mut found = Findings::default();
    if versions == Versions::Told {
        let all: Vec<KeyOp<'_>> = keys.iter().flatten().copied().collect();
        versions::check_revisions(&all, &mut found);
        versions::check_headers(&all, &mut found);
    }
    let mut budget = CONFIGURATIONS_MAX;
    let mut unsure = None;
    for (at, key) in names {
        let name = values.value(key).to_string();
        match check_key(&name, &keys[at], versions, &mut budget) {
            Ok(of_key) => found.extend(of_key),
            Err(TooMany) => unsure = unsure.or(Some(name)),
        }
    }
    Ok(match unsure {
        Some(key) if found.is_empty() => Verdict::Unknown(format!(
            "key {key} has too many possible orders: over {CONFIGURATIONS_MAX} configurations; \
             record fewer operations of unknown outcome on each key"
        )),
        _ => found.verdict(),
    })
}

/// The search was given up.
struct TooMany;

fn check_key(
    name: &str,
    ops: &[KeyOp<'_>],
    versions: Versions,
    budget: &mut u64,
) -> Result<Findings, TooMany> {
    let mut found = Findings::default();
    if versions == Versions::Told {
        versions::check_key(name, ops, &mut found);
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let timed: Vec<linear::Timed> = ops.iter().map(KeyOp::timed).collect();
    match linear::check(&timed, versions == Versions::Told, budget) {
        Ok(()) => {}
        Err(Failure::TooMany) => return Err(TooMany),
        Err(Failure::Impossible { last, shown }) => {
            let shown: Vec<&Op<'_>> = shown.iter().map(|at| ops[*at].op).collect();
            found.add("nonlinearizable", || {
                Finding::new(
                    "nonlinearizable",
                    impossible(name, &shown, ops[last].op),
                    &shown,
                )
            });
        }
    }
    Ok(found)
}

impl KeyOp<'_> {
    fn timed(&self) -> linear::Timed {
        linear::Timed {
            call: self.call,
            invoked_at: self.op.invoked_at,
            completed_at: self.op.completed_at,
        }
    }
}

fn impossible(key: &str, shown: &[&Op<'_>], last: &Op<'_>) -> String {
    format!(
        "key {key}: no order of these {} operations explains what they were told, at the latest \
         when the one of line {} was answered",
        shown.len(),
        last.invoked.line
    )
}
