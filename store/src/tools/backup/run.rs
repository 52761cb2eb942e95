//! Writes a backup: a base where one is needed, then every change after it as it comes.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use prost::Message;
use tokio_util::sync::CancellationToken;

use super::super::follow::{FollowError, Follower, Leases};
use super::super::source::{self, Access, Source};
use super::super::{file, import, schema, status};
use super::chain::{self, Walked};
use super::manifest::{self, Base, Manifest};
use super::place::{self, Lock};
use super::segment::{Block, Header, Segment};
use super::{BackupError, access};
use crate::failpoint;

/// A file of changes is followed by another from this size on.
const SEGMENT_BYTES: u64 = 64 << 20;

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
    let mut writer = Writer {
        dir: options.dir.clone(),
        interval: options.interval,
        keep: options.keep,
        lock,
        manifest,
        segment: None,
        leases: Leases::default(),
        last_revision: 0,
    };
    let mut wants_base = options.wants_base || writer.manifest.bases.is_empty();
    let mut rebases = 0;
    loop {
        if wants_base {
            writer.take_base(&mut source).await?;
        } else {
            writer.resume(&mut source, position.revision).await?;
        }
        let written = writer.follow(&mut source, target, told).await;
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

struct Writer {
    dir: PathBuf,
    interval: Duration,
    keep: Option<usize>,
    lock: Lock,
    manifest: Manifest,
    segment: Option<Segment>,
    leases: Leases,
    last_revision: i64,
}

impl Writer {
    fn base(&self) -> Result<&Base, BackupError> {
        let base = self.manifest.bases.last();
        base.ok_or_else(|| BackupError::None(self.dir.clone()))
    }

    /// Takes a snapshot as a new base, and gives up what is not to be kept.
    async fn take_base(&mut self, source: &mut Source) -> Result<(), BackupError> {
        self.segment = None;
        let number = self.manifest.next_number();
        let name = format!("base-{number}.db");
        let path = manifest::path(&self.dir, &name);
        let temporary = manifest::path(&self.dir, &format!("{name}.tmp"));
        let (auth_revision, _) = source.auth_revision().await?;
        tracing::info!(endpoint = source.endpoint(), number, "takes a base");
        let saved = source::save(source, &temporary).await?;
        let (revision, leases) = read_base(&temporary)?;
        failpoint::hit("backup::base_written").map_err(access(&temporary, "write"))?;
        let renamed = std::fs::rename(&temporary, &path);
        renamed.map_err(access(&path, "rename"))?;
        self.lock.sync(&self.dir)?;
        self.leases = leases;
        self.last_revision = revision;
        self.manifest.bases.push(Base {
            number,
            file: name,
            taken: jiff::Timestamp::now()
                .round(jiff::Unit::Second)
                .map_or_else(
                    |_| jiff::Timestamp::now().to_string(),
                    |taken| taken.to_string(),
                ),
            bytes: saved.bytes,
            sha256: hex(&saved.sha256),
            revision,
            auth_revision,
            segments: Vec::new(),
        });
        tracing::info!(number, revision, bytes = saved.bytes, "took a base");
        let kept = self.keep.unwrap_or(usize::MAX).max(1);
        let surplus = self.manifest.bases.len().saturating_sub(kept);
        let given_up: Vec<Base> = self.manifest.bases.drain(..surplus).collect();
        // Nothing names them any more before they go.
        self.manifest.store(&self.dir)?;
        for base in given_up {
            let segments = base.segments.iter().map(|segment| &segment.file);
            for name in std::iter::once(&base.file).chain(segments) {
                let path = manifest::path(&self.dir, name);
                match std::fs::remove_file(&path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(access(path, "remove")(error));
                    }
                    _ => {}
                }
            }
            tracing::info!(number = base.number, "gave a base up");
        }
        Ok(())
    }

    /// Goes on behind what is held, and cuts off what was not finished.
    async fn resume(
        &mut self,
        source: &mut Source,
        source_revision: i64,
    ) -> Result<(), BackupError> {
        let base = self.base()?;
        let (_, mut leases) = read_base(&manifest::path(&self.dir, &base.file))?;
        let mut last = None;
        let walked = chain::walk(&self.dir, &self.manifest, base, |mut block| {
            leases.take(&block.granted, &block.gone);
            last = block.changes.pop().or(last.take());
            Ok::<_, BackupError>(ControlFlow::Continue(()))
        })?;
        let Walked {
            last_revision,
            good_bytes,
            torn_bytes,
        } = walked;
        if source_revision < last_revision {
            return Err(BackupError::Older {
                source_revision,
                held: last_revision,
            });
        }
        if let Some(last) = &last
            && !source.has(last).await?
        {
            return Err(BackupError::OtherHistory(last_revision));
        }
        if torn_bytes > 0 {
            tracing::warn!(
                last_revision,
                torn_bytes,
                "cuts off what the last run did not finish"
            );
        }
        let segment = base.segments.last();
        let path = segment.map(|segment| manifest::path(&self.dir, &segment.file));
        let segment = path.map(|path| {
            let segment = Segment::resume(&path, good_bytes);
            segment.map_err(access(path, "open"))
        });
        let number = base.number;
        self.segment = segment.transpose()?;
        self.leases = leases;
        self.last_revision = last_revision;
        tracing::info!(
            base = number,
            revision = last_revision,
            "goes on with the backup"
        );
        Ok(())
    }

    /// Follows the source, and puts on disk what comes.
    async fn follow(
        &mut self,
        source: &mut Source,
        target: Option<i64>,
        told: &CancellationToken,
    ) -> Result<Ended, BackupError> {
        let auth_revision = self.base()?.auth_revision;
        let mut follower = Follower::new(self.last_revision.saturating_add(1));
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
                    self.write(&mut block)?;
                    return Ok(Ended::AuthChanged);
                }
                let (granted, gone) = self.leases.compare(source).await?;
                block.granted.extend(granted);
                block.gone.extend(gone);
                tracing::info!(
                    revision = self.last_revision,
                    source_revision = now,
                    lag = (now - self.last_revision).max(0),
                    "backing up"
                );
            }
            let last = block.changes.last();
            let last = last.map_or(self.last_revision, |changes| changes.revision);
            let is_done = told.is_cancelled() || target.is_some_and(|target| last >= target);
            if is_done || bytes >= BLOCK_BYTES || written.elapsed() >= self.interval {
                self.write(&mut block)?;
                bytes = 0;
                written = Instant::now();
            }
            if is_done {
                return Ok(Ended::Done);
            }
            let wait = self.interval.saturating_sub(written.elapsed());
            let wait = wait.clamp(Duration::from_millis(1), LOOK_INTERVAL);
            let came = tokio::select! { biased;
                // First: a source that never pauses must not hold the end up.
                () = told.cancelled() => continue,
                came = follower.next(source, wait) => came?,
            };
            block
                .granted
                .extend(self.leases.learn(source, &came).await?);
            bytes += came.iter().map(Message::encoded_len).sum::<usize>();
            block.changes.extend(came);
        }
    }

    /// Puts a block on disk, and empties it.
    fn write(&mut self, block: &mut Block) -> Result<(), BackupError> {
        if *block == Block::default() {
            return Ok(());
        }
        let block = std::mem::take(block);
        if self
            .segment
            .as_ref()
            .is_none_or(|segment| segment.bytes >= SEGMENT_BYTES)
        {
            self.begin_segment()?;
        }
        let last = block.changes.last().map(|changes| changes.revision);
        let name = self.base()?.segments.last().map(|last| last.file.clone());
        let path = manifest::path(&self.dir, name.as_deref().unwrap_or_default());
        if let Some(segment) = &mut self.segment {
            segment.append(&block).map_err(access(&path, "write"))?;
            failpoint::hit("backup::block_written").map_err(access(&path, "write"))?;
        }
        self.last_revision = last.unwrap_or(self.last_revision);
        Ok(())
    }

    /// Begins another file. It is named before anything but its header is in it.
    fn begin_segment(&mut self) -> Result<(), BackupError> {
        self.note_bytes();
        self.segment = None;
        let number = self.base()?.number;
        let first_revision = self.last_revision.saturating_add(1);
        // Two files begin alike if nothing but leases is in the first.
        let count = self.base()?.segments.len();
        let name = format!("changes-{number}-{first_revision}-{count}.log");
        let path = manifest::path(&self.dir, &name);
        let header = Header {
            cluster_id: self.manifest.cluster_id,
            base: number,
            first_revision,
        };
        let segment = Segment::create(&path, header).map_err(access(&path, "create"))?;
        let bytes = segment.bytes;
        self.segment = Some(segment);
        if let Some(base) = self.manifest.bases.last_mut() {
            base.segments.push(manifest::Segment {
                file: name,
                first_revision,
                last_revision: self.last_revision,
                bytes,
            });
        }
        self.manifest.store(&self.dir)
    }

    /// Says in the manifest how far the last file is good.
    fn note(&mut self) -> Result<(), BackupError> {
        if self.note_bytes() {
            self.manifest.store(&self.dir)?;
        }
        Ok(())
    }

    fn note_bytes(&mut self) -> bool {
        let last = self.manifest.bases.last_mut();
        let Some((open, noted)) = self
            .segment
            .as_ref()
            .zip(last.and_then(|base| base.segments.last_mut()))
        else {
            return false;
        };
        let is_new = noted.bytes != open.bytes;
        noted.bytes = open.bytes;
        noted.last_revision = self.last_revision;
        is_new
    }

    fn done(&mut self) -> Result<Done, BackupError> {
        self.note()?;
        let base = self.base()?;
        Ok(Done {
            base: base.number,
            first_revision: base.revision,
            last_revision: self.last_revision,
        })
    }
}

/// The revision of a base, and the leases in it. Reads all of it, and so finds any damage.
fn read_base(path: &Path) -> Result<(i64, Leases), BackupError> {
    let open = || file::open(path);
    let database = open().map_err(|source| BackupError::Base {
        path: path.into(),
        source: Box::new(source),
    })?;
    let meta = import::bucket(&database, schema::META)?;
    let compacted = import::compact_revision(&database, &meta)?;
    let revision = status::status(&database)?.revision;
    let mut granted = Vec::new();
    import::each(&database, schema::LEASE, |(key, value)| {
        let record = schema::LeaseRecord::decode(value)
            .map_err(|_| import::fault(schema::LEASE, key, "not a lease"))?;
        granted.push((record.id, record.ttl_s));
        Ok(())
    })?;
    // As a restore counts it.
    Ok((revision.max(compacted).max(1), Leases::new(granted)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
