//! Too much: what was acknowledged is in the log, and what was refused is not, now or later.
//!
//! `:assign` as for serializable reads; `:read-all` is not judged.

use super::log;
use super::serializable::check_assign;
use super::{Error, Findings};
use crate::history::{Kind, Op};

/// Every broken promise.
pub(super) fn check(ops: &[Op<'_>]) -> Result<Findings, Error> {
    let mut found = Findings::default();
    let log = log::read(ops, &mut found)?;
    let is_assign = |op: &&Op<'_>| op.f() == "assign" && matches!(op.kind, Kind::Ok | Kind::Fail);
    let mut acknowledged = 0;
    for op in ops.iter().filter(is_assign) {
        acknowledged += usize::from(op.kind == Kind::Ok);
        check_assign(&log, op, &mut found)?;
    }
    if acknowledged == 0 {
        return Err(Error::Nothing("no write was acknowledged"));
    }
    Ok(found)
}
