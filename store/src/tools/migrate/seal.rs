//! The end of a migration: the last rows, the log, and the comparison with the source.

use std::collections::BTreeSet;

use super::super::hashkv::HashKv;
use super::super::replay::Finished;
use super::super::restore::{self, RestoreError};
use super::super::source::{Alarm, Source};
use super::MigrateError;
use super::chase::Chase;
use crate::apply::{Machine, MachineOptions, Making};
use crate::consensus::{AppliedState, found_restored};
use crate::data_dir::{DataDir, Identity};
use crate::engine::{Direction, EngineError, Family, Span, WriteBatch};
use crate::failpoint;
use crate::keys::sys::{AlarmRow, Row};
use crate::server::founding;

/// What was written, and the hash that it has to have.
pub(super) struct Sealed {
    pub(super) identity: Identity,
    pub(super) finished: Finished,
    pub(super) theirs: HashKv,
}

/// Writes everything beside the keys, and makes it durable.
pub(super) async fn finish(
    source: &mut Source,
    chase: Chase<'_>,
    making: &Making,
    dir: &DataDir,
    identity: &Identity,
) -> Result<Sealed, MigrateError> {
    let revision = chase.replay.revision();
    let compacted = chase.replay.head().compact_revision;
    tracing::info!(revision, "compares with the source");
    let theirs = source.hash_at(revision, compacted).await?;
    let theirs = theirs.ok_or(MigrateError::NoHash(revision))?;
    let alarms = source.alarms().await?;
    // Last of all questions: what it guards was asked before.
    let (now, _) = source.auth_revision().await?;
    if now != chase.auth_revision {
        let before = chase.auth_revision;
        return Err(MigrateError::AuthChanged { before, now });
    }
    let leases = chase.leases;
    let finished = chase
        .replay
        .finish(theirs.compact_revision, leases.iter())?;
    let mut identity = identity.clone();
    // From here on an empty log is a lost one.
    identity.initialized = true;
    let found = format!("{}@{revision}", source.position().await?.cluster_id);
    identity.cluster_id = restore::cluster_id(
        identity.cluster_id,
        &theirs.hash.to_be_bytes(),
        0,
        found.as_bytes(),
    );
    // What an earlier end has left of a log.
    dir.empty_log()?;
    let members = founding::founding_members(&identity).unwrap_or_default();
    let state = found_restored(dir.log(), &members).map_err(RestoreError::from)?;
    failpoint::hit("migrate::logged").map_err(RestoreError::from)?;
    write_rest(making, state, &alarms).map_err(RestoreError::from)?;
    making.flush()?;
    Ok(Sealed {
        identity,
        finished,
        theirs,
    })
}

fn write_rest(
    making: &Making,
    state: AppliedState,
    alarms: &BTreeSet<Alarm>,
) -> Result<(), EngineError> {
    let mut rows = restore::begin(state);
    let alarm = |alarm, member_id| Row::Alarm(AlarmRow { alarm, member_id });
    let start = alarm(0, 0).key();
    // All rows of the kind: the ordinal is the first byte.
    let end = start.first().map_or(0, |ordinal| ordinal + 1);
    let span = Span::between(
        start.get(..1).unwrap_or_default(),
        std::slice::from_ref(&end),
    );
    let mut old = WriteBatch::new();
    let engine = making.engine();
    engine.scan(Family::Sys, span, Direction::Forward, &mut |key, _| {
        old.delete(Family::Sys, key.to_vec());
        std::ops::ControlFlow::Continue(())
    })?;
    engine.write(old)?;
    for (kind, member_id) in alarms {
        let row = alarm(*kind, *member_id);
        rows.put(Family::Sys, row.key(), row.value());
    }
    engine.write(rows)
}

/// Opens the state as a member does, and hashes it.
pub(super) fn compare(dir: &DataDir, theirs: HashKv) -> Result<(), MigrateError> {
    let (_machine, view) = Machine::open(&dir.state(), MachineOptions::default())?;
    let revision = theirs.hash_revision;
    let (ours, _) = view.hash_kv(revision).map_err(MigrateError::Hash)?;
    if (ours.hash, ours.compact_revision) != (theirs.hash, theirs.compact_revision) {
        return Err(MigrateError::Unequal {
            revision,
            theirs: theirs.hash,
            ours: ours.hash,
        });
    }
    Ok(())
}
