//! What a disk does wrong at a time.

use std::time::Duration;

/// Nothing, by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// Whatever needs space is refused.
    pub(crate) is_full: bool,
    /// Each write and sync takes so much longer.
    pub(crate) delay: Duration,
    /// These fail.
    pub(crate) eio: Option<Eio>,
}

/// What fails with an input/output error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Eio {
    /// Reads.
    Read,
    /// Writes. Nothing of them is kept.
    Write,
    /// Syncs. As on Linux, what was to be synced counts as clean afterwards: a later sync that succeeds
    /// does not make it durable.
    Sync,
}

impl Eio {
    /// For people.
    pub(crate) fn told(self) -> &'static str {
        match self {
            Self::Read => "reads fail",
            Self::Write => "writes fail",
            Self::Sync => "syncs fail",
        }
    }
}
