//! Judges a history. Each checker looks for one kind of broken promise and names every instance.

mod durable;
mod pauses;
mod watch;

use crate::history::Op;

pub(crate) use pauses::{Pauses, pauses};

/// What a history proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No promise was broken.
    Valid,
    /// These were.
    Violated(Vec<String>),
    /// The history does not say enough.
    Unknown(String),
}

/// Runs every checker that the history has material for.
pub(crate) fn check(ops: &[Op]) -> Verdict {
    let acknowledged = ops.iter().any(|op| {
        matches!(
            op,
            Op::Write {
                outcome: crate::Outcome::Ok,
                ..
            }
        )
    });
    if !acknowledged {
        return Verdict::Unknown("no write was acknowledged".into());
    }
    if !ops.iter().any(|op| matches!(op, Op::Final { .. })) {
        return Verdict::Unknown("there is no final read".into());
    }
    let mut violations = durable::check(ops);
    violations.extend(watch::check(ops));
    if violations.is_empty() {
        Verdict::Valid
    } else {
        Verdict::Violated(violations)
    }
}
