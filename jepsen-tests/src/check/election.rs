//! Elections: at most one leads at a time, writes under a leader's key are as under a lock, and
//! observers are told of leaders, all of them real, in their order.
//!
//! `:campaign name` is answered by `[name key revision]`, where the key was made; `:leader name` by
//! `[name key value revision store-revision]`; `:proclaim [key value]` by `[key value revision]`;
//! `:fenced-write` as under locks. An observer `observer…` notes `:observed [key value create
//! revision]`. A leader is who was made first of those that are there.

use std::collections::BTreeMap;

use super::lock;
use super::log::{self, Entry, Log, State};
use super::{Error, Finding, Findings};
use crate::edn::Value;
use crate::history::{Event, Kind, Op, Process};

/// Every broken promise.
pub(super) fn check(events: &[Event], ops: &[Op<'_>]) -> Result<Findings, Error> {
    let mut found = Findings::default();
    let log = log::read(ops, &mut found)?;
    let is_won = |op: &&Op<'_>| op.f() == "campaign" && op.kind == Kind::Ok;
    if ops.iter().filter(is_won).count() == 0 {
        return Err(Error::Nothing("nobody was told to lead"));
    }
    lock::check_chain(&log, &mut found);
    let reigns = reigns(&log);
    let writes = writes(ops);
    for op in ops {
        match (op.f(), op.kind) {
            ("fenced-write", Kind::Ok | Kind::Fail) => lock::check_write(&log, op, &mut found)?,
            ("campaign", Kind::Ok) => check_campaign(&log, &reigns, &writes, op, &mut found)?,
            ("leader", Kind::Ok) => check_leader(&log, op, &mut found)?,
            ("proclaim", Kind::Ok) => check_proclaim(&log, op, &mut found)?,
            _ => {}
        }
    }
    check_observers(events, &log, &reigns, &mut found)?;
    Ok(found)
}

/// From where to where a candidate was there, and from where on nobody was before it.
#[derive(Clone, Copy, Debug)]
struct Reign {
    create: i64,
    /// The end of the last of those before it.
    leads_from: i64,
    /// Where it went; never if it is still there.
    end: i64,
}

/// Every candidate of the log, by its key.
fn reigns(log: &Log) -> BTreeMap<&str, Reign> {
    let mut all: BTreeMap<&str, Reign> = BTreeMap::new();
    for entry in &log.entries {
        match &entry.value {
            Some(_) => {
                all.entry(&entry.key).or_insert(Reign {
                    create: entry.create,
                    leads_from: entry.create,
                    end: i64::MAX,
                });
            }
            None => {
                if let Some(reign) = all.get_mut(entry.key.as_str()) {
                    reign.end = entry.revision;
                }
            }
        }
    }
    let mut elections: BTreeMap<&str, Vec<(&str, Reign)>> = BTreeMap::new();
    for (key, reign) in &all {
        if let Some((election, _)) = key.rsplit_once('/') {
            elections.entry(election).or_default().push((key, *reign));
        }
    }
    for mut candidates in elections.into_values() {
        candidates.sort_by_key(|(_, reign)| reign.create);
        let mut free_from = 0;
        for (key, reign) in candidates {
            if let Some(reign) = all.get_mut(key) {
                reign.leads_from = reign.create.max(free_from);
            }
            free_from = free_from.max(reign.end);
        }
    }
    all
}

/// When each acknowledged write was asked for, and its revision, by that time.
fn writes(ops: &[Op<'_>]) -> Vec<(u32, i64)> {
    let acknowledged = ops.iter().filter(|op| op.kind == Kind::Ok);
    let mut writes: Vec<(u32, i64)> = acknowledged
        .filter_map(|op| match (op.f(), op.value().elements()?) {
            ("fenced-write" | "proclaim" | "campaign", [_, _, Value::Int(at)]) => {
                Some((op.invoked_at, *at))
            }
            _ => None,
        })
        .collect();
    writes.sort_unstable();
    // The least revision of this one and all after it.
    let mut least = i64::MAX;
    for (_, at) in writes.iter_mut().rev() {
        least = least.min(*at);
        *at = least;
    }
    writes
}

/// Whoever is told to lead has no other before it, as far as the writes that were asked for later
/// show where the store was.
fn check_campaign(
    log: &Log,
    reigns: &BTreeMap<&str, Reign>,
    writes: &[(u32, i64)],
    op: &Op<'_>,
    found: &mut Findings,
) -> Result<(), Error> {
    let Some([Value::Text(_), Value::Text(key), Value::Int(at)]) = op.value().elements() else {
        return Err(Error::shape(op, "[name key revision]"));
    };
    if !log.covers(*at) {
        return Ok(());
    }
    let Some(reign) = reigns.get(key.as_str()).filter(|reign| reign.create == *at) else {
        let what = format!("{key} was made at revision {at}, but the log has it not");
        found.add("lost", || Finding::new("lost", what, &[op]));
        return Ok(());
    };
    let later = writes.partition_point(|(invoked_at, _)| *invoked_at < op.completed_at);
    let Some((_, before)) = writes.get(later) else {
        return Ok(());
    };
    if reign.leads_from >= *before {
        let what = format!(
            "{key} was told to lead, and a write asked for later has revision {before}, but another came before {key} until {}",
            until(reign.leads_from)
        );
        found.add("two-leaders", || Finding::new("two-leaders", what, &[op]));
    }
    Ok(())
}

fn until(revision: i64) -> String {
    match revision {
        i64::MAX => "the end".to_owned(),
        at => format!("revision {at}"),
    }
}

fn check_leader(log: &Log, op: &Op<'_>, found: &mut Findings) -> Result<(), Error> {
    let Some(
        [
            _,
            Value::Text(key),
            Value::Text(value),
            Value::Int(at),
            Value::Int(header),
        ],
    ) = op.value().elements()
    else {
        return Err(Error::shape(op, "[name key value revision store-revision]"));
    };
    // One that was made before the log begins may be compacted.
    if !log.covers(*header) || (*at < log.from && !log.is_whole) {
        return Ok(());
    }
    let mut state = State::before(log);
    state.forward(*header);
    let is_so = |entry: &&Entry| entry.revision == *at && entry.value.as_ref() == Some(value);
    let what = match state.keys.get(key.as_str()) {
        Some(entry) if is_so(entry) => lock::not_owner(&state, key),
        _ => Some(format!(
            "it had not the value {value} of revision {at} there"
        )),
    };
    if let Some(what) = what {
        let what = format!("{key} was told to lead at revision {header}: {what}");
        found.add("not-leader", || Finding::new("not-leader", what, &[op]));
    }
    Ok(())
}

fn check_proclaim(log: &Log, op: &Op<'_>, found: &mut Findings) -> Result<(), Error> {
    let Some([Value::Text(key), Value::Text(value), Value::Int(at)]) = op.value().elements() else {
        return Err(Error::shape(op, "[key value revision]"));
    };
    if !log.covers(*at) {
        return Ok(());
    }
    let is_it = |entry: &Entry| entry.key == *key && entry.value.as_ref() == Some(value);
    if !log.at(*at).iter().any(is_it) {
        let what = format!("acknowledged at revision {at}, but not there in the log");
        found.add("lost", || Finding::new("lost", what, &[op]));
        return Ok(());
    }
    let mut state = State::before(log);
    state.forward(*at);
    if let Some(what) = lock::not_owner(&state, key) {
        found.add("not-leader", || Finding::new("not-leader", what, &[op]));
    }
    Ok(())
}

fn check_observers(
    events: &[Event],
    log: &Log,
    reigns: &BTreeMap<&str, Reign>,
    found: &mut Findings,
) -> Result<(), Error> {
    let mut last: BTreeMap<&str, (i64, i64, bool)> = BTreeMap::new();
    for event in events {
        let Process::Named(name) = &event.process else {
            continue;
        };
        if !name.starts_with("observer") {
            continue;
        }
        if event.f != "observed" {
            // Another stream may begin with what the one before ended with.
            if let Some((_, _, is_new)) = last.get_mut(name.as_str()) {
                *is_new = true;
            }
            continue;
        }
        let told = observed(event)?;
        let mut add = |anomaly: &'static str, what: &str| {
            let what = format!("{name} was told of {}: {what}", event.value);
            found.add(anomaly, || Finding::new(anomaly, what, &[]));
        };
        let now = (told.create, told.revision);
        if let Some((create, revision, is_new)) = last.get(name.as_str()) {
            let before = (*create, *revision);
            if now < before || (now == before && !is_new) {
                add(
                    "observe-order",
                    &format!("after one of {create}, {revision}"),
                );
            }
        }
        last.insert(name, (told.create, told.revision, false));
        if !log.covers(told.revision) {
            continue;
        }
        let is_it =
            |entry: &Entry| entry.key == told.key && entry.value == Some(told.value.clone());
        if !log.at(told.revision).iter().any(is_it) {
            add("observe-unexpected", "the log has it not");
        } else if let Some(reign) = reigns.get(told.key.as_str())
            && reign.leads_from >= reign.end
        {
            add("observe-not-leader", "it never led");
        }
    }
    Ok(())
}

struct Observed {
    key: String,
    value: String,
    create: i64,
    revision: i64,
}

fn observed(event: &Event) -> Result<Observed, Error> {
    match event.value.elements() {
        Some(
            [
                Value::Text(key),
                Value::Text(value),
                Value::Int(create),
                Value::Int(revision),
            ],
        ) => Ok(Observed {
            key: key.clone(),
            value: value.clone(),
            create: *create,
            revision: *revision,
        }),
        _ => Err(Error::Shape {
            line: event.line,
            what: "what was observed must be [key value create revision]".to_owned(),
        }),
    }
}
