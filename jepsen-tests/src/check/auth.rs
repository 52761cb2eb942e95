//! Rights: nothing is served to a user whose right was taken away before it was asked for, nothing is
//! refused to one who has it all the while, and what was acknowledged is in the log and what was
//! refused is not.
//!
//! The administrator's `:hire`, `:permit`, `:forbid` and `:drop` name a user. `:use [user value]` is
//! answered by `[user value revision]`, `:look user` by `[user revision]`; `:login user` is not
//! judged.

use std::collections::{BTreeMap, BTreeSet};

use super::log::{self, Log};
use super::{Error, Finding, Findings};
use crate::edn::Value;
use crate::history::{Kind, Op};

/// Every broken promise.
pub(super) fn check(ops: &[Op<'_>]) -> Result<Findings, Error> {
    let mut found = Findings::default();
    let log = log::read(ops, &mut found)?;
    let values = log.entries.iter().filter_map(|entry| {
        let value = entry.value.as_deref()?;
        Some((value, entry.revision))
    });
    let values: BTreeMap<&str, i64> = values.collect();
    let mut changes: BTreeMap<&str, Vec<Change<'_>>> = BTreeMap::new();
    for op in ops {
        let gives = match op.f() {
            "hire" | "permit" => true,
            "forbid" | "drop" => false,
            _ => continue,
        };
        let Value::Text(user) = &op.invoked.value else {
            return Err(Error::shape(op, "a user"));
        };
        let change = Change { op, gives };
        changes.entry(user).or_default().push(change);
    }
    let (mut served, mut refused): (BTreeSet<&str>, BTreeSet<&str>) = Default::default();
    for op in ops.iter().filter(|op| matches!(op.f(), "use" | "look")) {
        let user = user(op)?;
        let changes = changes.get(user).map_or(&[][..], Vec::as_slice);
        match op.kind {
            Kind::Ok => {
                served.insert(user);
                check_served(op, changes, &mut found);
                check_there(&log, &values, op, &mut found)?;
            }
            Kind::Fail if is_denied(op) => {
                refused.insert(user);
                check_denied(op, changes, &mut found);
                check_absent(&values, op, &mut found);
            }
            Kind::Fail => check_absent(&values, op, &mut found),
            Kind::Info | Kind::Invoke => {}
        }
    }
    if served.is_empty() || refused.is_empty() {
        return Err(Error::Nothing(
            "no user was served, or none was refused anything",
        ));
    }
    Ok(found)
}

/// A change of one user's right.
struct Change<'a> {
    op: &'a Op<'a>,
    gives: bool,
}

fn user<'a>(op: &Op<'a>) -> Result<&'a str, Error> {
    match &op.invoked.value {
        Value::Text(user) => Ok(user),
        value => match value.elements() {
            Some([Value::Text(user), ..]) => Ok(user),
            _ => Err(Error::shape(op, "a user, or [user value]")),
        },
    }
}

fn begin(op: &Op<'_>) -> usize {
    op.invoked.line
}

/// Where it ended, if it did and said so.
fn end(op: &Op<'_>) -> usize {
    op.completed.map_or(usize::MAX, |event| event.line)
}

fn is_denied(op: &Op<'_>) -> bool {
    let error = op.completed.and_then(|event| event.error.as_ref());
    matches!(error, Some(Value::Text(why)) if why.contains("permission denied"))
}

/// There is no right that was taken before the request began, and not given again since.
fn check_served(op: &Op<'_>, changes: &[Change<'_>], found: &mut Findings) {
    let is_taken_before = |change: &&Change<'_>| {
        !change.gives && change.op.kind == Kind::Ok && end(change.op) < begin(op)
    };
    let Some(taken) = changes.iter().rfind(is_taken_before) else {
        return;
    };
    let may_have_been_given = |change: &Change<'_>| {
        let is_possible = change.gives && change.op.kind != Kind::Fail;
        // One of unknown end may come late.
        let is_late = end(change.op) > begin(taken.op) || change.op.kind != Kind::Ok;
        is_possible && is_late && begin(change.op) < end(op)
    };
    if !changes.iter().any(may_have_been_given) {
        let what = "was served though the right had been taken away before it began";
        found.add("served-after-revoke", || {
            Finding::new("served-after-revoke", what, &[taken.op, op])
        });
    }
}

/// There is a right that was given before, and nobody had begun to take it.
fn check_denied(op: &Op<'_>, changes: &[Change<'_>], found: &mut Findings) {
    let is_given_before = |change: &&Change<'_>| {
        change.gives && change.op.kind == Kind::Ok && end(change.op) < begin(op)
    };
    let Some(given) = changes.iter().rfind(is_given_before) else {
        return;
    };
    let may_have_been_taken = |change: &Change<'_>| {
        let is_possible = !change.gives && change.op.kind != Kind::Fail;
        let is_late = end(change.op) > begin(given.op) || change.op.kind != Kind::Ok;
        is_possible && is_late && begin(change.op) < end(op)
    };
    if !changes.iter().any(may_have_been_taken) {
        let what = "was refused though the right was there all the while";
        found.add("denied-with-right", || {
            Finding::new("denied-with-right", what, &[given.op, op])
        });
    }
}

fn check_there(
    log: &Log,
    values: &BTreeMap<&str, i64>,
    op: &Op<'_>,
    found: &mut Findings,
) -> Result<(), Error> {
    if op.f() != "use" {
        return Ok(());
    }
    let Some([_, Value::Int(value), Value::Int(at)]) = op.value().elements() else {
        return Err(Error::shape(op, "[user value revision]"));
    };
    if log.covers(*at) && values.get(value.to_string().as_str()) != Some(at) {
        let what = format!("acknowledged at revision {at}, but not there in the log");
        found.add("lost", || Finding::new("lost", what, &[op]));
    }
    Ok(())
}

fn check_absent(values: &BTreeMap<&str, i64>, op: &Op<'_>, found: &mut Findings) {
    let Some([_, Value::Int(value), ..]) = op.invoked.value.elements() else {
        return;
    };
    if let Some(at) = values.get(value.to_string().as_str()) {
        let what = format!("{value} was refused but is in the log at revision {at}");
        found.add("refused-write", || {
            Finding::new("refused-write", what, &[op])
        });
    }
}
