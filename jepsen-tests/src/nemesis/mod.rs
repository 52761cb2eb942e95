//! Breaks the cluster on purpose, and undoes it. What is done, to whom and for how long follows
//! from the seed; who leads is asked when it is done.

mod act;
mod certificates;
mod change;
mod cpu;
mod disks;
mod failpoints;
mod files;
mod lag;
mod membership;
mod plan;
mod run;
#[cfg(test)]
mod tests;

pub(crate) use lag::{CATCH_UP_ENTRIES, SNAPSHOT_ENTRIES};
pub(crate) use membership::{list_by as list_members, restore as restore_members};
pub(crate) use run::{Injected, start};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::target;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Nemesis {
    /// SIGKILL to one member, the leader, a minority, a majority, or all; then a start.
    Kill,
    /// SIGSTOP to the same; then SIGCONT.
    Pause,
    /// Links held: the leader alone, halves, a ring, a bridge, one way, or flapping.
    Partition,
    /// Links delayed by up to some hundred milliseconds.
    Delay,
    /// Some of the packets to and from members lost. Needs network namespaces.
    Loss,
    /// SIGTERM and a start of one member after the other.
    Restart,
    /// Compactions of all but the latest revisions.
    Compact,
    /// Defragmentation of one member.
    Defrag,
    /// SIGKILL to one member, and garbage after the end of its log; then a start.
    TornTail,
    /// SIGKILL to one member, and one bit of its files turned; then a start.
    BitFlip,
    /// Members removed, the leader too, and new ones in their places, as learners or voters.
    Membership,
    /// A member cut off until only a snapshot brings it back.
    Lag,
    /// The same by its death; and while the snapshot may be on its way, another kill.
    SnapshotCrash,
    /// Wall clocks of members that jump, or to and fro, or run too fast or too slow.
    Clock,
    /// A member with a small part of a processor.
    Cpu,
    /// Certificates renewed, ended and revoked, and handshakes that never end.
    Certificates,
    /// SIGKILL to the same as `kill`, and the loss of all that their disks had not synced; then a start.
    LoseUnsynced,
    /// No space on the disks of the same; then some again, and a start of those that it stopped.
    FullDisk,
    /// Writes and syncs that take up to seconds, on the disks of the same.
    SlowDisk,
    /// Reads, writes or syncs of one disk that fail; then a start.
    Eio,
    /// The death of one member at a step that a crash would leave half done; then a start. Needs a build
    /// with the feature `failpoints`.
    Failpoint,
}

impl Nemesis {
    /// As `--nemesis` takes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::Partition => "partition",
            Self::Delay => "delay",
            Self::Loss => "loss",
            Self::Restart => "restart",
            Self::Compact => "compact",
            Self::Defrag => "defrag",
            Self::TornTail => "torn-tail",
            Self::BitFlip => "bit-flip",
            Self::Membership => "membership",
            Self::Lag => "lag",
            Self::SnapshotCrash => "snapshot-crash",
            Self::Clock => "clock",
            Self::Cpu => "cpu",
            Self::Certificates => "certificates",
            Self::LoseUnsynced => "lose-unsynced",
            Self::FullDisk => "full-disk",
            Self::SlowDisk => "slow-disk",
            Self::Eio => "eio",
            Self::Failpoint => "failpoint",
        }
    }

    /// Whether it needs processes and links that are ours.
    pub(crate) fn needs_control(self) -> bool {
        !matches!(self, Self::Compact | Self::Defrag)
    }

    /// Whether members are to need snapshots: they keep few entries then.
    pub(crate) fn needs_snapshots(self) -> bool {
        matches!(self, Self::Lag | Self::SnapshotCrash)
    }

    /// What this machine lacks for it.
    pub(crate) fn lacks(self) -> Option<&'static str> {
        match self {
            Self::Cpu => cpu::why_not(),
            Self::Clock => target::why_no_clock(),
            Self::Loss => target::why_no_namespaces(),
            _ => None,
        }
    }

    /// Whether each member needs a disk of ours.
    pub(crate) fn needs_disks(self) -> bool {
        matches!(
            self,
            Self::LoseUnsynced | Self::FullDisk | Self::SlowDisk | Self::Eio
        )
    }

    /// Whether a member may rightly refuse to go on after it.
    pub(crate) fn harms_files(self) -> bool {
        matches!(self, Self::TornTail | Self::BitFlip)
    }
}
