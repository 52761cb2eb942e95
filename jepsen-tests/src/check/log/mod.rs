//! The applied log: every change in the order of revisions, as each member tells it at the end of
//! a run. What clients and watchers were told while it ran is held against it.

mod entry;
mod replay;

use std::cmp::Reverse;
use std::collections::BTreeMap;

pub(crate) use entry::Entry;
pub(super) use replay::State;

use super::{Error, Finding, Findings};
use crate::edn::Value;
use crate::history::{Event, Kind, Op, Process};

/// The log between two revisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Log {
    /// The first revision that it holds; earlier ones were compacted or are none of ours.
    pub(super) from: i64,
    /// The first revision that it does not hold.
    pub(super) end: i64,
    /// In the order of revisions.
    pub(super) entries: Vec<Entry>,
    /// Whether nothing of the run was compacted before it was read.
    pub(super) is_whole: bool,
}

impl Log {
    /// Every change at `revision`.
    pub(super) fn at(&self, revision: i64) -> &[Entry] {
        let from = self
            .entries
            .partition_point(|entry| entry.revision < revision);
        let rest = self.entries.get(from..).unwrap_or_default();
        let count = rest.partition_point(|entry| entry.revision == revision);
        rest.get(..count).unwrap_or_default()
    }

    /// Whether the log tells what happened at `revision`.
    pub(super) fn covers(&self, revision: i64) -> bool {
        (self.from..self.end).contains(&revision)
    }
}

/// The log that all members tell, and whatever is wrong with it itself.
pub(super) fn read(ops: &[Op<'_>], found: &mut Findings) -> Result<Log, Error> {
    let mut logs = Vec::new();
    for op in ops
        .iter()
        .filter(|op| op.f() == "log" && op.kind == Kind::Ok)
    {
        logs.push((parse(op)?, op));
    }
    let Some((log, op)) = logs.first() else {
        return Err(Error::Nothing("there is no log of any member"));
    };
    for (other, other_op) in &logs {
        check_order(other, other_op, found);
        if let Some(what) = difference(log, other) {
            found.add("log-diverged", || {
                Finding::new("log-diverged", what, &[op, other_op])
            });
        }
    }
    check_versions(log, op, found);
    // The longest: members are compacted at different times.
    let longest = logs
        .iter()
        .min_by_key(|(log, _)| (log.from, Reverse(log.end)));
    Ok(longest.map_or(log, |(log, _)| log).clone())
}

/// Up to where every log goes.
pub(super) fn least_end(ops: &[Op<'_>]) -> Result<i64, Error> {
    let logs = ops
        .iter()
        .filter(|op| op.f() == "log" && op.kind == Kind::Ok);
    let ends: Result<Vec<i64>, Error> = logs.map(|op| Ok(parse(op)?.end)).collect();
    let least = ends?.into_iter().min();
    least.ok_or(Error::Nothing("there is no log of any member"))
}

fn parse(op: &Op<'_>) -> Result<Log, Error> {
    let line = op.completed.map_or(op.invoked.line, |event| event.line);
    let Some([Value::Int(from), Value::Int(end), entries]) = op.value().elements() else {
        return Err(Error::Shape {
            line,
            what: "a log must be [from end [change …]]".to_owned(),
        });
    };
    Ok(Log {
        from: *from,
        end: *end,
        entries: entries_of(entries, line)?,
        is_whole: op
            .invoked
            .value
            .elements()
            .and_then(|asked| asked.first()?.int())
            .is_none_or(|asked| asked == *from),
    })
}

/// The changes in a vector of them.
pub(super) fn entries_of(value: &Value, line: usize) -> Result<Vec<Entry>, Error> {
    let all = value.elements().unwrap_or_default().iter();
    all.map(|value| Entry::from_value(value, line)).collect()
}

fn check_order(log: &Log, op: &Op<'_>, found: &mut Findings) {
    for pair in log.entries.windows(2) {
        if pair[1].revision < pair[0].revision {
            let (one, next) = (pair[0].revision, pair[1].revision);
            let what = format!("the log tells revision {next} after {one}");
            found.add("log-order", || Finding::new("log-order", what, &[op]));
        }
    }
}

/// How two logs differ in what both cover.
fn difference(one: &Log, other: &Log) -> Option<String> {
    let from = one.from.max(other.from);
    let end = one.end.min(other.end);
    let shared = |log: &Log| -> Vec<Entry> {
        let entries = log.entries.iter();
        entries
            .filter(|entry| (from..end).contains(&entry.revision))
            .cloned()
            .collect()
    };
    let (one, other) = (shared(one), shared(other));
    // What was there before may be compacted on one member and not yet on the other.
    let is_same = |a: &Entry, b: &Entry| {
        let prev = if a.prev.is_none() || b.prev.is_none() {
            None
        } else {
            a.prev
        };
        Entry { prev, ..a.clone() }
            == Entry {
                prev: b.prev.and(prev),
                ..b.clone()
            }
    };
    let at = one.iter().zip(&other).position(|(a, b)| !is_same(a, b));
    match at {
        Some(at) => Some(format!(
            "two members tell the same log differently: {} and {}",
            one[at].to_value(),
            other[at].to_value()
        )),
        None if one.len() != other.len() => {
            let rest = one.get(other.len()).or_else(|| other.get(one.len()));
            let rest = rest.map_or(Value::Nil, Entry::to_value);
            Some(format!(
                "one member's log has {rest}, and another's has not"
            ))
        }
        None => None,
    }
}

/// Versions and create revisions of each key follow from the change before.
fn check_versions(log: &Log, op: &Op<'_>, found: &mut Findings) {
    let mut last: BTreeMap<&str, &Entry> = BTreeMap::new();
    for entry in &log.entries {
        let before = last.insert(&entry.key, entry);
        let Some(before) = before else { continue };
        let wanted = match (&before.value, &entry.value) {
            (Some(_), Some(_)) => (before.version + 1, before.create),
            (None, Some(_)) => (1, entry.revision),
            (_, None) => continue,
        };
        if (entry.version, entry.create) != wanted {
            let what = format!(
                "after {} comes {}: its version and create revision should be {wanted:?}",
                before.to_value(),
                entry.to_value()
            );
            found.add("wrong-version", || {
                Finding::new("wrong-version", what, &[op])
            });
        }
    }
}

/// What each watcher noted, in its order: the names of its notes and their values, with the time.
pub(super) fn notes(events: &[Event]) -> BTreeMap<&str, Vec<&Event>> {
    let mut notes: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    for event in events {
        let Process::Named(name) = &event.process else {
            continue;
        };
        if name.starts_with("watcher") {
            notes.entry(name).or_default().push(event);
        }
    }
    notes
}

/// The header's revision and the changes of a `:batch`.
pub(super) fn batch(event: &Event) -> Result<(i64, Vec<Entry>), Error> {
    match event.value.elements() {
        Some([Value::Int(header), entries]) => Ok((*header, entries_of(entries, event.line)?)),
        _ => Err(Error::Shape {
            line: event.line,
            what: "a batch must be [revision [change …]]".to_owned(),
        }),
    }
}
