//! The folder of a backup, and who may write to it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::manifest::{self, Manifest};
use super::{BackupError, access};

/// A folder that nobody else writes to until this is dropped.
pub(super) struct Lock(File);

/// Takes the folder to write to it, making it where it is missing; what it holds, if anything.
pub(super) fn take(dir: &Path) -> Result<(Lock, Option<Manifest>), BackupError> {
    let mut builder = DirBuilder::new();
    // Passwords' hashes are in it.
    let made = builder.recursive(true).mode(0o700).create(dir);
    made.map_err(access(dir, "create"))?;
    let path = dir.join("lock");
    if !dir.join(manifest::NAME).exists() && !is_ours(dir).map_err(access(dir, "list"))? {
        return Err(BackupError::Foreign(dir.into()));
    }
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(access(&path, "open"))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok((Lock(file), Manifest::load(dir)?)),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(BackupError::InUse(dir.into())),
        Err(error) => Err(access(&path, "lock")(error.into())),
    }
}

/// True if there is nothing but what a run leaves that ended before its first base was whole.
fn is_ours(dir: &Path) -> io::Result<bool> {
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        let is_ours = name == "lock" || name == "MANIFEST.tmp" || name.starts_with("base-1.db");
        if !is_ours {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads what a folder holds, whoever writes to it.
pub(super) fn read(dir: &Path) -> Result<Manifest, BackupError> {
    Manifest::load(dir)?.ok_or_else(|| BackupError::None(dir.into()))
}

impl Lock {
    /// Syncs the names of the files.
    pub(super) fn sync(&self, dir: &Path) -> Result<(), BackupError> {
        // The lock is what makes the caller the only one who may.
        let _: &File = &self.0;
        let synced = File::open(dir).and_then(|dir| dir.sync_all());
        synced.map_err(access(dir, "sync"))
    }
}
