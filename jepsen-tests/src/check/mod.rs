//! Judges a history, from what its clients were told alone. Each checker looks for one kind of
//! broken promise, and names the operations that show it.

mod auth;
mod availability;
mod election;
mod finding;
mod intern;
mod lease;
mod linear;
mod lock;
mod log;
mod loss;
mod overload;
mod puts;
mod quota;
mod register;
mod restore;
mod serializable;
mod set;
#[cfg(test)]
mod tests;
mod tls;
mod txn;
mod watch;
mod workload;

use thiserror::Error;

pub(crate) use availability::{SERVED, availability};
pub use finding::{Edge, Finding, Findings, Shown, Verdict};
pub(crate) use log::Entry;
pub(crate) use puts::{Pauses, pauses};
pub(crate) use quota::SPACE_EXCEEDED;
pub use txn::Model;
pub use workload::Workload;

use crate::history::{self, Event, Kind, Op};

/// Why a history cannot be judged.
#[derive(Debug, Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Pairs(#[from] history::PairError),
    #[error(
        "nothing tells what this history is about: name it with --workload append|wr|register|versioned-register|set|watch|watch-starved|watch-future|lease|lease-mass|serializable|lock|election|auth|quota|restore|quorum-loss|overload|tls|puts"
    )]
    Ambiguous,
    #[error("line {line}: there is no checker for the operation :{f}")]
    UnknownOperation { line: usize, f: String },
    #[error(
        "a mix of workloads: line {line} is of {one}, line {other_line} of {other}; split the history and judge each part"
    )]
    Mix {
        one: &'static str,
        line: usize,
        other: &'static str,
        other_line: usize,
    },
    #[error("line {line}: {what}")]
    Shape { line: usize, what: String },
    #[error("nothing was judged: {0}")]
    Nothing(&'static str),
}

impl Error {
    /// An operation cannot be judged because of `what`.
    fn at(op: &Op<'_>, what: String) -> Self {
        Self::Shape {
            line: op.completed.map_or(op.invoked.line, |event| event.line),
            what,
        }
    }

    /// An operation's value is not of the form `wanted`.
    fn shape(op: &Op<'_>, wanted: &str) -> Self {
        let (f, value) = (op.f(), op.value());
        Self::at(
            op,
            format!("the value of a :{f} must be {wanted}, and not {value}"),
        )
    }
}

/// What to judge a history by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// What it is about; none to tell it from the operations.
    pub workload: Option<Workload>,
    /// What transactions were promised.
    pub model: Model,
}

/// What was judged, and what came of it.
#[derive(Debug)]
pub struct Judgement {
    /// What the history is about; none if even that could not be told.
    pub workload: Option<Workload>,
    /// Whether the user did not say so.
    pub is_inferred: bool,
    /// What transactions were promised.
    pub model: Model,
    /// How its operations ended.
    pub counts: Counts,
    /// What it proves.
    pub verdict: Verdict,
    /// What was found but the model allows.
    pub allowed: Findings,
}

/// Operations of clients by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Acknowledged.
    pub ok: usize,
    /// Refused.
    pub fail: usize,
    /// Of unknown outcome, or never ended.
    pub info: usize,
}

/// Judges a history.
pub fn judge(events: &[Event], options: Options) -> Judgement {
    let mut judgement = Judgement {
        workload: options.workload,
        is_inferred: options.workload.is_none(),
        model: options.model,
        counts: Counts::default(),
        verdict: Verdict::Valid,
        allowed: Findings::default(),
    };
    if let Err(error) = judge_into(events, &mut judgement) {
        judgement.verdict = Verdict::Unknown(error.to_string());
    }
    judgement
}

fn judge_into(events: &[Event], judgement: &mut Judgement) -> Result<(), Error> {
    let ops = history::pair(events)?;
    for op in &ops {
        match op.kind {
            Kind::Ok => judgement.counts.ok += 1,
            Kind::Fail => judgement.counts.fail += 1,
            Kind::Info | Kind::Invoke => judgement.counts.info += 1,
        }
    }
    let workload = match judgement.workload {
        Some(workload) => workload,
        None => workload::infer(&ops)?,
    };
    judgement.workload = Some(workload);
    if judgement.counts.ok == 0 {
        return Err(Error::Nothing("no operation was acknowledged"));
    }
    judgement.verdict = match workload {
        Workload::Append | Workload::Wr => {
            let found = match workload {
                Workload::Append => txn::append(&ops, judgement.model)?,
                _ => txn::wr(&ops, judgement.model)?,
            };
            let model = judgement.model;
            let (broken, allowed) = found.split(|anomaly| model.forbids(anomaly));
            judgement.allowed = allowed;
            broken.verdict()
        }
        Workload::Register => register::check(&ops, register::Versions::Absent)?,
        Workload::VersionedRegister => register::check(&ops, register::Versions::Told)?,
        Workload::Set => set::check(&ops)?.verdict(),
        Workload::Puts => puts::check(events, &ops)?.verdict(),
        Workload::Watch | Workload::WatchStarved | Workload::WatchFuture => {
            watch::check(events, &ops)?.verdict()
        }
        Workload::Lease | Workload::LeaseMass => lease::check(events, &ops)?.verdict(),
        Workload::Serializable => serializable::check(&ops)?.verdict(),
        Workload::Lock => lock::check(&ops)?.verdict(),
        Workload::Election => election::check(events, &ops)?.verdict(),
        Workload::Auth => auth::check(&ops)?.verdict(),
        Workload::Quota => quota::check(&ops)?.verdict(),
        Workload::Restore => restore::check(&ops)?.verdict(),
        Workload::QuorumLoss => loss::check(&ops)?.verdict(),
        Workload::Overload => overload::check(&ops)?.verdict(),
        Workload::Tls => tls::check(events, &ops)?.verdict(),
    };
    Ok(())
}
