//! The files of a backup that is written to: takes bases, and puts blocks behind them on disk.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use prost::Message;

use super::super::follow::Leases;
use super::super::source::{self, Source};
use super::super::{file, import, schema, status};
use super::chain::{self, Walked};
use super::manifest::{self, Base, Manifest};
use super::place::Lock;
use super::run::Done;
use super::segment::{Block, Header, Segment};
use super::{BackupError, access};
use crate::failpoint;

/// A file of changes is followed by another from this size on.
const SEGMENT_BYTES: u64 = 64 << 20;

/// See the module.
pub(super) struct Writer {
    dir: PathBuf,
    keep: Option<usize>,
    lock: Lock,
    manifest: Manifest,
    segment: Option<Segment>,
    /// Those that are known by now.
    pub(super) leases: Leases,
    /// The last revision on disk.
    pub(super) last_revision: i64,
}

impl Writer {
    /// Nothing is written before [`Writer::take_base`] or [`Writer::resume`].
    pub(super) fn new(dir: &Path, keep: Option<usize>, lock: Lock, manifest: Manifest) -> Self {
        Self {
            dir: dir.to_owned(),
            keep,
            lock,
            manifest,
            segment: None,
            leases: Leases::default(),
            last_revision: 0,
        }
    }

    /// The base that changes are written behind.
    pub(super) fn base(&self) -> Result<&Base, BackupError> {
        let base = self.manifest.bases.last();
        base.ok_or_else(|| BackupError::None(self.dir.clone()))
    }

    /// Takes a snapshot as a new base, and gives up what is not to be kept.
    pub(super) async fn take_base(&mut self, source: &mut Source) -> Result<(), BackupError> {
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
    pub(super) async fn resume(
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

    /// Puts a block on disk, and empties it.
    pub(super) fn write(&mut self, block: &mut Block) -> Result<(), BackupError> {
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
    pub(super) fn note(&mut self) -> Result<(), BackupError> {
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

    /// What is held, once the manifest says so.
    pub(super) fn done(&mut self) -> Result<Done, BackupError> {
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
