//! `migrate`: moves a running etcd into a folder of ours. A snapshot over the wire, then every change
//! after it at its own revision, until told to end; then the hashes of both are compared.
//!
//! The folder is marked as unfinished until the comparison has come out equal: before, no member starts
//! from it, whatever dies. The same command goes on with a folder that was left while following, and
//! begins anew with any other that it began itself.
//!
//! Users, roles and passwords come with the snapshot alone. If they change meanwhile, or if the source
//! compacts what would come next, it begins anew with another snapshot.

mod chase;
mod folder;
mod seal;

use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use self::chase::Chase;
use self::folder::{Begun, Phase, Work};
use super::file;
use super::follow::{FollowError, Leases};
use super::hashkv::HashKv;
use super::import::{self, ImportError};
use super::replay::{self, Replay, ReplayError};
use super::restore::{self, RestoreError};
use super::source::{self, Access, SaveError, Source, SourceError};
use crate::apply::ReadError;
use crate::consensus::Fatal;
use crate::data_dir::{DataDirError, Identity};
use crate::failpoint;

/// Snapshots taken until the source counts as too busy.
const ATTEMPTS: usize = 3;

/// When to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// When told by a signal.
    Told,
    /// As soon as everything is here that the source had when it was asked.
    Synced,
    /// At a revision.
    Revision(i64),
}

/// What to move where.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The source's endpoints, comma-separated.
    pub(crate) from: String,
    /// How to reach it.
    pub(crate) access: Access,
    /// The member to make; its file is chosen here.
    pub(crate) target: restore::Options,
    /// When to end.
    pub(crate) until: Until,
}

/// Why nothing was moved. What was there before is untouched; what was begun is marked as unfinished.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MigrateError {
    /// The flags name a cluster of several members.
    #[error(
        "--initial-cluster names {0} members: a migration makes the first member of a new cluster; name it alone, \
         and add the others with `etcdctl member add` once it serves"
    )]
    ManyMembers(usize),
    /// The source is past the revision at which to end.
    #[error(
        "--until-revision={wanted}: the source's snapshot is at revision {found} already, give that or a later one"
    )]
    Past {
        /// The revision asked for.
        wanted: i64,
        /// That of the snapshot.
        found: i64,
    },
    /// Users or roles have changed.
    #[error(
        "users or roles of the source have changed meanwhile (auth revision {before}, now {now}), which no watch tells"
    )]
    AuthChanged {
        /// When the snapshot was taken.
        before: u64,
        /// Now.
        now: u64,
    },
    /// The hash of the source cannot be had.
    #[error("the source has compacted revision {0} away, so that nobody can compare with it")]
    NoHash(i64),
    /// The copy differs.
    #[error(
        "the copy is not equal: at revision {revision} the source's hash is {theirs}, that of the copy {ours}. No member \
         can start from the folder; run the same command again, it begins anew"
    )]
    Unequal {
        /// Where both were compared.
        revision: i64,
        /// The source's.
        theirs: u32,
        /// The copy's.
        ours: u32,
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
    /// The snapshot cannot be taken over.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The changes do not fit.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The member cannot be made.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The folder cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The state cannot be made.
    #[error("write the state")]
    State(#[from] Fatal),
    /// The copy cannot be hashed.
    #[error("hash the copy")]
    Hash(#[source] ReadError),
    /// An earlier run had the log elsewhere.
    #[error(
        "this migration was begun with {}: give the same, or another --data-dir",
        .0.as_ref().map_or("no --wal-dir".into(), |dir| format!("--wal-dir={}", dir.display()))
    )]
    OtherWalDir(Option<PathBuf>),
    /// A file cannot be removed.
    #[error("remove {}", .0.display())]
    Remove(PathBuf, #[source] std::io::Error),
    /// The process was told to end before there was anything to end with.
    #[error(
        "told to end before the snapshot was taken over: run the same command again, it begins anew"
    )]
    Told,
}

impl MigrateError {
    /// True if another snapshot helps.
    fn is_stale(&self) -> bool {
        matches!(
            self,
            Self::AuthChanged { .. }
                | Self::NoHash(_)
                | Self::Follow(FollowError::Overtaken { .. } | FollowError::Gap(_))
                | Self::Replay(ReplayError::Misfit { .. })
        )
    }
}

/// What was moved.
#[derive(Clone, Debug)]
pub(crate) struct Moved {
    pub(crate) identity: Identity,
    pub(crate) source_cluster_id: u64,
    /// The hash that both have.
    pub(crate) hash: HashKv,
    pub(crate) leases: u64,
    /// Leases that keys are attached to and that the source has no more.
    pub(crate) orphans: u64,
    /// Where the source stood at the very end.
    pub(crate) source_revision: i64,
}

/// Moves, until `options.until` or `told`.
pub(crate) async fn migrate(
    options: &Options,
    told: &CancellationToken,
) -> Result<Moved, MigrateError> {
    let identity = restore::identity(&options.target).await?;
    let founders = identity.founders.as_ref().map_or(0, Vec::len);
    if founders > 1 {
        return Err(MigrateError::ManyMembers(founders));
    }
    let mut source = Source::open(&options.from, &options.access)?;
    let mut attempt = 0;
    loop {
        attempt += 1;
        match once(options, &mut source, told, &identity).await {
            Err(error) if error.is_stale() && attempt < ATTEMPTS && !told.is_cancelled() => {
                let reason = base::report(&error).to_string();
                tracing::warn!(reason, "begins anew with another snapshot");
            }
            outcome => return outcome,
        }
    }
}

async fn once(
    options: &Options,
    source: &mut Source,
    told: &CancellationToken,
    identity: &Identity,
) -> Result<Moved, MigrateError> {
    let cluster_id = source.position().await?.cluster_id;
    let (data_dir, wal_dir) = (&options.target.data_dir, &options.target.wal_dir);
    let (mut work, begun) = folder::take(data_dir, wal_dir.as_deref(), cluster_id)?;
    if let Begun::Anew = begun {
        let begin = begin(&mut work, source);
        tokio::select! { biased;
            // What was begun is marked, and no state to go on with.
            () = told.cancelled() => return Err(MigrateError::Told),
            begun = begin => begun?,
        }
    }
    let outcome = follow(options, source, told, identity, &mut work).await;
    if let Err(error) = &outcome
        && (error.is_stale() || matches!(error, MigrateError::Unequal { .. }))
    {
        work.note(Phase::Snapshot)?;
    }
    let moved = outcome?;
    work.dir.finish_restore(moved.identity.clone())?;
    tracing::info!(revision = moved.hash.hash_revision, "migrated");
    Ok(moved)
}

/// Takes a snapshot over.
async fn begin(work: &mut Work, source: &mut Source) -> Result<(), MigrateError> {
    let (auth_revision, _) = source.auth_revision().await?;
    let path = work.dir.staging().join("snapshot.db");
    tracing::info!(
        endpoint = source.endpoint(),
        "takes a snapshot of the source"
    );
    let saved = source::save(source, &path).await?;
    failpoint::hit("migrate::begun").map_err(RestoreError::from)?;
    tracing::info!(bytes = saved.bytes, "takes the snapshot over");
    let imported = {
        let database = file::open(&path).map_err(RestoreError::from)?;
        import::import(&database, work.making()?.engine(), 0)?
    };
    work.making()?.flush()?;
    std::fs::remove_file(&path).map_err(|error| MigrateError::Remove(path.clone(), error))?;
    work.auth_revision = auth_revision;
    work.note(Phase::Following)?;
    failpoint::hit("migrate::imported").map_err(RestoreError::from)?;
    tracing::info!(
        revision = imported.head.revision,
        changes = imported.changes,
        leases = imported.leases,
        "took the snapshot over"
    );
    Ok(())
}

/// Follows to the end, and makes the state that of a member.
async fn follow(
    options: &Options,
    source: &mut Source,
    told: &CancellationToken,
    identity: &Identity,
    work: &mut Work,
) -> Result<Moved, MigrateError> {
    let auth_revision = work.auth_revision;
    let making = work.open()?;
    let replay = Replay::open(making.engine())?;
    if let Until::Revision(wanted) = options.until
        && wanted < replay.revision()
    {
        let found = replay.revision();
        return Err(MigrateError::Past { wanted, found });
    }
    let leases = Leases::new(replay::stored_leases(making.engine())?);
    let mut chase = Chase::new(&making, replay, leases, auth_revision);
    chase.run(source, options.until, told).await?;
    let source_revision = chase.settle(source, options.until).await?;
    let sealed = seal::finish(source, chase, &making, &work.dir, identity).await?;
    // The engine is closed before anybody else opens it.
    drop(making);
    seal::compare(&work.dir, sealed.theirs)?;
    Ok(Moved {
        identity: sealed.identity,
        source_cluster_id: work.cluster_id(),
        hash: sealed.theirs,
        leases: sealed.finished.leases,
        orphans: sealed.finished.orphans,
        source_revision,
    })
}
