//! `backup`: a folder from which every revision since its first base can be restored.
//!
//! ```text
//! DIR/lock                   held while a run writes
//! DIR/MANIFEST               what there is: a checksum, a newline, JSON; replaced as a whole
//! DIR/base-N.db              a snapshot of the source, as etcd's tools read it
//! DIR/changes-N-REVISION.log changes after base N, from REVISION on; see `segment`
//! ```
//! A base and the changes after it are a chain: every revision from the base's to the last is in it.
//! A change is on disk before the next are asked for; what a crash leaves half written is the last
//! block of the last file, which the next run cuts off.
//!
//! Must never remove anything but what `--keep` gives up, and never a good part because of a bad one.

mod chain;
mod list;
mod manifest;
mod place;
mod restore;
mod run;
mod segment;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;

pub(crate) use self::list::list;
pub(crate) use self::restore::{Options as RestoreOptions, restore};
pub(crate) use self::run::{Options as RunOptions, run};
pub(crate) use self::verify::verify;
use super::file::FileError;
use super::follow::FollowError;
use super::import::ImportError;
use super::replay::ReplayError;
use super::restore::RestoreError;
use super::source::{SaveError, SourceError};

/// Why a backup cannot be written or read. Nothing that it holds is harmed by it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    /// The folder holds no backup.
    #[error("{} holds no backup: there is no MANIFEST in it", .0.display())]
    None(PathBuf),
    /// Another run writes to it.
    #[error("backup {} is in use by another process: stop that one, or give another --dir", .0.display())]
    InUse(PathBuf),
    /// Something else is where the backup is to be.
    #[error("{} is neither empty nor a backup: give another --dir", .0.display())]
    Foreign(PathBuf),
    /// The manifest cannot be read.
    #[error(
        "{} is damaged ({fault}): the bases beside it are whole snapshots, which `etcdutl snapshot restore` takes",
        path.display()
    )]
    Manifest {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
    /// It is another cluster's.
    #[error(
        "backup {} is of cluster {theirs:x}, and the source is cluster {ours:x}: give each cluster its own --dir",
        path.display()
    )]
    OtherCluster {
        /// The backup.
        path: PathBuf,
        /// Its cluster.
        theirs: u64,
        /// The source's.
        ours: u64,
    },
    /// The source is older than its backup.
    #[error(
        "the source is at revision {source_revision} and its backup holds revision {held}: it was restored from something \
         older. Run with --new-base to begin again from what it is now; nothing that is held is lost"
    )]
    Older {
        /// The source's revision.
        source_revision: i64,
        /// The backup's.
        held: i64,
    },
    /// The source has another history.
    #[error(
        "the source has something else at revision {0} than its backup: it was restored from something older, and has \
         gone on from there. Run with --new-base to begin again from what it is now; nothing that is held is lost"
    )]
    OtherHistory(i64),
    /// A file of the backup cannot be read as what was written.
    #[error(
        "{} is damaged at byte {offset} ({fault}): of this base, revisions {first} to {last} can still be restored",
        path.display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong.
        fault: &'static str,
        /// The base's revision.
        first: i64,
        /// The last revision before the damage.
        last: i64,
    },
    /// A base is not what was saved.
    #[error("{} is damaged, and nothing that follows it can be restored without it", path.display())]
    Base {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: Box<FileError>,
    },
    /// Nobody holds the revision.
    #[error("revision {wanted} is not held: held are {held}")]
    NotHeld {
        /// What was asked for.
        wanted: i64,
        /// What there is, in words.
        held: String,
    },
    /// Parts of it are damaged.
    #[error("{0}")]
    Faults(String),
    /// A file cannot be read or written.
    #[error("{action} {}", path.display())]
    Access {
        /// Which.
        path: PathBuf,
        /// What failed.
        action: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The source does not answer, or refuses.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The source cannot be followed.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// There is no snapshot.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// A base cannot be read.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// Changes do not fit.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The member cannot be made.
    #[error(transparent)]
    Restore(Box<RestoreError>),
}

/// For `map_err(access(path, "open"))`.
fn access(path: impl Into<PathBuf>, action: &'static str) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.into();
    move |source| BackupError::Access {
        path,
        action,
        source,
    }
}
