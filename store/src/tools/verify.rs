//! `verify`: whether a stopped member's log and state are whole and fit together.

use std::path::Path;
use std::time::Duration;

use super::folder::{self, FolderError};
use crate::data_dir::Identity;
use crate::log::{Log, OpenError, Options, View as Ends};

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    /// Which member it is.
    pub(crate) identity: Identity,
    /// Entries in the log that were read.
    pub(crate) entries: u64,
    /// The last entry that the state holds.
    pub(crate) applied: u64,
    /// The newest revision.
    pub(crate) revision: i64,
    /// The hash of the history, of which every row was read.
    pub(crate) hash: u32,
}

/// Why a member is not whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum VerifyError {
    /// The folder or the state.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The log.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// An entry.
    #[error("read the log from entry {index}")]
    Entry {
        /// The first that could not be read.
        index: u64,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Each is whole, but they do not belong together.
    #[error(
        "the state holds entries up to {applied}, the log has those from {first} to {last}: {fault}"
    )]
    Apart {
        /// The state's place.
        applied: u64,
        /// The log's first entry.
        first: u64,
        /// The log's last entry.
        last: u64,
        /// What is wrong with that.
        fault: &'static str,
    },
}

/// Bytes of the log read at once.
const READ_BYTES: usize = 4 << 20;

/// Reads everything.
pub(crate) fn verify(
    dir: &Path,
    wal_dir: Option<&Path>,
    patience: Option<Duration>,
) -> Result<Verified, VerifyError> {
    let folder = folder::open(dir, wal_dir, patience)?;
    let hash = folder.view.hash_kv(0);
    let (hash, revision) = hash.map_err(|error| VerifyError::Folder(FolderError::Read(error)))?;
    let log = Log::open(Options::new(folder.dir.log().to_owned()))?;
    let ends = log.view();
    let entries = read_all(&log, &ends);
    log.close();
    let entries = entries?;
    let applied = folder.view.applied().index;
    let first = ends.purged.map_or(0, |purged| purged.index) + 1;
    let last = ends.last.map_or(0, |last| last.index);
    let fault = if applied + 1 < first {
        Some("entries between them are gone")
    } else if applied > last {
        Some("the log has lost entries that the state was made from")
    } else {
        None
    };
    match fault {
        Some(fault) => Err(VerifyError::Apart {
            applied,
            first,
            last,
            fault,
        }),
        None => Ok(Verified {
            identity: folder.identity.clone(),
            entries,
            applied,
            revision,
            hash: hash.hash,
        }),
    }
}

fn read_all(log: &Log, ends: &Ends) -> Result<u64, VerifyError> {
    let mut count = 0;
    let mut next = ends.purged.map_or(0, |purged| purged.index) + 1;
    let end = ends.last.map_or(0, |last| last.index) + 1;
    while next < end {
        let read = log.read(next, end, READ_BYTES);
        let entries = read.map_err(|source| VerifyError::Entry {
            index: next,
            source,
        })?;
        let Some(last) = entries.last() else {
            let source = std::io::ErrorKind::UnexpectedEof.into();
            return Err(VerifyError::Entry {
                index: next,
                source,
            });
        };
        next = last.log_id.index + 1;
        count += entries.len() as u64;
    }
    Ok(count)
}
