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
    /// As `watch`, with watchers that stop reading now and then.
    WatchStarved,
    /// As `watch`, with watchers that ask for what is yet to come.
    WatchFuture,
    /// As `lease`, with very many others that nothing hangs on.
    LeaseMass,
    /// Candidates, what they write as leaders, observers of them, and the applied log.
    Election,
    /// Writes of users whose rights come and go, and the applied log.
    Auth,
    /// Writes until the database is full, and who makes room, and the applied log.
    Quota,
    /// As `serializable`, with snapshots saved meanwhile, and what they are restored to.
    Restore,
    /// As `serializable`, until a majority is lost for ever and the survivor goes on alone.
    QuorumLoss,
    /// More writes than members can do, and the applied log.
    Overload,
    /// Connections with good and bad certificates.
    Tls,
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
            Self::WatchStarved => "watch-starved",
            Self::WatchFuture => "watch-future",
            Self::LeaseMass => "lease-mass",
            Self::Election => "election",
            Self::Auth => "auth",
            Self::Quota => "quota",
            Self::Restore => "restore",
            Self::QuorumLoss => "quorum-loss",
            Self::Overload => "overload",
            Self::Tls => "tls",
            Self::Puts => "puts",
        }
    }

    /// Whether it changes the cluster as a whole, which must be ours then.
    pub(crate) fn needs_control(self) -> bool {
        matches!(
            self,
            Self::Auth
                | Self::Quota
                | Self::Restore
                | Self::QuorumLoss
                | Self::Overload
                | Self::Tls
        )
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
    // What these do besides says what they are.
    for whole in [Workload::Restore, Workload::QuorumLoss, Workload::Overload] {
        if shown.contains_key(&whole) {
            shown.remove(&Workload::Serializable);
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
        "grant" | "attach" | "keepalive" | "flood" | "left" => Ok(Some(Workload::Lease)),
        "assign" | "read-at" => Ok(Some(Workload::Serializable)),
        "acquire" | "release" => Ok(Some(Workload::Lock)),
        "campaign" | "leader" | "proclaim" | "resign" => Ok(Some(Workload::Election)),
        "hire" | "permit" | "forbid" | "drop" | "use" | "look" | "login" => {
            Ok(Some(Workload::Auth))
        }
        "fill" | "delete" | "relieve" => Ok(Some(Workload::Quota)),
        "dial" | "old" => Ok(Some(Workload::Tls)),
        "restored" => Ok(Some(Workload::Restore)),
        "forced" => Ok(Some(Workload::QuorumLoss)),
        "read-all" => Ok(Some(Workload::Overload)),
        // A read is of a register or of a set: the other operations tell. Of `react` and
        // `read-final` too, which only go with puts, of `log`, and of writes under a lock or as a
        // leader.
        "read" | "react" | "read-final" | "log" | "fenced-write" => Ok(None),
        "txn" if op.kind != Kind::Ok => Ok(None),
        f => Err(Error::UnknownOperation {
            line: op.invoked.line,
            f: f.to_owned(),
        }),
    }
}
