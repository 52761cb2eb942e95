//! Which promises a history is about: named by the user, or told from its operations.

use std::collections::BTreeMap;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::{Error, register, txn};
use crate::history::{Kind, Op};

/// What the clients of a history did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Transactions that append to lists and read them.
    Append,
    /// Transactions that write and read registers.
    Wr,
    /// Reads, writes and compare-and-sets of single registers.
    Register,
    /// The same, with the version that each answer names.
    VersionedRegister,
    /// Elements added to sets, and reads of whole sets.
    Set,
    /// Changes of a few keys, watchers of them, and the applied log.
    Watch,
    /// Keys on leases that are renewed and left, watchers of them, and the applied log.
    Lease,
    /// Writes, reads without consensus, and the applied log.
    Serializable,
    /// Writes under locks that may have ended, and the applied log.
    Lock,
    /// Unique keys put once, a watcher of them, and a last read: what our scenarios record.
    Puts,
}

impl Workload {
    /// As `--workload` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Wr => "wr",
            Self::Register => "register",
            Self::VersionedRegister => "versioned-register",
            Self::Set => "set",
            Self::Watch => "watch",
            Self::Lease => "lease",
            Self::Serializable => "serializable",
            Self::Lock => "lock",
            Self::Puts => "puts",
        }
    }
}

/// The workload that `ops` are of.
pub(super) fn infer(ops: &[Op<'_>]) -> Result<Workload, Error> {
    // The first line that shows each.
    let mut shown: BTreeMap<Workload, usize> = BTreeMap::new();
    for op in ops {
        if let Some(workload) = of(op)? {
            shown.entry(workload).or_insert(op.invoked.line);
        }
    }
    let mut all = shown.into_iter();
    match (all.next(), all.next()) {
        (None, _) => Err(Error::Ambiguous),
        (Some((Workload::Register, _)), None) if register::is_versioned(ops) => {
            Ok(Workload::VersionedRegister)
        }
        (Some((workload, _)), None) => Ok(workload),
        (Some((one, line)), Some((other, other_line))) => Err(Error::Mix {
            one: one.name(),
            line,
            other: other.name(),
            other_line,
        }),
    }
}

/// The workload that an operation shows, if it is of one alone.
fn of(op: &Op<'_>) -> Result<Option<Workload>, Error> {
    if let Some(kind) = txn::kind_of(op) {
        return Ok(kind);
    }
    match op.f() {
        "add" => Ok(Some(Workload::Set)),
        "write" | "cas" => Ok(Some(Workload::Register)),
        "put" => Ok(Some(Workload::Puts)),
        "change" => Ok(Some(Workload::Watch)),
        "grant" | "attach" | "keepalive" => Ok(Some(Workload::Lease)),
        "assign" | "read-at" => Ok(Some(Workload::Serializable)),
        "acquire" | "fenced-write" | "release" => Ok(Some(Workload::Lock)),
        // A read is of a register or of a set: the other operations tell. Of `react` and
        // `read-final` too, which only go with puts, and of `log`.
        "read" | "react" | "read-final" | "log" => Ok(None),
        "txn" if op.kind != Kind::Ok => Ok(None),
        f => Err(Error::UnknownOperation {
            line: op.invoked.line,
            f: f.to_owned(),
        }),
    }
}
