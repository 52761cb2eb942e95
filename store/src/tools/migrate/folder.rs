//! A folder that a migration is making, and its note of how far that is.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::restore::{self, RestoreError};
use super::MigrateError;
use crate::apply::Making;
use crate::data_dir::DataDir;

/// The note's form that this program writes. Another one is no note of ours.
const FORMAT: u32 = 1;

/// What stands in the mark of the folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    migration: u32,
    phase: Phase,
    /// The source's.
    cluster_id: u64,
    /// The source's when the snapshot was taken.
    auth_revision: u64,
    /// Where the log will be, if not in the folder.
    #[serde(default)]
    wal_dir: Option<PathBuf>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Phase {
    /// What there is of the state cannot be gone on with.
    Snapshot,
    /// The state is the source's at its revision.
    Following,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// Nothing to go on with.
    Anew,
    /// The state of an earlier run.
    Before,
}

/// See the module.
pub(super) struct Work {
    pub(super) dir: DataDir,
    making: Option<Making>,
    cluster_id: u64,
    pub(super) auth_revision: u64,
    wal_dir: Option<PathBuf>,
}

/// Takes the folder: a new one, or one that a migration has begun and not finished.
pub(super) fn take(
    root: &Path,
    wal_dir: Option<&Path>,
    cluster_id: u64,
) -> Result<(Work, Begun), MigrateError> {
    let work = |dir, auth_revision| Work {
        dir,
        making: None,
        cluster_id,
        auth_revision,
        wal_dir: wal_dir.map(Path::to_path_buf),
    };
    let Some((dir, note)) = DataDir::resume_restore(root, wal_dir)? else {
        if !restore::is_free(root) {
            return Err(RestoreError::DataDirTaken(root.into()).into());
        }
        if let Some(wal_dir) = wal_dir.filter(|wal_dir| wal_dir.exists()) {
            return Err(RestoreError::WalDirTaken(wal_dir.into()).into());
        }
        let work = work(DataDir::begin_restore(root, wal_dir)?, 0);
        work.note(Phase::Snapshot)?;
        return Ok((work, Begun::Anew));
    };
    let note = match serde_json::from_slice::<Note>(&note) {
        Ok(note) if note.migration == FORMAT => note,
        // Begun, and interrupted before anything was noted: nothing can be lost.
        _ if note.is_empty() && is_untouched(&dir) => Note {
            migration: FORMAT,
            phase: Phase::Snapshot,
            cluster_id,
            auth_revision: 0,
            wal_dir: wal_dir.map(Path::to_path_buf),
        },
        // A restore that did not finish is not for us to remove.
        _ => return Err(RestoreError::DataDirTaken(root.into()).into()),
    };
    // What is there may be anybody's, and what a migration has begun is emptied when it begins anew.
    if note.wal_dir.as_deref() != wal_dir {
        return Err(MigrateError::OtherWalDir(note.wal_dir));
    }
    let work = work(dir, note.auth_revision);
    if note.phase == Phase::Following && note.cluster_id == cluster_id {
        tracing::info!(
            data_dir = %root.display(),
            "goes on with the migration that was interrupted"
        );
        return Ok((work, Begun::Before));
    }
    tracing::info!(
        data_dir = %root.display(),
        "begins the migration anew: what was begun before cannot be gone on with"
    );
    work.note(Phase::Snapshot)?;
    work.dir.restart_restore()?;
    Ok((work, Begun::Anew))
}

fn is_untouched(dir: &DataDir) -> bool {
    [dir.log(), &dir.state()].into_iter().all(restore::is_free)
}

impl Work {
    /// The source's.
    pub(super) fn cluster_id(&self) -> u64 {
        self.cluster_id
    }

    /// Notes how far it is.
    pub(super) fn note(&self, phase: Phase) -> Result<(), MigrateError> {
        let note = Note {
            migration: FORMAT,
            phase,
            cluster_id: self.cluster_id,
            auth_revision: self.auth_revision,
            wal_dir: self.wal_dir.clone(),
        };
        // Numbers and words are always JSON.
        let text = serde_json::to_vec(&note).unwrap_or_default();
        Ok(self.dir.note_restore(&text)?)
    }

    /// The state, opened where it is not yet.
    pub(super) fn making(&mut self) -> Result<&Making, MigrateError> {
        if self.making.is_none() {
            self.making = Some(Making::open(&self.dir.state(), &restore::opener())?);
        }
        let making = self.making.as_ref();
        Ok(making.expect("it was opened just now"))
    }

    /// Gives the state away, opened where it was not yet.
    pub(super) fn open(&mut self) -> Result<Making, MigrateError> {
        match self.making.take() {
            Some(making) => Ok(making),
            None => Ok(Making::open(&self.dir.state(), &restore::opener())?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dir::DataDirError;

    fn shape(taken: Result<(Work, Begun), MigrateError>) -> Result<Begun, String> {
        taken
            .map(|(_, begun)| begun)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_log_elsewhere_is_only_touched_by_who_began_it() {
        let root = tempfile::tempdir().unwrap();
        let (dir, wal) = (root.path().join("m"), root.path().join("wal"));
        let with = |wal: Option<&Path>| shape(take(&dir, wal, 7));
        std::fs::create_dir(&wal).unwrap();
        let taken = format!("wal-dir {wal:?} exists");
        assert_eq!(with(Some(&wal)), Err(taken));
        std::fs::remove_dir(&wal).unwrap();
        assert_eq!(with(Some(&wal)), Ok(Begun::Anew));
        assert!(wal.is_dir());
        std::fs::write(wal.join("x"), "").unwrap();
        let other = root.path().join("other");
        for other in [None, Some(other.as_path())] {
            assert!(with(other).unwrap_err().contains("--wal-dir"));
        }
        assert!(wal.join("x").exists());
        assert_eq!(with(Some(&wal)), Ok(Begun::Anew));
        assert!(!wal.join("x").exists());
    }

    #[test]
    fn what_was_begun_is_gone_on_with_or_begun_anew() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("m");
        let no_member = || {
            let opened = DataDir::open(&dir, None);
            assert!(matches!(opened, Err(DataDirError::HalfRestored(_))));
        };
        assert_eq!(shape(take(&dir, None, 7)), Ok(Begun::Anew));
        no_member();
        // Died before the snapshot was there.
        let (mut work, begun) = take(&dir, None, 7).unwrap();
        assert_eq!(begun, Begun::Anew);
        work.making().unwrap();
        work.auth_revision = 5;
        work.note(Phase::Following).unwrap();
        drop(work);
        no_member();
        // Died while following.
        let (work, begun) = take(&dir, None, 7).unwrap();
        assert_eq!((begun, work.auth_revision), (Begun::Before, 5));
        assert!(!restore::is_free(&work.dir.state()));
        drop(work);
        // Another source.
        let (work, begun) = take(&dir, None, 8).unwrap();
        assert_eq!(begun, Begun::Anew);
        assert!(restore::is_free(&work.dir.state()));
        // Nobody else may have it meanwhile.
        assert!(shape(take(&dir, None, 8)).unwrap_err().contains("in use"));
        drop(work);
        no_member();
        // A mark that says nothing, with something behind it, is a restore's.
        std::fs::write(dir.join("member/restoring"), "").unwrap();
        assert_eq!(shape(take(&dir, None, 8)), Ok(Begun::Anew));
        std::fs::write(dir.join("member/restoring"), "").unwrap();
        std::fs::write(dir.join("member/state/x"), "").unwrap();
        let refused = shape(take(&dir, None, 8)).unwrap_err();
        assert!(refused.contains("not empty"), "{refused}");
        assert!(dir.join("member/state/x").exists());
    }
}
