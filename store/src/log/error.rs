//! Why a log cannot be opened.

use std::io;
use std::path::PathBuf;

/// None of these is worth another try before somebody has looked at the machine.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk or the file system failed.
    #[error("raft log: cannot {step}")]
    Io {
        /// What was being done.
        step: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Another process holds the folder.
    #[error("raft log: {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The folder holds a file that no log wrote.
    #[error("raft log: {} does not belong to a raft log", .0.display())]
    Foreign(PathBuf),
    /// A file is of a newer version.
    #[error("raft log: {} has format version {found}, this program reads {known}", path.display())]
    Version {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// Bytes that may have been acknowledged are damaged or missing. Starting would forget them, so
    /// this member must be removed from the cluster and added again with an empty folder.
    #[error(
        "raft log: {} is damaged at byte {offset}: {reason}; entries up to {durable_upto} were acknowledged; \
         remove this member from the cluster and add it again with an empty data directory",
        path.display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        reason: String,
        /// The greatest index known to have been on disk.
        durable_upto: u64,
    },
}

impl OpenError {
    pub(super) fn io(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { step, source }
    }
}
