//! `backup restore`: a member of a new cluster with everything as it was at a revision.

use std::ops::ControlFlow;
use std::path::PathBuf;

use super::super::follow::Leases;
use super::super::import::Imported;
use super::super::replay::{Replay, ReplayError, stored_leases};
use super::super::restore::{self, RestoreError};
use super::BackupError;
use super::manifest::{self, Base, Manifest};
use super::{chain, place};
use crate::data_dir::Identity;
use crate::engine::Engine;

/// What to restore.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The backup.
    pub(crate) dir: PathBuf,
    /// The revision; 0 for the newest that is held.
    pub(crate) revision: i64,
    /// The member to make; its file is chosen here.
    pub(crate) target: restore::Options,
}

impl From<BackupError> for RestoreError {
    fn from(error: BackupError) -> Self {
        Self::More(Box::new(error))
    }
}

impl From<ReplayError> for RestoreError {
    fn from(error: ReplayError) -> Self {
        BackupError::from(error).into()
    }
}

/// Makes the member. Every member of the new cluster is made from the same backup at the same revision.
pub(crate) async fn restore(options: &Options) -> Result<(Identity, Imported), BackupError> {
    let manifest = place::read(&options.dir)?;
    let (base, revision) = choose(options, &manifest)?;
    let mut target = options.target.clone();
    target.file = manifest::path(&options.dir, &base.file);
    tracing::info!(base = base.number, revision, "restores from the backup");
    let salt = format!("revision {revision}");
    let restored = restore::restore_with(&target, salt.as_bytes(), |engine, imported| {
        replay(options, &manifest, base, revision, engine, imported)
    });
    restored.await.map_err(|error| match error {
        RestoreError::More(error) => *error,
        RestoreError::File(source) => BackupError::Base {
            path: target.file.clone(),
            source: Box::new(source),
        },
        error => BackupError::Restore(Box::new(error)),
    })
}

/// The newest base with the revision, and the revision itself. Reads the changes once, so that nothing
/// is begun that cannot be finished.
fn choose<'m>(options: &Options, manifest: &'m Manifest) -> Result<(&'m Base, i64), BackupError> {
    let wanted = options.revision;
    let bases = manifest.bases.iter().rev();
    let mut found = bases.filter(|base| wanted == 0 || base.revision <= wanted);
    let not_held = |held| BackupError::NotHeld { wanted, held };
    let base = found.next().ok_or_else(|| not_held(manifest.held()))?;
    let mut last = base.revision;
    let walked = chain::walk(&options.dir, manifest, base, |block| {
        last = block.changes.last().map_or(last, |one| one.revision);
        let is_there = wanted > 0 && last >= wanted;
        Ok::<_, BackupError>(match is_there {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
    })?;
    if wanted > walked.last_revision {
        let mut manifest = manifest.clone();
        let newest = manifest
            .bases
            .iter_mut()
            .find(|one| one.number == base.number);
        // The manifest may know of less than there is.
        if let Some(segment) = newest.and_then(|base| base.segments.last_mut()) {
            segment.last_revision = walked.last_revision;
        }
        return Err(not_held(manifest.held()));
    }
    let newest = walked.last_revision;
    Ok((base, if wanted == 0 { newest } else { wanted }))
}

fn replay(
    options: &Options,
    manifest: &Manifest,
    base: &Base,
    revision: i64,
    engine: &dyn Engine,
    imported: &mut Imported,
) -> Result<(), RestoreError> {
    let mut replay = Replay::open(engine)?;
    let mut leases = Leases::new(stored_leases(engine)?);
    let walked = chain::walk(&options.dir, manifest, base, |block| {
        // Leases that were seen before the next revision count.
        let first = block.changes.first();
        if first.is_some_and(|first| first.revision > revision) {
            return Ok(ControlFlow::Break(()));
        }
        leases.take(&block.granted, &block.gone);
        let upto = block.changes.iter();
        for changes in upto.take_while(|changes| changes.revision <= revision) {
            replay.apply(changes)?;
        }
        Ok::<_, RestoreError>(ControlFlow::Continue(()))
    });
    match walked {
        Ok(_) => {}
        // What is damaged comes after all that was asked for.
        Err(RestoreError::More(error))
            if replay.revision() == revision && matches!(*error, BackupError::Damaged { .. }) => {}
        Err(error) => return Err(error),
    }
    let compacted = replay.head().compact_revision;
    imported.changes += replay.changes;
    let finished = replay.finish(compacted, leases.iter())?;
    imported.head = finished.head;
    imported.leases = finished.leases;
    Ok(())
}
