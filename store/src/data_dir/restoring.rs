//! A folder that is made into a member's from elsewhere: marked until all of it is on disk, so that nobody
//! takes what an interruption leaves for a member, or for an empty folder.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use super::{
    DataDir, DataDirError, Identity, RESTORING, access, make_private, sync_dirs, take_lock,
};
use crate::failpoint;

impl DataDir {
    /// Takes an empty folder for a member that is to be made from a snapshot. Until
    /// [`DataDir::finish_restore`], nobody can start a member on it: one that found no data would
    /// begin an empty cluster.
    pub fn begin_restore(root: &Path, wal_dir: Option<&Path>) -> Result<Self, DataDirError> {
        let member = root.join("member");
        let log = wal_dir.map_or_else(|| member.join("log"), Path::to_path_buf);
        make_private(root)?;
        make_private(&member)?;
        let lock = take_lock(root, &member.join("lock"))?;
        let mark = member.join(RESTORING);
        let write = || -> io::Result<()> {
            File::create(&mark)?.sync_all()?;
            sync_dirs(&[&member, root])
        };
        write().map_err(access(&mark, "create"))?;
        failpoint::hit("restore::begun").map_err(access(&mark, "create"))?;
        Self::take(root, member, log, lock)
    }

    /// Takes a folder again whose making was interrupted, with its note; none if `root` is not one, or
    /// has lost its mark. Nothing in it is checked: whoever takes it makes it anew, or knows
    /// how to go on.
    pub fn resume_restore(
        root: &Path,
        wal_dir: Option<&Path>,
    ) -> Result<Option<(Self, Vec<u8>)>, DataDirError> {
        let member = root.join("member");
        let mark = member.join(RESTORING);
        if !mark.exists() {
            return Ok(None);
        }
        let lock = take_lock(root, &member.join("lock"))?;
        let note = match std::fs::read(&mark) {
            Ok(note) => note,
            // Whoever had the lock until now has made a member of it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(access(&mark, "read")(error)),
        };
        let dir = Self {
            root: root.into(),
            log: wal_dir.map_or_else(|| member.join("log"), Path::to_path_buf),
            member,
            identity: None,
            _lock: lock,
        };
        Ok(Some((dir, note)))
    }

    /// Notes how far the making of the folder is, whole or not at all, and syncs it.
    pub fn note_restore(&self, note: &[u8]) -> Result<(), DataDirError> {
        let mark = self.member.join(RESTORING);
        let temporary = self.member.join("restoring.tmp");
        let write = || -> io::Result<()> {
            let mut file = File::create(&temporary)?;
            file.write_all(note)?;
            file.sync_all()?;
            std::fs::rename(&temporary, &mark)?;
            sync_dirs(&[&self.member])
        };
        write().map_err(access(&mark, "write"))
    }

    /// Empties a folder that is being made, but for its mark.
    pub fn restart_restore(&self) -> Result<(), DataDirError> {
        let identity = self.member.join("identity");
        match std::fs::remove_file(&identity) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(access(&identity, "remove")(error));
            }
            _ => {}
        }
        self.empty_log()?;
        for dir in [self.state(), self.staging()] {
            empty(&dir)?;
        }
        Ok(())
    }

    /// Empties the log of a folder that is being made.
    pub fn empty_log(&self) -> Result<(), DataDirError> {
        empty(&self.log)
    }

    /// Makes the folder that of a member. Its log and state must be on disk.
    pub fn finish_restore(mut self, identity: Identity) -> Result<(), DataDirError> {
        let mark = self.member.join(RESTORING);
        for dir in [self.log.clone(), self.state()] {
            sync_dirs(&[&dir]).map_err(access(&dir, "sync"))?;
        }
        // A folder is durable once the one that names it is.
        let root = std::path::absolute(&self.root).map_err(access(&self.root, "find"))?;
        if let Some(parent) = root.parent() {
            sync_dirs(&[parent]).map_err(access(parent, "sync"))?;
        }
        failpoint::hit("restore::synced").map_err(access(&mark, "remove"))?;
        self.set_identity(identity)?;
        failpoint::hit("restore::identified").map_err(access(&mark, "remove"))?;
        std::fs::remove_file(&mark).map_err(access(&mark, "remove"))?;
        sync_dirs(&[&self.member]).map_err(access(&self.member, "sync"))
    }
}

/// Makes an empty folder of `dir`, which may be missing.
fn empty(dir: &Path) -> Result<(), DataDirError> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(access(dir, "empty")(error));
        }
        _ => {}
    }
    make_private(dir)
}
