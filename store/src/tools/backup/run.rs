//! Writes a backup: a base where one is needed, then every change after it as it comes.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use prost::Message;
use tokio_util::sync::CancellationToken;

use super::super::follow::{FollowError, Follower};
use super::super::source::{Access, Source};
use super::BackupError;
use super::manifest::Manifest;
use super::place;
use super::segment::Block;
use super::writer::Writer;

/// A block is written from this size on, however short the interval.
const BLOCK_BYTES: usize = 1 << 20;

/// How often the source is asked for what no watch tells.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Bases that one run takes because the source was faster than it.
const REBASES_MAX: usize = 3;

/// What to write where.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) endpoints: String,
    pub(crate) access: Access,
    pub(crate) dir: PathBuf,
    /// Ends once everything is held that the source had at the beginning.
    pub(crate) is_once: bool,
    /// How long a change may wait until it is on disk.
    pub(crate) interval: Duration,
    /// Takes a base in any case.
    pub(crate) wants_base: bool,
    /// Bases to keep; all where there is none.
    pub(crate) keep: Option<usize>,
}

/// What is held at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) base: u64,
    pub(crate) first_revision: i64,
    pub(crate) last_revision: i64,
}

/// Writes until everything is held, or until `told`.
pub(crate) async fn run(options: &Options, told: &CancellationToken) -> Result<Done, BackupError> {
    let (lock, found) = place::take(&options.dir)?;
    let mut source = Source::open(&options.endpoints, &options.access)?;
    let position = source.position().await?;
    let manifest = found.unwrap_or_else(|| Manifest::new(position.cluster_id));
    if manifest.cluster_id != position.cluster_id {
        return Err(BackupError::OtherCluster {
            path: options.dir.clone(),
            theirs: manifest.cluster_id,
            ours: position.cluster_id,
        });
    }
    let target = options.is_once.then_some(position.revision);
    let mut wants_base = options.wants_base || manifest.bases.is_empty();
    let mut writer = Writer::new(&options.dir, options.keep, lock, manifest);
    let mut rebases = 0;
    loop {
        if wants_base {
            writer.take_base(&mut source).await?;
        } else {
            writer.resume(&mut source, position.revision).await?;
        }
        let written = follow(&mut writer, &mut source, target, options.interval, told).await;
        let reason = match written {
            Ok(Ended::Done) => return writer.done(),
            Ok(Ended::AuthChanged) => "users or roles have changed".to_owned(),
            Err(BackupError::Follow(
                error @ (FollowError::Overtaken { .. } | FollowError::Gap(_)),
            )) => error.to_string(),
            Err(error) => {
                // What is on disk counts all the same.
                writer.note()?;
                return Err(error);
            }
        };
        writer.note()?;
        rebases += 1;
        if rebases > REBASES_MAX {
            return Err(BackupError::Faults(format!(
                "{REBASES_MAX} new bases were not enough to keep up with the source, the last time because: {reason}"
            )));
        }
        tracing::warn!(reason, "takes a new base");
        wants_base = true;
    }
}

enum Ended {
    Done,
    AuthChanged,
}

/// Follows the source, and puts on disk what comes.
async fn follow(
    writer: &mut Writer,
    source: &mut Source,
    target: Option<i64>,
    interval: Duration,
    told: &CancellationToken,
) -> Result<Ended, BackupError> {
    let auth_revision = writer.base()?.auth_revision;
    let mut follower = Follower::new(writer.last_revision.saturating_add(1));
    let mut block = Block::default();
    let mut bytes = 0;
    let mut written = Instant::now();
    let mut looked: Option<Instant> = None;
    loop {
        // Before the end is looked for, so that even the shortest run compares once.
        if looked.is_none_or(|looked| looked.elapsed() >= LOOK_INTERVAL) {
            looked = Some(Instant::now());
            let now = source.position().await?.revision;
            follower.notice(source, now);
            if source.auth_revision().await?.0 != auth_revision {
                writer.write(&mut block)?;
                return Ok(Ended::AuthChanged);
            }
            let (granted, gone) = writer.leases.compare(source).await?;
            block.granted.extend(granted);
            block.gone.extend(gone);
            tracing::info!(
                revision = writer.last_revision,
                source_revision = now,
                lag = (now - writer.last_revision).max(0),
                "backing up"
            );
        }
        let last = block.changes.last();
        let last = last.map_or(writer.last_revision, |changes| changes.revision);
        let is_done = told.is_cancelled() || target.is_some_and(|target| last >= target);
        if is_done || bytes >= BLOCK_BYTES || written.elapsed() >= interval {
            writer.write(&mut block)?;
            bytes = 0;
            written = Instant::now();
        }
        if is_done {
            return Ok(Ended::Done);
        }
        let wait = interval.saturating_sub(written.elapsed());
        let wait = wait.clamp(Duration::from_millis(1), LOOK_INTERVAL);
        let came = tokio::select! { biased;
            // First: a source that never pauses must not hold the end up.
            () = told.cancelled() => continue,
            came = follower.next(source, wait) => came?,
        };
        block
            .granted
            .extend(writer.leases.learn(source, &came).await?);
        bytes += came.iter().map(Message::encoded_len).sum::<usize>();
        block.changes.extend(came);
    }
}
