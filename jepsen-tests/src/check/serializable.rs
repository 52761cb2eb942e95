//! Serializable reads may be old, and must be whole: each equals the state of the log at the
//! revision that it names.
//!
//! `:assign [key value]` is answered by `[key value revision]`, `:read-at` by
//! `[revision [[key value revision] …]]`.

use std::collections::BTreeMap;

use super::log::{self, Log, State};
use super::{Error, Finding, Findings};
use crate::edn::Value;
use crate::history::{Kind, Op};

/// Every broken promise.
pub(super) fn check(ops: &[Op<'_>]) -> Result<Findings, Error> {
    let mut found = Findings::default();
    let log = log::read(ops, &mut found)?;
    let mut reads = Vec::new();
    for op in ops {
        match (op.f(), op.kind) {
            ("assign", Kind::Ok | Kind::Fail) => check_assign(&log, op, &mut found)?,
            ("read-at", Kind::Ok) => reads.push(parse(op)?),
            _ => {}
        }
    }
    if reads.is_empty() {
        return Err(Error::Nothing("no read was acknowledged"));
    }
    reads.sort_by_key(|read| read.at);
    let mut state = State::before(&log);
    for read in reads.iter().filter(|read| log.covers(read.at)) {
        state.forward(read.at);
        if let Some(what) = difference(read, &state, &log) {
            found.add("not-a-prefix", || {
                Finding::new("not-a-prefix", what, &[read.op])
            });
        }
    }
    let is_ahead = |read: &&Read<'_>| read.at > log.end;
    if let Some(read) = reads.iter().find(is_ahead) {
        let what = format!("a read names revision {}, which never was", read.at);
        found.add("unexpected", || {
            Finding::new("unexpected", what, &[read.op])
        });
    }
    Ok(found)
}

/// A read of all keys.
pub(super) struct Read<'a> {
    pub(super) op: &'a Op<'a>,
    pub(super) at: i64,
    /// Values with their revisions.
    pub(super) keys: BTreeMap<&'a str, (&'a str, i64)>,
}

pub(super) fn parse<'a>(op: &'a Op<'a>) -> Result<Read<'a>, Error> {
    let read = || {
        let (at, all) = op.value().pair()?;
        let (at, keys) = (at.int()?, keys(all)?);
        Some(Read { op, at, keys })
    };
    read().ok_or_else(|| Error::shape(op, "[revision [[key value revision] …]]"))
}

/// `[[key value revision] …]`.
pub(super) fn keys(value: &Value) -> Option<BTreeMap<&str, (&str, i64)>> {
    let keys = value.elements()?.iter().map(|key| match key.elements()? {
        [Value::Text(key), Value::Text(value), Value::Int(at)] => {
            Some((key.as_str(), (value.as_str(), *at)))
        }
        _ => None,
    });
    keys.collect()
}

pub(super) fn check_assign(log: &Log, op: &Op<'_>, found: &mut Findings) -> Result<(), Error> {
    let Some([Value::Text(key), Value::Text(value), rest @ ..]) = op.value().elements() else {
        return Err(Error::shape(op, "[key value] or [key value revision]"));
    };
    if op.kind == Kind::Fail {
        let is_there = log
            .entries
            .iter()
            .any(|entry| entry.value.as_ref() == Some(value));
        if is_there {
            let what = format!("{value} was refused but is in the log");
            found.add("refused-write", || {
                Finding::new("refused-write", what, &[op])
            });
        }
        return Ok(());
    }
    let [Value::Int(at)] = rest else {
        return Err(Error::shape(op, "[key value revision]"));
    };
    let mut there = log.at(*at).iter();
    let is_there = there.any(|entry| entry.key == *key && entry.value.as_ref() == Some(value));
    if log.covers(*at) && !is_there {
        let what = format!("acknowledged at revision {at}, but the log has another change there");
        found.add("lost", || Finding::new("lost", what, &[op]));
    }
    Ok(())
}

/// How a read differs from the state at its revision.
pub(super) fn difference(read: &Read<'_>, state: &State<'_>, log: &Log) -> Option<String> {
    for (key, (value, at)) in &read.keys {
        let wanted = state.keys.get(key);
        let is_same = match wanted {
            Some(entry) => entry.value.as_deref() == Some(*value) && entry.revision == *at,
            // Written before the log begins.
            None => *at < log.from,
        };
        if !is_same {
            return Some(format!(
                "at revision {} {key} was read as {value} of {at}, the log has {}",
                read.at,
                wanted.map_or(Value::Nil, |entry| entry.to_value())
            ));
        }
    }
    // Only keys of this workload: the log has others too.
    let missing = state.keys.values().find(|entry| {
        entry.key.contains("assign/")
            && entry.value.is_some()
            && !read.keys.contains_key(entry.key.as_str())
    });
    missing.map(|entry| format!("at revision {} a read misses {}", read.at, entry.to_value()))
}
