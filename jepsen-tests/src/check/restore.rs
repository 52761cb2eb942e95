//! Snapshots: what one is restored to is the state at some revision of the cluster that it was saved
//! of. With revisions that go on beyond the old ones no old revision comes again, and watchers from
//! before are told that theirs is compacted.
//!
//! `:assign` and `:read-at` as for serializable reads. `:restored bump` is answered by
//! `[bump revision [[key value revision] …] compacted next]`: `bump` is what was added to the
//! revision, `compacted` what a watcher from before was told or `nil`, and `next` the revision of the
//! next write.

use super::log::{self, Log, State};
use super::serializable::{self, Read, difference};
use super::{Error, Finding, Findings};
use crate::edn::Value;
use crate::history::{Kind, Op};

/// Every broken promise.
pub(super) fn check(ops: &[Op<'_>]) -> Result<Findings, Error> {
    let mut found = serializable::check(ops)?;
    // What is wrong with the log itself has been said.
    let log = log::read(ops, &mut Findings::default())?;
    let is_restored = |op: &&Op<'_>| op.f() == "restored" && op.kind == Kind::Ok;
    let mut count = 0;
    for op in ops.iter().filter(is_restored) {
        count += 1;
        check_restored(&log, op, &mut found)?;
    }
    if count == 0 {
        return Err(Error::Nothing("no snapshot was restored"));
    }
    Ok(found)
}

fn check_restored(log: &Log, op: &Op<'_>, found: &mut Findings) -> Result<(), Error> {
    let wanted = "[bump revision [[key value revision] …] compacted next]";
    let Some(
        [
            Value::Int(bump),
            Value::Int(told),
            keys,
            compacted,
            Value::Int(next),
        ],
    ) = op.value().elements()
    else {
        return Err(Error::shape(op, wanted));
    };
    let keys = serializable::keys(keys).ok_or_else(|| Error::shape(op, wanted))?;
    let mut add = |anomaly: &'static str, what: String| {
        found.add(anomaly, || Finding::new(anomaly, what, &[op]));
    };
    let at = told.saturating_sub(*bump);
    if at >= log.end {
        add(
            "unexpected",
            format!("the snapshot is of revision {at}, which never was"),
        );
        return Ok(());
    }
    let mut state = State::before(log);
    state.forward(at);
    let read = Read { op, at, keys };
    if let Some(what) = difference(&read, &state, log) {
        add("not-a-prefix", format!("the snapshot: {what}"));
    }
    if *next <= *told || (*bump > 0 && *next <= log.end) {
        add(
            "revision-reused",
            format!("the first write after it has revision {next}"),
        );
    }
    let is_told = matches!(compacted, Value::Int(_));
    if is_told != (*bump > 0) {
        let what = match is_told {
            true => "a watcher was told of a compaction that never was".to_owned(),
            false => "a watcher from before was not told that its revision is compacted".to_owned(),
        };
        add("watch-not-compacted", what);
    }
    Ok(())
}
