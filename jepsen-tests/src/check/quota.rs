//! The quota: all members tell the same log, so that they accepted and refused alike; what was
//! acknowledged is in it, and what was refused is not; and deletions are never refused for lack of
//! space.
//!
//! `:fill [key value]` is answered by `[key value revision]`, `:delete` by `[count revision]`,
//! `:relieve` by `[revision alarms-ended]`.

use std::collections::BTreeMap;

use super::log::{self, Log};
use super::{Error, Finding, Findings};
use crate::edn::Value;
use crate::history::{Kind, Op};

/// What etcd says of a database that is full.
pub(crate) const SPACE_EXCEEDED: &str = "database space exceeded";

/// Every broken promise.
pub(super) fn check(ops: &[Op<'_>]) -> Result<Findings, Error> {
    let mut found = Findings::default();
    let log = log::read(ops, &mut found)?;
    judge_what_was_full(ops)?;
    let values = log.entries.iter().filter_map(|entry| {
        let at = (entry.key.as_str(), entry.revision);
        Some((entry.value.as_deref()?, at))
    });
    let values: BTreeMap<&str, (&str, i64)> = values.collect();
    for op in ops {
        match (op.f(), op.kind) {
            ("fill", Kind::Ok | Kind::Fail) => check_fill(&log, &values, op, &mut found)?,
            ("delete" | "relieve", _) if is_full(op) => {
                let what = format!("a {} was refused since the database is full", op.f());
                found.add("delete-refused", || {
                    Finding::new("delete-refused", what, &[op])
                });
            }
            _ => {}
        }
    }
    Ok(found)
}

/// Whether it was told that the database is full.
fn is_full(op: &Op<'_>) -> bool {
    let error = op.completed.and_then(|event| event.error.as_ref());
    matches!(error, Some(Value::Text(why)) if why.contains(SPACE_EXCEEDED))
}

/// The quota was reached, a deletion went through while the alarm stood, and writes after its end.
fn judge_what_was_full(ops: &[Op<'_>]) -> Result<(), Error> {
    let after = |from: u32, is_it: &dyn Fn(&Op<'_>) -> bool| {
        let mut later = ops.iter().filter(|op| op.invoked_at >= from);
        later.find(|op| is_it(op)).map(|op| op.invoked_at)
    };
    let acknowledged = |f: &'static str| move |op: &Op<'_>| op.f() == f && op.kind == Kind::Ok;
    let full = after(0, &|op| op.f() == "fill" && is_full(op))
        .ok_or(Error::Nothing("the quota was never reached"))?;
    let deleted = after(full, &acknowledged("delete")).ok_or(Error::Nothing(
        "nothing was deleted after the quota was reached",
    ))?;
    let relieved = after(deleted, &acknowledged("relieve"))
        .ok_or(Error::Nothing("the alarm was never ended"))?;
    after(relieved, &acknowledged("fill"))
        .ok_or(Error::Nothing("nothing was written after the alarm's end"))?;
    Ok(())
}

fn check_fill(
    log: &Log,
    values: &BTreeMap<&str, (&str, i64)>,
    op: &Op<'_>,
    found: &mut Findings,
) -> Result<(), Error> {
    let Some([Value::Text(key), Value::Text(value), rest @ ..]) = op.value().elements() else {
        return Err(Error::shape(op, "[key value] or [key value revision]"));
    };
    let there = values.get(value.as_str()).copied();
    let (anomaly, what) = match (op.kind, rest) {
        (Kind::Fail, _) if there.is_some() => (
            "refused-write",
            format!("{value} was refused but is in the log"),
        ),
        (Kind::Fail, _) => return Ok(()),
        (_, [Value::Int(at)]) if !log.covers(*at) || there == Some((key, *at)) => return Ok(()),
        (_, [Value::Int(at)]) => (
            "lost",
            format!("acknowledged at revision {at}, but not there in the log"),
        ),
        _ => return Err(Error::shape(op, "[key value revision]")),
    };
    found.add(anomaly, || Finding::new(anomaly, what, &[op]));
    Ok(())
}
