//! A majority lost for ever: the one member that is left keeps all that it had told before, and goes
//! on from there. What others acknowledged without it, shortly before the end, may be lost; what it
//! acknowledges afterwards may not.
//!
//! `:assign` and `:read-at` as for serializable reads; `:forced member` says that it goes on alone.
//! Logs are told before the loss and at the end.

use super::log::{self, Log, State};
use super::serializable::{check_assign, difference, parse};
use super::{Error, Finding, Findings};
use crate::history::{Kind, Op};

/// Every broken promise.
pub(super) fn check(ops: &[Op<'_>]) -> Result<Findings, Error> {
    let mut found = Findings::default();
    let log = log::read(ops, &mut found)?;
    let forced = ops.iter().find(|op| op.f() == "forced");
    let forced = forced.ok_or(Error::Nothing("no member went on alone"))?;
    let before = log::least_end(ops)?;
    let mut acknowledged = 0;
    let mut reads = Vec::new();
    for op in ops {
        let is_after = op.invoked_at > forced.invoked_at;
        match (op.f(), op.kind) {
            ("assign", Kind::Fail) => check_assign(&log, op, &mut found)?,
            ("assign", Kind::Ok) if is_after => {
                acknowledged += 1;
                check_assign(&log, op, &mut found)?;
            }
            ("assign", Kind::Ok) if revision(op) < before => check_assign(&log, op, &mut found)?,
            ("read-at", Kind::Ok) => {
                let read = parse(op)?;
                if is_after || read.at < before {
                    reads.push(read);
                }
            }
            _ => {}
        }
    }
    if acknowledged == 0 {
        return Err(Error::Nothing("the survivor acknowledged nothing"));
    }
    reads.sort_by_key(|read| read.at);
    check_reads(&log, &reads, &mut found);
    Ok(found)
}

/// The last of what an assignment was told.
fn revision(op: &Op<'_>) -> i64 {
    let told = op.value().elements().and_then(<[_]>::last);
    told.and_then(crate::edn::Value::int).unwrap_or(i64::MAX)
}

fn check_reads(log: &Log, reads: &[super::serializable::Read<'_>], found: &mut Findings) {
    let mut state = State::before(log);
    for read in reads.iter().filter(|read| log.covers(read.at)) {
        state.forward(read.at);
        if let Some(what) = difference(read, &state, log) {
            found.add("not-a-prefix", || {
                Finding::new("not-a-prefix", what, &[read.op])
            });
        }
    }
}
