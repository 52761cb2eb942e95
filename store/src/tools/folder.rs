//! A stopped member's folder.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::apply::{Machine, MachineOptions, ReadError, View};
use crate::consensus::Fatal;
use crate::data_dir::{DataDir, DataDirError, Identity};

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FolderError {
    /// There is none.
    #[error("stat {}: no such directory", .0.display())]
    Missing(PathBuf),
    /// No member has ever used it.
    #[error("{} holds no member", .0.display())]
    NoMember(PathBuf),
    /// It is another's, or in use.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// Its state cannot be read.
    #[error("open the state")]
    State(#[from] Fatal),
    /// Its state does not answer.
    #[error("read the state")]
    Read(#[source] ReadError),
}

/// An open folder. Nobody else can use it until this is dropped.
pub(crate) struct Folder {
    // Dropped from here on downwards: the state is closed before the folder is given up.
    pub(crate) view: View,
    _machine: Machine,
    pub(crate) identity: Identity,
    pub(crate) dir: DataDir,
}

/// How often a folder that another process has is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// Takes a folder in which a member has been. Waits until the member has ended: for `patience`, or
/// for ever without one.
pub(crate) fn open(
    root: &Path,
    wal_dir: Option<&Path>,
    patience: Option<Duration>,
) -> Result<Folder, FolderError> {
    // Opening makes what is missing, which nobody asked for here.
    if !root.is_dir() {
        return Err(FolderError::Missing(root.into()));
    }
    if !root.join("member").is_dir() {
        return Err(FolderError::NoMember(root.into()));
    }
    let started = Instant::now();
    let dir = loop {
        match DataDir::open(root, wal_dir) {
            Err(DataDirError::InUse(_))
                if patience.is_none_or(|patience| started.elapsed() < patience) =>
            {
                std::thread::sleep(PAUSE);
            }
            taken => break taken?,
        }
    };
    let identity = dir.identity().cloned();
    let identity = identity.ok_or_else(|| FolderError::NoMember(root.into()))?;
    let (_machine, view) = Machine::open(&dir.state(), MachineOptions::default())?;
    Ok(Folder {
        view,
        _machine,
        identity,
        dir,
    })
}
