//! Locks with fencing: a write that names its lock is never lost, is made by the lock's owner at
//! that revision, and no lock is told to be taken that has ended already.
//!
//! `:acquire lock` is answered by `[lock key revision]`; `:fenced-write [resource value]` by
//! `[resource value revision]`; the value in the store is `value on base by key`.

use std::collections::BTreeMap;

use super::log::{self, Entry, Log, State};
use super::{Error, Finding, Findings};
use crate::edn::Value;
use crate::history::{Kind, Op};

/// Every broken promise.
pub(super) fn check(ops: &[Op<'_>]) -> Result<Findings, Error> {
    let mut found = Findings::default();
    let log = log::read(ops, &mut found)?;
    let is_write = |op: &&Op<'_>| op.f() == "fenced-write" && op.kind == Kind::Ok;
    if ops.iter().filter(is_write).count() == 0 {
        return Err(Error::Nothing("no write under a lock was acknowledged"));
    }
    check_chain(&log, &mut found);
    for op in ops {
        match (op.f(), op.kind) {
            ("fenced-write", Kind::Ok | Kind::Fail) => check_write(&log, op, &mut found)?,
            ("acquire", Kind::Ok) => check_acquire(&log, op, &mut found)?,
            _ => {}
        }
    }
    Ok(found)
}

/// A value of a resource: itself, what it is based on, and the key of the lock.
fn parts(value: &str) -> Option<(&str, &str, &str)> {
    let mut words = value.split(' ');
    let (new, _, base) = (words.next()?, words.next()?, words.next()?);
    let _ = words.next()?;
    Some((new, base, words.next()?))
}

/// Each write is based on the one before, and its lock was the first in line.
pub(super) fn check_chain(log: &Log, found: &mut Findings) {
    let mut state = State::before(log);
    let mut last: BTreeMap<&str, &str> = BTreeMap::new();
    for entry in &log.entries {
        let Some((new, base, key)) = entry.value.as_deref().and_then(parts) else {
            continue;
        };
        let before = last.insert(&entry.key, new);
        // What was there before the log begins may be compacted.
        let before = before.or((entry.version == 1).then_some("0"));
        if let Some(before) = before.filter(|before| *before != base) {
            let what = format!(
                "{} is based on {base}, but {before} was there: that update is lost",
                entry.to_value()
            );
            found.add("lost-update", || Finding::new("lost-update", what, &[]));
        }
        state.forward(entry.revision);
        if let Some(what) = not_owner(&state, key) {
            let what = format!("{}: {what}", entry.to_value());
            found.add("not-owner", || Finding::new("not-owner", what, &[]));
        }
    }
}

/// Why the lock's key is not the first in line of its lock.
pub(super) fn not_owner(state: &State<'_>, key: &str) -> Option<String> {
    let lock = key.rsplit_once('/').map_or(key, |(lock, _)| lock);
    let is_waiting = |entry: &&&Entry| {
        entry.value.is_some() && entry.key.rsplit_once('/').is_some_and(|(of, _)| of == lock)
    };
    let first = state
        .keys
        .values()
        .filter(is_waiting)
        .min_by_key(|entry| entry.create);
    match (state.keys.get(key), first) {
        (Some(own), _) if own.value.is_none() => Some("its lock has ended".to_owned()),
        (None, _) if state.is_whole() => Some("its lock never was".to_owned()),
        (Some(own), Some(first)) if first.key != own.key => {
            Some(format!("{} came before its lock", first.key))
        }
        _ => None,
    }
}

pub(super) fn check_write(log: &Log, op: &Op<'_>, found: &mut Findings) -> Result<(), Error> {
    let Some([Value::Text(resource), Value::Int(value), rest @ ..]) = op.value().elements() else {
        return Err(Error::shape(
            op,
            "[resource value] or [resource value revision]",
        ));
    };
    let value = value.to_string();
    let is_it = |entry: &&Entry| {
        let parts = entry.value.as_deref().and_then(parts);
        entry.key == *resource && parts.is_some_and(|(new, ..)| new == value)
    };
    let there = log.entries.iter().find(is_it);
    let (anomaly, what) = match (op.kind, rest, there) {
        (Kind::Fail, _, Some(_)) => (
            "refused-write",
            format!("{value} was refused but is in the log"),
        ),
        (Kind::Ok, [Value::Int(at)], there) if log.covers(*at) => {
            if there.is_some_and(|entry| entry.revision == *at) {
                return Ok(());
            }
            (
                "lost",
                format!("acknowledged at revision {at}, but not there in the log"),
            )
        }
        _ => return Ok(()),
    };
    found.add(anomaly, || Finding::new(anomaly, what, &[op]));
    Ok(())
}

/// The answer's revision is one at which the lock was held (etcd's issue 11456).
fn check_acquire(log: &Log, op: &Op<'_>, found: &mut Findings) -> Result<(), Error> {
    let Some([_, Value::Text(key), Value::Int(at)]) = op.value().elements() else {
        return Err(Error::shape(op, "[lock key revision]"));
    };
    if !log.covers(*at) {
        return Ok(());
    }
    let mut state = State::before(log);
    state.forward(*at);
    if let Some(what) = not_owner(&state, key) {
        let what = format!("told to hold {key} at revision {at}: {what}");
        found.add("not-held", || Finding::new("not-held", what, &[op]));
    }
    Ok(())
}
