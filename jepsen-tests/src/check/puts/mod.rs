//! Unique keys, each put once: what our own scenarios record of a store and of a plane.
//!
//! Clients `:put` a key and are told `[key revision]`; a watcher notes each `:seen [key revision]`;
//! at the end one client does a `:read-final` of all `[key revision]`. A `:react` tells how long a
//! component of the plane took to act.

mod durable;
mod pauses;
mod revisions;
mod watch;

use std::collections::BTreeMap;

pub(crate) use pauses::{Pauses, pauses};

use super::{Error, Findings};
use crate::edn::Value;
use crate::history::{Event, Kind, Op, Process};

/// Every broken promise.
pub(super) fn check(events: &[Event], ops: &[Op<'_>]) -> Result<Findings, Error> {
    let puts = puts(ops)?;
    if !puts.iter().any(|put| put.op.kind == Kind::Ok) {
        return Err(Error::Nothing("no write was acknowledged"));
    }
    let last = last(ops)?.ok_or(Error::Nothing("there is no final read"))?;
    let mut found = Findings::default();
    durable::check(&puts, &last, &mut found);
    revisions::check(&puts, &mut found);
    watch::check(&watched(events)?, &last, &mut found);
    Ok(found)
}

/// One put.
struct Put<'a> {
    op: &'a Op<'a>,
    key: &'a str,
    /// Where it was acknowledged.
    revision: Option<i64>,
}

/// The final read: keys with their revisions.
struct Last<'a> {
    op: &'a Op<'a>,
    keys: BTreeMap<&'a str, i64>,
}

/// What one watcher saw, in its order.
type Watched<'a> = BTreeMap<&'a str, Vec<(&'a str, i64)>>;

fn puts<'a>(ops: &'a [Op<'a>]) -> Result<Vec<Put<'a>>, Error> {
    let mut puts = Vec::with_capacity(ops.len());
    for op in ops.iter().filter(|op| op.f() == "put") {
        let put = match op.value() {
            Value::Text(key) => Some((key.as_str(), None)),
            told => key_revision(told).map(|(key, revision)| (key, Some(revision))),
        };
        let (key, revision) = put.ok_or_else(|| Error::Shape {
            line: op.invoked.line,
            what: format!(
                "a :put is of a key, told as [key revision], and not of {}",
                op.value()
            ),
        })?;
        puts.push(Put { op, key, revision });
    }
    Ok(puts)
}

fn last<'a>(ops: &'a [Op<'a>]) -> Result<Option<Last<'a>>, Error> {
    let is_last = |op: &&Op<'_>| op.f() == "read-final" && op.kind == Kind::Ok;
    let Some(op) = ops.iter().rfind(is_last) else {
        return Ok(None);
    };
    let pairs = op
        .value()
        .elements()
        .unwrap_or(&[])
        .iter()
        .map(key_revision);
    let keys = pairs.collect::<Option<_>>().ok_or_else(|| Error::Shape {
        line: op.completed.map_or(op.invoked.line, |event| event.line),
        what: "a :read-final is of [key revision] for each key".to_owned(),
    })?;
    Ok(Some(Last { op, keys }))
}

fn watched(events: &[Event]) -> Result<Watched<'_>, Error> {
    let mut watched = Watched::new();
    for event in events.iter().filter(|event| event.f == "seen") {
        let Process::Named(watcher) = &event.process else {
            continue;
        };
        let seen = key_revision(&event.value).ok_or_else(|| Error::Shape {
            line: event.line,
            what: format!("what was :seen is [key revision], and not {}", event.value),
        })?;
        watched.entry(watcher).or_default().push(seen);
    }
    Ok(watched)
}

fn key_revision(value: &Value) -> Option<(&str, i64)> {
    match value.pair()? {
        (Value::Text(key), Value::Int(revision)) => Some((key, *revision)),
        _ => None,
    }
}
