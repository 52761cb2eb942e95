//! What a deletion does to an object, from the object, the request and the time. Pure.
//!
//! Only pods are given time to end. Once it runs, it may be shortened and never prolonged, and how
//! dependents are treated cannot be changed any more.

use api_meta::kinds::Kind;
use api_meta::time;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::registry::kinds::pod;
use crate::registry::options::{DeleteOptions, Propagation, default_propagation};
use crate::registry::tree;
use crate::registry::update::is_deletion_finished;

/// The finalizer of dependents that must go first.
const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of dependents that must be let go.
const ORPHAN: &str = "orphan";
/// The longest time that an object is given; more would not fit into a date.
const GRACE_SECONDS_MAX: i64 = 1 << 30;

/// What a deletion does to an object.
#[derive(Debug, PartialEq)]
pub(super) enum Plan {
    /// It goes at once.
    Remove,
    /// It is marked and goes later.
    Mark(Value),
    /// It is on its way already.
    Nothing,
}

/// The time that an object is given to end.
#[derive(Debug, PartialEq, Eq)]
enum Grace {
    /// None: the kind knows none, or it has run out.
    None,
    /// It runs already, and goes on as it is.
    Running,
    /// It is over at a time, so many seconds after it began.
    Until(Timestamp, i64),
}

/// Decides.
pub(super) fn plan(kind: &Kind, old: &Value, options: &DeleteOptions, now: Timestamp) -> Plan {
    let grace = grace(kind, old, options, now);
    let is_ending = tree::is_terminating(old);
    let waits_for_content = is_namespace(kind) && !tree::array(old, "/spec/finalizers").is_empty();
    if grace == Grace::Running || (is_ending && waits_for_content) {
        return Plan::Nothing;
    }
    let finalizers = wanted_finalizers(kind, old, options);
    let goes_on = grace == Grace::None && finalizers.is_empty();
    if goes_on && (is_ending || !is_namespace(kind)) {
        return Plan::Remove;
    }
    let mut new = old.clone();
    tree::set_finalizers(&mut new, &finalizers);
    match grace {
        Grace::Until(end, seconds) => mark(&mut new, end, seconds),
        Grace::None | Grace::Running => {
            // An end that was set before is not put off.
            let end = end_of(old).filter(|end| *end <= now).unwrap_or(now);
            mark(&mut new, end, 0);
        }
    }
    if !is_ending {
        if is_namespace(kind) {
            tree::child(&mut new, "status").insert("phase".into(), "Terminating".into());
        }
        if let Some(generation) = tree::number(old, "/metadata/generation") {
            tree::metadata(&mut new).insert("generation".into(), (generation + 1).into());
        }
    }
    if is_deletion_finished(kind, &new) {
        return Plan::Remove;
    }
    if tree::is_same(&new, old) {
        Plan::Nothing
    } else {
        Plan::Mark(new)
    }
}

fn grace(kind: &Kind, old: &Value, options: &DeleteOptions, now: Timestamp) -> Grace {
    if !(kind.group.is_empty() && kind.resource == "pods") {
        return Grace::None;
    }
    if !tree::is_terminating(old) {
        let seconds = pod::grace_seconds(old, options.grace_seconds).clamp(0, GRACE_SECONDS_MAX);
        return Grace::Until(now + SignedDuration::from_secs(seconds), seconds);
    }
    let before = match tree::number(old, "/metadata/deletionGracePeriodSeconds") {
        None | Some(0) => return Grace::None,
        Some(before) => before.max(1),
    };
    let Some(asked) = options.grace_seconds.filter(|asked| *asked < before) else {
        return Grace::Running;
    };
    let asked = asked.max(0);
    // The shorter time counts from the first request.
    let end = end_of(old).unwrap_or(now) - SignedDuration::from_secs(before - asked);
    match (end < now, asked) {
        (false, _) => Grace::Until(end, asked),
        (true, 0) => Grace::Until(now, 0),
        // It is over, but whoever runs the pod shall still say so.
        (true, _) => Grace::Until(now, 1),
    }
}

fn end_of(object: &Value) -> Option<Timestamp> {
    time::parse(tree::text(object, "/metadata/deletionTimestamp"))
}

fn is_namespace(kind: &Kind) -> bool {
    kind.group.is_empty() && kind.resource == "namespaces"
}

fn mark(new: &mut Value, end: Timestamp, seconds: i64) {
    let metadata = tree::metadata(new);
    metadata.insert("deletionTimestamp".into(), time::format(end).into());
    metadata.insert("deletionGracePeriodSeconds".into(), seconds.into());
}

/// The finalizers that the treatment of dependents asks for.
fn wanted_finalizers(kind: &Kind, old: &Value, options: &DeleteOptions) -> Vec<String> {
    let mut finalizers = tree::finalizers(old);
    let has = |finalizers: &[String], name: &str| finalizers.iter().any(|one| one == name);
    let propagation = match options.propagation {
        Some(propagation) => propagation,
        // An earlier decision stands.
        None if has(&finalizers, ORPHAN) || has(&finalizers, FOREGROUND) => return finalizers,
        None => default_propagation(kind),
    };
    finalizers.retain(|one| one != ORPHAN && one != FOREGROUND);
    match propagation {
        Propagation::Background => {}
        Propagation::Foreground => finalizers.push(FOREGROUND.into()),
        Propagation::Orphan => finalizers.push(ORPHAN.into()),
    }
    finalizers
}

#[cfg(test)]
mod tests;
