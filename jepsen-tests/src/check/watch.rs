//! Watchers against the log: each was told of every change once, whole, in the order of revisions,
//! across all its streams; progress is never ahead of what was told; and what clients were
//! acknowledged is in the log.
//!
//! `:change [[key value] …]` is answered by `[[[key value] …] revision]`, where `nil` deletes. A
//! watcher `watcher…` notes `:open [url from]`, `:batch [revision [change …]]`, `:progress
//! revision` and `:compacted revision`. One that is named `watcher-ahead…` asked for what was yet to
//! come, and left before the end: what it was told is whole as far as it goes.

use std::collections::{BTreeMap, BTreeSet};

use super::log::{self, Entry, Log, State};
use super::{Error, Finding, Findings};
use crate::edn::Value;
use crate::history::{Event, Kind, Op};

/// What the names of those begin with who asked ahead.
const AHEAD: &str = "watcher-ahead";

/// Every broken promise.
pub(super) fn check(events: &[Event], ops: &[Op<'_>]) -> Result<Findings, Error> {
    let mut found = Findings::default();
    let log = log::read(ops, &mut found)?;
    check_changes(&log, ops, &mut found)?;
    let notes = log::notes(events);
    let is_told = |event: &&&Event| event.f == "batch";
    if notes.values().flatten().filter(is_told).count() == 0 {
        return Err(Error::Nothing("no watcher was told of anything"));
    }
    for (name, notes) in notes {
        check_watcher(name, &notes, &log, &mut found)?;
    }
    Ok(found)
}

type Change<'a> = BTreeMap<&'a str, Option<&'a str>>;

fn change(value: &Value) -> Option<Change<'_>> {
    let pairs = value.elements()?.iter();
    pairs
        .map(|pair| match pair.pair()? {
            (Value::Text(key), Value::Text(value)) => Some((key.as_str(), Some(value.as_str()))),
            (Value::Text(key), Value::Nil) => Some((key.as_str(), None)),
            _ => None,
        })
        .collect()
}

/// What was acknowledged is in the log as it was; what was refused is not.
fn check_changes(log: &Log, ops: &[Op<'_>], found: &mut Findings) -> Result<(), Error> {
    let written: BTreeSet<&str> = log
        .entries
        .iter()
        .filter_map(|entry| entry.value.as_deref())
        .collect();
    let mut asked: BTreeSet<&str> = BTreeSet::new();
    for op in ops.iter().filter(|op| op.f() == "change") {
        let malformed = || Error::Shape {
            line: op.invoked.line,
            what: format!("a change must be [[key value] …], and not {}", op.value()),
        };
        let wanted = change(&op.invoked.value).ok_or_else(malformed)?;
        asked.extend(wanted.values().copied().flatten());
        if op.kind == Kind::Fail {
            let there = wanted
                .values()
                .flatten()
                .find(|value| written.contains(*value));
            if let Some(value) = there {
                let what = format!("{value} was refused but is in the log");
                found.add("refused-write", || {
                    Finding::new("refused-write", what, &[op])
                });
            }
        }
        if op.kind != Kind::Ok {
            continue;
        }
        let (_, at) = op.value().pair().ok_or_else(malformed)?;
        let at = at.int().ok_or_else(malformed)?;
        check_acknowledged(log, op, &wanted, at, found);
    }
    for value in written.difference(&asked) {
        found.add("unexpected", || {
            Finding::new(
                "unexpected",
                format!("nobody wrote {value}, but the log has it"),
                &[],
            )
        });
    }
    Ok(())
}

fn check_acknowledged(log: &Log, op: &Op<'_>, wanted: &Change<'_>, at: i64, found: &mut Findings) {
    // A change that only deletes what is not there has no revision of its own.
    if wanted.values().all(Option::is_none) || !log.covers(at) {
        return;
    }
    let there = log.at(at);
    for (key, value) in wanted {
        let entry = there.iter().find(|entry| entry.key == *key);
        let is_there = match (entry, value) {
            (Some(entry), value) => entry.value.as_deref() == *value,
            (None, None) => true,
            (None, Some(_)) => false,
        };
        if !is_there {
            let what = format!(
                "acknowledged at revision {at}, but the log has no such change of {key} there"
            );
            found.add("lost", || Finding::new("lost", what, &[op]));
        }
    }
    let other = there
        .iter()
        .find(|entry| !wanted.contains_key(entry.key.as_str()));
    if let Some(other) = other {
        let what = format!("revision {at} also changes {}", other.key);
        found.add("shared-revision", || {
            Finding::new("shared-revision", what, &[op])
        });
    }
}

/// What a watcher was told.
struct Watched<'a> {
    name: &'a str,
    /// The last revision that it was told of, or was told that nothing before is missing.
    at: i64,
    /// The first revision of its stream.
    from: i64,
    /// What it was told, from this revision on without a gap.
    whole_from: Option<i64>,
    /// Up to this one.
    whole_to: i64,
    told: Vec<Entry>,
}

fn check_watcher(
    name: &str,
    notes: &[&Event],
    log: &Log,
    found: &mut Findings,
) -> Result<(), Error> {
    let mut watched = Watched {
        name,
        at: i64::MIN,
        from: i64::MIN,
        whole_from: None,
        whole_to: i64::MAX,
        told: Vec::new(),
    };
    for event in notes {
        match event.f.as_str() {
            "open" => {
                let from = event.value.pair().and_then(|(_, from)| from.int());
                watched.from = from.unwrap_or(i64::MIN);
                watched.whole_from = watched.whole_from.or(from);
            }
            "batch" => {
                let (header, entries) = log::batch(event)?;
                watched.batch(header, entries, event.line, found);
            }
            "progress" => watched.at = watched.at.max(event.value.int().unwrap_or(i64::MIN)),
            // What was compacted before it was told is missing rightly.
            "compacted" => watched.whole_from = event.value.int(),
            _ => {}
        }
    }
    if name.starts_with(AHEAD) {
        let last = watched.told.iter().map(|entry| entry.revision).max();
        watched.whole_to = last.unwrap_or(i64::MIN);
    }
    watched.compare(log, found);
    Ok(())
}

impl Watched<'_> {
    fn add(&self, found: &mut Findings, anomaly: &'static str, what: String) {
        let what = format!("{} {what}", self.name);
        found.add(anomaly, || Finding::new(anomaly, what, &[]));
    }

    fn batch(&mut self, header: i64, entries: Vec<Entry>, line: usize, found: &mut Findings) {
        let before = self.at;
        for entry in entries {
            let at = entry.revision;
            if at < self.from {
                let what = format!(
                    "asked from revision {} and was told of {at} (line {line})",
                    self.from
                );
                self.add(found, "watch-before-start", what);
            } else if at <= before {
                // As a batch is never split within a revision, an equal one is wrong too.
                let what = format!("was told of revision {at} after {before} (line {line})");
                self.add(found, "watch-order", what);
            } else if at < self.at {
                let what = format!("was told of revision {at} after {} (line {line})", self.at);
                self.add(found, "watch-order", what);
            }
            if at > header {
                let what = format!(
                    "was told of revision {at} under the store's revision {header} (line {line})"
                );
                self.add(found, "watch-ahead", what);
            }
            self.at = self.at.max(at);
            self.told.push(entry);
        }
    }

    /// Everything between the first and the last revision, once and as the log has it.
    fn compare(&self, log: &Log, found: &mut Findings) {
        let Some(whole_from) = self.whole_from else {
            return;
        };
        let mut told: BTreeMap<(i64, &str), &Entry> = BTreeMap::new();
        for entry in &self.told {
            if told.insert((entry.revision, &entry.key), entry).is_some() {
                let what = format!("was told twice of {}", entry.to_value());
                self.add(found, "watch-duplicate", what);
            }
        }
        let mut state = State::before(log);
        for entry in &log.entries {
            state.forward(entry.revision - 1);
            let before = state.keys.get(entry.key.as_str()).copied();
            let Some(seen) = told.remove(&(entry.revision, entry.key.as_str())) else {
                if (whole_from..=self.whole_to).contains(&entry.revision) {
                    self.add(
                        found,
                        "watch-lost",
                        format!("was never told of {}", entry.to_value()),
                    );
                }
                continue;
            };
            let same = Entry {
                prev: entry.prev,
                ..seen.clone()
            };
            if same != *entry {
                let what = format!(
                    "was told of {}, but the log has {}",
                    seen.to_value(),
                    entry.to_value()
                );
                self.add(found, "watch-differs", what);
            }
            let wanted = before.and_then(|before| before.value.as_ref().map(|_| before.revision));
            if before.is_some() && seen.prev.is_some() && seen.prev != wanted {
                let what = format!("was told that {} came after {wanted:?}", seen.to_value());
                self.add(found, "watch-prev", what);
            }
        }
        let covered = told
            .into_values()
            .filter(|entry| log.covers(entry.revision));
        for entry in covered {
            self.add(
                found,
                "watch-unexpected",
                format!("was told of {}, which the log has not", entry.to_value()),
            );
        }
    }
}
