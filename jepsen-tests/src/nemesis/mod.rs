//! Breaks the cluster on purpose, and undoes it. What is done, to whom and for how long follows
//! from the seed; who leads is asked when it is done.

mod act;
mod files;
mod plan;
mod run;
#[cfg(test)]
mod tests;

pub(crate) use run::{Injected, start};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Nemesis {
    /// SIGKILL to one member, the leader, a minority, a majority, or all; then a start.
    Kill,
    /// SIGSTOP to the same; then SIGCONT.
    Pause,
    /// Links held: the leader alone, halves, a ring, one way, or flapping.
    Partition,
    /// Links delayed by up to some hundred milliseconds.
    Delay,
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
}

impl Nemesis {
    /// As `--nemesis` takes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::Partition => "partition",
            Self::Delay => "delay",
            Self::Restart => "restart",
            Self::Compact => "compact",
            Self::Defrag => "defrag",
            Self::TornTail => "torn-tail",
            Self::BitFlip => "bit-flip",
        }
    }

    /// Whether it needs processes and links that are ours.
    pub(crate) fn needs_control(self) -> bool {
        !matches!(self, Self::Compact | Self::Defrag)
    }

    /// Whether a member may rightly refuse to go on after it.
    pub(crate) fn harms_files(self) -> bool {
        matches!(self, Self::TornTail | Self::BitFlip)
    }
}
