//! The log's files: one group after another, in one segment after another.
//!
//! Invariant: after an error nothing is written any more, see [`super::writer`].

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::record::{Base, GroupBuilder, GroupHeader, Placed, SECTOR};
use super::segment::{self, Header, NewSegment, Segment};
use super::writer::{Batch, Op};
use crate::consensus::LogId;
use crate::disk::{File, FileSystem, Lock};
use crate::failpoint;
use crate::metrics::LogMeasures;
use crate::planted::{self, Fault};

/// The files, owned by the thread.
pub(super) struct Disk {
    pub(super) files: Arc<dyn FileSystem>,
    pub(super) dir: PathBuf,
    /// Held as long as the log is open.
    pub(super) _lock: Box<dyn Lock>,
    pub(super) segment_bytes: u64,
    /// Oldest first; the last one is written to. Never empty.
    pub(super) segments: VecDeque<Segment>,
    /// Where the next group goes.
    pub(super) end: u64,
    /// What the next group chains to.
    pub(super) checksum: u32,
    /// What the records written so far add up to.
    pub(super) base: Base,
    /// The greatest index on disk.
    pub(super) durable_upto: u64,
    pub(super) measures: LogMeasures,
}

/// A group on disk.
pub(super) struct Written {
    pub(super) file: Arc<dyn File>,
    pub(super) offset: u64,
    pub(super) placed: Vec<Placed>,
}

impl Disk {
    /// Writes one group and makes it durable, in a new segment if it does not fit.
    pub(super) fn write(&mut self, batch: &Batch) -> io::Result<Written> {
        failpoint::hit("raftBeforeSave")?;
        let mut group = GroupBuilder::new();
        encode(&mut group, &batch.ops);
        let fits = self.end + group.total() as u64 <= self.segment_bytes;
        let written = if fits {
            self.write_group(group, batch.committed)?
        } else {
            let mut first = GroupBuilder::new();
            first.state(&self.base);
            encode(&mut first, &batch.ops);
            self.roll(first, batch.committed)?
        };
        failpoint::hit("raftAfterSave")?;
        for (_, op) in &batch.ops {
            self.note(op);
        }
        Ok(written)
    }

    fn write_group(
        &mut self,
        group: GroupBuilder,
        committed: Option<LogId>,
    ) -> io::Result<Written> {
        let current = self
            .segments
            .back()
            .ok_or_else(|| io::Error::other("the raft log has no segment"))?;
        let file = current.file.clone();
        let header = self.group_header(current.epoch, self.checksum, committed);
        let (bytes, checksum, placed) = group.finish(header, self.end);
        let begun = Instant::now();
        file.write_all_at(&bytes, self.end)?;
        self.measures.writes.since(begun);
        failpoint::hit("log::after_write")?;
        let begun = Instant::now();
        if !planted::has(Fault::FsyncSkipped) {
            file.sync_data()?;
        }
        self.measures.syncs.since(begun);
        self.measures.wrote(bytes.len());
        let offset = self.end;
        self.end += bytes.len() as u64;
        self.checksum = checksum;
        Ok(Written {
            file,
            offset,
            placed,
        })
    }

    /// Starts a new segment with `group` as its first.
    pub(super) fn roll(
        &mut self,
        group: GroupBuilder,
        committed: Option<LogId>,
    ) -> io::Result<Written> {
        let epoch = self.segments.back().map_or(1, |segment| segment.epoch + 1);
        let header = Header {
            epoch,
            previous_end: self.end,
            previous_checksum: self.checksum,
        };
        let (_, chain) = header.encode();
        let (bytes, checksum, placed) =
            group.finish(self.group_header(epoch, chain, committed), SECTOR as u64);
        let new = NewSegment {
            files: &*self.files,
            dir: &self.dir,
            header,
            first_group: &bytes,
            bytes: self.segment_bytes,
        };
        let begun = Instant::now();
        let segment = segment::create(&new)?;
        self.measures.syncs.since(begun);
        self.measures.wrote(bytes.len());
        let file = segment.file.clone();
        if let Some(old) = self.segments.back() {
            old.trim(self.end);
        }
        self.segments.push_back(segment);
        self.end = (SECTOR + bytes.len()) as u64;
        self.checksum = checksum;
        Ok(Written {
            file,
            offset: SECTOR as u64,
            placed,
        })
    }

    fn group_header(&self, epoch: u64, previous: u32, committed: Option<LogId>) -> GroupHeader {
        GroupHeader {
            epoch,
            previous,
            durable_upto: self.durable_upto,
            committed,
        }
    }

    /// Keeps `base` equal to what a reader of the files would find.
    fn note(&mut self, op: &Op) {
        match op {
            Op::Append { entries, .. } => {
                if let Some(last) = entries.last() {
                    self.base.last = Some(last.log_id);
                    self.durable_upto = last.log_id.index;
                    if let Some(segment) = self.segments.back_mut() {
                        segment.greatest = segment.greatest.max(last.log_id.index);
                    }
                }
            }
            Op::Vote(vote) => self.base.vote = Some(vote.clone()),
            Op::Truncate(last) => {
                self.base.last = *last;
                self.durable_upto = last.map_or(0, |last| last.index);
            }
            Op::Purge(upto) => {
                self.base.purged = self.base.purged.max(Some(*upto));
                if self.base.last.is_none_or(|last| last.index < upto.index) {
                    self.base.last = Some(*upto);
                    self.durable_upto = upto.index;
                }
            }
        }
    }

    /// Removes the segments whose every entry is purged. A file that cannot be removed is tried again
    /// after the next group; it costs space and harms nothing.
    pub(super) fn remove_purged(&mut self) {
        let purged = self.base.purged.map_or(0, |purged| purged.index);
        while self.segments.len() > 1 {
            let Some(oldest) = self
                .segments
                .front()
                .filter(|oldest| oldest.greatest <= purged)
            else {
                return;
            };
            if let Err(error) = self.files.remove_file(&oldest.path) {
                tracing::warn!(error = %error, path = %oldest.path.display(), "cannot remove a purged raft log segment");
                return;
            }
            self.segments.pop_front();
        }
    }
}

fn encode(group: &mut GroupBuilder, ops: &[(u64, Op)]) {
    for (_, op) in ops {
        match op {
            Op::Append { entries, .. } => entries.iter().for_each(|entry| group.entry(entry)),
            Op::Vote(vote) => group.vote(vote),
            Op::Truncate(last) => group.truncate(*last),
            Op::Purge(upto) => group.purge(*upto),
        }
    }
}
