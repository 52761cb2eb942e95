//! `snapshot restore`: a founding member of a new cluster from a snapshot file.
//!
//! Every member of the new cluster is made from the same file with the same `--initial-cluster`. The
//! folder is marked as unfinished until all of it is on disk, so that a restore that was interrupted
//! is never taken for a member, or for an empty folder.
//!
//! Must never touch the file, and nothing that was there before.

use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

use super::backup::BackupError;
use super::file::{self, FileError};
use super::import::{self, ImportError, Imported};
use crate::apply::make_state;
use crate::config::{Config, ConfigError};
use crate::consensus::{AppliedState, Fatal, RestoreError as LogError, found_restored};
use crate::data_dir::{DataDir, DataDirError, Identity};
use crate::engine::rocks::RocksOptions;
use crate::engine::{Engine, EngineError, Family, WriteBatch};
use crate::failpoint;
use crate::keys::sys::Row;
use crate::server::StartError;
use crate::server::founding;

/// What to restore, under etcdutl's names.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The snapshot file.
    pub(crate) file: PathBuf,
    /// `--name`.
    pub(crate) name: String,
    /// `--data-dir`.
    pub(crate) data_dir: PathBuf,
    /// `--wal-dir`.
    pub(crate) wal_dir: Option<PathBuf>,
    /// `--initial-cluster`.
    pub(crate) initial_cluster: String,
    /// `--initial-cluster-token`.
    pub(crate) cluster_token: String,
    /// `--initial-advertise-peer-urls`.
    pub(crate) peer_urls: String,
    /// `--skip-hash-check`.
    pub(crate) skips_hash_check: bool,
    /// `--bump-revision`; 0 for none.
    pub(crate) bump_revision: i64,
}

/// Why nothing was restored. The words are etcd's where it has them.
#[derive(Debug, thiserror::Error)]
pub(super) enum RestoreError {
    /// A flag cannot be read.
    #[error("{0}")]
    Flags(String),
    /// The flags contradict each other.
    #[error(transparent)]
    Cluster(#[from] StartError),
    /// Something is where the member is to be.
    #[error("data-dir {0:?} not empty or could not be read")]
    DataDirTaken(PathBuf),
    /// Something is where the member's log is to be.
    #[error("wal-dir {0:?} exists")]
    WalDirTaken(PathBuf),
    /// The file is none to restore from.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file's rows cannot be taken over.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The folder cannot be made.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The log cannot be made.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The state cannot be made.
    #[error("write the state")]
    State(#[from] Fatal),
    /// A row cannot be written.
    #[error("write the state")]
    Engine(#[from] EngineError),
    /// The disk failed.
    #[error("write the member's files")]
    Io(#[from] io::Error),
    /// What was to be added to the file's rows cannot be.
    #[error(transparent)]
    More(Box<BackupError>),
}

/// Makes the member.
pub(crate) async fn restore(options: &Options) -> Result<(Identity, Imported), RestoreError> {
    restore_with(options, b"", |_, _| Ok(())).await
}

/// The same, with what `more` adds to the rows of the file. `salt` says what that is: it tells the new
/// cluster from those that are made of the file and something else.
pub(super) async fn restore_with(
    options: &Options,
    salt: &[u8],
    more: impl FnOnce(&dyn Engine, &mut Imported) -> Result<(), RestoreError>,
) -> Result<(Identity, Imported), RestoreError> {
    let mut identity = identity(options).await?;
    check_free(options)?;
    let checksum = file::checksum(&options.file)?;
    if !options.skips_hash_check {
        checksum.check()?;
    }
    let bump = options.bump_revision;
    identity.cluster_id = cluster_id(identity.cluster_id, &checksum.found, bump, salt);
    let file = file::open(&options.file)?;
    // What is no database of etcd is refused before there is anything to clean up.
    import::bucket(&file, super::schema::META)?;
    import::bucket(&file, super::schema::KEY)?;
    tracing::info!(
        path = %options.file.display(),
        data_dir = %options.data_dir.display(),
        "restoring snapshot"
    );
    let dir = DataDir::begin_restore(&options.data_dir, options.wal_dir.as_deref())?;
    let members = founding::founding_members(&identity).unwrap_or_default();
    let state = found_restored(dir.log(), &members)?;
    failpoint::hit("restore::logged")?;
    let imported = make_state(&dir.state(), &opener(), |engine| {
        let mut imported = import::import(&file, engine, bump)?;
        failpoint::hit("restore::imported")?;
        more(engine, &mut imported)?;
        engine.write(begin(state))?;
        Ok::<_, RestoreError>(imported)
    })?;
    // From here on an empty log is a lost one.
    identity.initialized = true;
    dir.finish_restore(identity.clone())?;
    tracing::info!(
        path = %options.file.display(),
        data_dir = %options.data_dir.display(),
        revision = imported.head.revision,
        compact_revision = imported.head.compact_revision,
        changes = imported.changes,
        leases = imported.leases,
        "restored snapshot"
    );
    Ok((identity, imported))
}

/// The engine of a state that is being made.
pub(super) fn opener() -> RocksOptions {
    RocksOptions {
        // Nobody else waits for the disk.
        background_bytes_per_s: usize::MAX >> 1,
        ..RocksOptions::default()
    }
}

/// The new cluster's id. Unlike etcd's it depends on what was restored: members made from different
/// files, or from none, would take each other's logs for their own, and so refuse each other instead.
pub(super) fn cluster_id(founded: u64, checksum: &[u8], bump_revision: i64, salt: &[u8]) -> u64 {
    let mut hash = Context::new(&SHA256);
    hash.update(&founded.to_be_bytes());
    hash.update(checksum);
    hash.update(&bump_revision.to_be_bytes());
    hash.update(salt);
    let digest = hash.finish();
    let first = digest.as_ref().iter().take(8);
    first.fold(0, |id, byte| id << 8 | u64::from(*byte))
}

/// Who the member is, by its flags alone.
pub(super) async fn identity(options: &Options) -> Result<Identity, RestoreError> {
    Ok(founding::founder(&config(options)?).await?)
}

/// The member's settings as a member that founds a cluster has them.
fn config(options: &Options) -> Result<Config, RestoreError> {
    let flags = [
        format!("--name={}", options.name),
        format!("--data-dir={}", options.data_dir.display()),
        format!("--initial-cluster={}", options.initial_cluster),
        format!("--initial-cluster-token={}", options.cluster_token),
        format!("--initial-advertise-peer-urls={}", options.peer_urls),
        "--initial-cluster-state=new".to_owned(),
    ];
    Config::parse(&flags, []).map_err(|error| match error {
        ConfigError::Usage(fault) => RestoreError::Flags(fault.to_string()),
        ConfigError::Invalid(faults) => RestoreError::Flags(faults.join("; ")),
    })
}

fn check_free(options: &Options) -> Result<(), RestoreError> {
    if !is_free(&options.data_dir) {
        return Err(RestoreError::DataDirTaken(options.data_dir.clone()));
    }
    match &options.wal_dir {
        Some(dir) if dir.exists() => Err(RestoreError::WalDirTaken(dir.clone())),
        _ => Ok(()),
    }
}

/// True if nothing is there, or an empty folder.
pub(super) fn is_free(dir: &Path) -> bool {
    match std::fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// Where the state stands in the log.
pub(super) fn begin(state: AppliedState) -> WriteBatch {
    let mut rows = WriteBatch::new();
    let applied = state.log_id.map(Row::Applied);
    for row in [applied, state.membership.map(Row::Membership)]
        .into_iter()
        .flatten()
    {
        rows.put(Family::Sys, row.key(), row.value());
    }
    rows
}
