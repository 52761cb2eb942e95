//! Leases: none ends before its time since the last renewal that was acknowledged; each ends soon
//! after; its keys go with it, in one revision; and one that has ended is not renewed.
//!
//! `:grant ttl` is answered by `[lease ttl]`, `:attach [lease key]` by `[lease key revision]`,
//! `:keepalive lease` by `[lease ttl]`. When keys go is what watchers note. A lease's time runs
//! from a moment after its renewal was asked for, and a key goes at a moment before anybody sees
//! it: so what looks too early is too early.

use std::collections::{BTreeMap, BTreeSet};

use super::log::{self, Log};
use super::{Error, Finding, Findings};
use crate::edn::Value;
use crate::history::{Event, Kind, Op, Process};

const SECOND_NS: i64 = 1_000_000_000;
/// A lease ends at most so long after its time: an election that gives it its time again counts
/// from the last fault, the second one is etcd's bound, and the rest is for a slow machine.
const LATE_NS: i64 = 2 * SECOND_NS + 5 * SECOND_NS;

/// Where very many leases end at once, each waits for those before it: five hundred a second.
const LATE_EACH_NS: i64 = SECOND_NS / 500;

/// Every broken promise.
pub(super) fn check(events: &[Event], ops: &[Op<'_>]) -> Result<Findings, Error> {
    let mut found = Findings::default();
    let log = log::read(ops, &mut found)?;
    let seen = seen(events)?;
    let leases = leases(ops)?;
    if !leases
        .values()
        .any(|lease| lease.keys.iter().any(|(key, _)| seen.contains_key(*key)))
    {
        return Err(Error::Nothing("nobody saw a lease end"));
    }
    let end_ns = events
        .iter()
        .filter_map(|event| event.time_ns)
        .max()
        .unwrap_or(0);
    let faults: Vec<i64> = events
        .iter()
        .filter(|event| is_fault(event))
        .filter_map(|event| event.time_ns)
        .collect();
    check_left(ops, &mut found);
    let late_ns = LATE_NS.saturating_add(flooded(ops).saturating_mul(LATE_EACH_NS));
    for (id, lease) in &leases {
        check_early(*id, lease, &seen, &mut found);
        check_late(*id, lease, &seen, (&faults, end_ns, late_ns), &mut found);
        check_together(*id, lease, &log, &mut found);
    }
    Ok(found)
}

/// Leases that nothing hangs on: `:flood ttl` is answered by `[count ttl]`.
fn flooded(ops: &[Op<'_>]) -> i64 {
    let floods = ops
        .iter()
        .filter(|op| op.f() == "flood" && op.kind == Kind::Ok);
    floods
        .filter_map(|op| op.value().elements()?.first()?.int())
        .sum()
}

/// At the end, when all have had their time, `:left` is answered by how many there still are.
fn check_left(ops: &[Op<'_>], found: &mut Findings) {
    for op in ops
        .iter()
        .filter(|op| op.f() == "left" && op.kind == Kind::Ok)
    {
        if op.value().int() != Some(0) {
            let what = format!("{} leases were still there after their time", op.value());
            found.add("lease-late", || Finding::new("lease-late", what, &[op]));
        }
    }
}

#[derive(Default)]
struct Lease<'a> {
    ttl: i64,
    /// What gave it its time: the grant and each renewal that was acknowledged.
    renewals: Vec<&'a Op<'a>>,
    /// Renewals that were answered with no time.
    ended: Vec<&'a Op<'a>>,
    keys: Vec<(&'a str, &'a Op<'a>)>,
    /// Whether an operation on it has an unknown outcome, and may come late.
    is_unknown: bool,
}

fn leases<'a>(ops: &'a [Op<'a>]) -> Result<BTreeMap<i64, Lease<'a>>, Error> {
    let mut leases: BTreeMap<i64, Lease<'a>> = BTreeMap::new();
    for op in ops {
        let is_ok = op.kind == Kind::Ok;
        match (op.f(), op.value(), op.value().elements()) {
            ("grant", _, Some([Value::Int(id), Value::Int(ttl)])) if is_ok => {
                let lease = leases.entry(*id).or_default();
                lease.ttl = *ttl;
                lease.renewals.push(op);
            }
            ("attach", _, Some([Value::Int(id), Value::Text(key), ..])) => {
                let lease = leases.entry(*id).or_default();
                match op.kind {
                    Kind::Ok => lease.keys.push((key, op)),
                    Kind::Fail => {}
                    Kind::Info | Kind::Invoke => lease.is_unknown = true,
                }
            }
            ("keepalive", _, Some([Value::Int(id), Value::Int(ttl)])) if is_ok => {
                let lease = leases.entry(*id).or_default();
                if *ttl > 0 {
                    lease.renewals.push(op);
                } else {
                    lease.ended.push(op);
                }
            }
            ("keepalive", Value::Int(id), _) if !is_ok => {
                let lease = leases.entry(*id).or_default();
                lease.is_unknown |= op.kind != Kind::Fail;
            }
            ("grant", ..) if !is_ok => {}
            ("log" | "flood" | "left", ..) => {}
            ("grant" | "keepalive", ..) => return Err(Error::shape(op, "[lease ttl]")),
            _ => return Err(Error::shape(op, "[lease key] or [lease key revision]")),
        }
    }
    Ok(leases)
}

/// When each key was first seen to go, in nanoseconds, and the line that says so.
fn seen(events: &[Event]) -> Result<BTreeMap<String, (i64, usize)>, Error> {
    let mut seen: BTreeMap<String, (i64, usize)> = BTreeMap::new();
    for event in log::notes(events).into_values().flatten() {
        let (Some(at), "batch") = (event.time_ns, event.f.as_str()) else {
            continue;
        };
        for entry in log::batch(event)?.1 {
            if entry.value.is_none() {
                let first = seen.entry(entry.key).or_insert((at, event.line));
                *first = (*first).min((at, event.line));
            }
        }
    }
    Ok(seen)
}

type Gone = BTreeMap<String, (i64, usize)>;

fn invoked_ns(op: &Op<'_>) -> i64 {
    op.invoked.time_ns.unwrap_or(0)
}

fn completed_ns(op: &Op<'_>) -> i64 {
    op.completed.and_then(|event| event.time_ns).unwrap_or(0)
}

fn check_early(id: i64, lease: &Lease<'_>, seen: &Gone, found: &mut Findings) {
    let time_ns = lease.ttl.saturating_mul(SECOND_NS);
    let mut early = |what: String, renewal: &Op<'_>, other: Option<&Op<'_>>| {
        found.add("lease-early", || {
            let ops: Vec<&Op<'_>> = [Some(renewal), other].into_iter().flatten().collect();
            Finding::new("lease-early", what, &ops)
        });
    };
    for (key, attached) in &lease.keys {
        let Some((gone, line)) = seen.get(*key) else {
            continue;
        };
        for renewal in &lease.renewals {
            let holds_until = invoked_ns(renewal).saturating_add(time_ns);
            if *gone < invoked_ns(renewal) {
                let what = format!("lease {id} was renewed after {key} was gone (line {line})");
                early(what, renewal, Some(attached));
            } else if *gone < holds_until {
                let ms = (holds_until - gone) / 1_000_000;
                let what =
                    format!("{key} of lease {id} was gone (line {line}) {ms} ms before its time");
                early(what, renewal, Some(attached));
            }
        }
    }
    for ended in &lease.ended {
        let last = lease
            .renewals
            .iter()
            .filter(|op| completed_ns(op) <= invoked_ns(ended));
        for renewal in last {
            if completed_ns(ended) < invoked_ns(renewal).saturating_add(time_ns) {
                early(
                    format!("lease {id} was said to have ended before its time"),
                    renewal,
                    Some(ended),
                );
            }
        }
    }
}

fn is_fault(event: &Event) -> bool {
    event.process == Process::Named("nemesis".to_owned())
}

fn check_late(
    id: i64,
    lease: &Lease<'_>,
    seen: &Gone,
    (faults, end_ns, late_ns): (&[i64], i64, i64),
    found: &mut Findings,
) {
    let Some(renewal) = lease.renewals.iter().max_by_key(|op| completed_ns(op)) else {
        return;
    };
    if lease.is_unknown {
        return;
    }
    for (key, attached) in &lease.keys {
        let gone = seen.get(*key).map_or(end_ns, |(gone, _)| *gone);
        // A fault may bring another leader, which gives every lease its time again.
        let before = faults.partition_point(|at| *at <= gone);
        let last_fault = before.checked_sub(1).and_then(|at| faults.get(at)).copied();
        let from = completed_ns(renewal)
            .max(completed_ns(attached))
            .max(last_fault.unwrap_or(0));
        let time_ns = lease.ttl.saturating_mul(SECOND_NS);
        let late = gone.saturating_sub(from.saturating_add(time_ns).saturating_add(late_ns));
        if late > 0 {
            let what = format!(
                "{key} of lease {id} was still there {} s after its time",
                (late + late_ns) / SECOND_NS
            );
            found.add("lease-late", || {
                Finding::new("lease-late", what, &[renewal, attached])
            });
        }
    }
}

/// Keys of one lease go in one revision.
fn check_together(id: i64, lease: &Lease<'_>, log: &Log, found: &mut Findings) {
    let keys: BTreeSet<&str> = lease.keys.iter().map(|(key, _)| *key).collect();
    let gone = log
        .entries
        .iter()
        .filter(|entry| entry.value.is_none() && keys.contains(entry.key.as_str()));
    let at: BTreeSet<i64> = gone.map(|entry| entry.revision).collect();
    if at.len() > 1 {
        let what = format!("keys of lease {id} went at revisions {at:?}, and not at one");
        let ops: Vec<&Op<'_>> = lease.keys.iter().map(|(_, op)| *op).collect();
        found.add("lease-torn", || Finding::new("lease-torn", what, &ops));
    }
    for (key, op) in &lease.keys {
        let Some([_, _, Value::Int(at)]) = op.value().elements() else {
            continue;
        };
        if log.covers(*at)
            && !log
                .at(*at)
                .iter()
                .any(|entry| entry.key == *key && entry.lease == id)
        {
            let what = format!(
                "{key} was attached to lease {id} at revision {at}, but the log has it not"
            );
            found.add("lost", || Finding::new("lost", what, &[op]));
        }
    }
}
