//! The one thread that writes the log: take all that waits, one write, one sync, tell the newest.
//!
//! While a group syncs the next one gathers; no timer, no waiting for more. Its queue is bounded by
//! whoever proposes, see [`super::Log::backlog_bytes`].
//!
//! Invariant: after an error nobody is told of success any more, and the disk is not touched again:
//! after a failed sync the kernel may call pages clean that never reached the disk.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::record::{Base, GroupBuilder, GroupHeader, Placed, SECTOR};
use super::segment::{self, Header, NewSegment, Segment};
use super::tail::Place;
use super::{Callback, Entry, Shared, State, poisoned};
use crate::consensus::LogId;
use crate::failpoint;

/// A group takes no more payload than this, which keeps its buffer and its lengths bounded.
const GROUP_BYTES_MAX: usize = 64 << 20;

/// One thing to write.
pub(super) enum Op {
    Append { entries: Vec<Entry>, bytes: usize },
    Vote(Bytes),
    Truncate(Option<LogId>),
    Purge(LogId),
}

/// What waits for the thread.
#[derive(Default)]
pub(super) struct Pending {
    ops: VecDeque<(u64, Op)>,
    /// Only the newest append is told: a telling covers all before it, and telling each would wake
    /// openraft's forwarder once more for every one of them.
    pub(super) newest_append: Option<Callback>,
    pub(super) waiters: Vec<Callback>,
    pub(super) in_flight: bool,
}

impl Pending {
    pub(super) fn push(&mut self, seq: u64, op: Op) {
        self.ops.push_back((seq, op));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }
}

/// The files, owned by the thread.
pub(super) struct Disk {
    pub(super) dir: PathBuf,
    /// Held locked as long as the log is open.
    pub(super) _lock: File,
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
}

struct Batch {
    ops: Vec<(u64, Op)>,
    committed: Option<LogId>,
    newest_append: Option<Callback>,
    waiters: Vec<Callback>,
}

pub(super) fn spawn(shared: Arc<Shared>, disk: Disk) -> io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new()
        .name("raft-log".to_owned())
        .spawn(move || {
            // Also when it unwinds, nobody may wait for a thread that is gone.
            let _guard = PoisonOnPanic(&shared);
            run(&shared, disk);
        })
}

struct PoisonOnPanic<'a>(&'a Shared);

impl Drop for PoisonOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            poison(self.0, "the raft log thread panicked", Vec::new());
        }
    }
}

fn run(shared: &Shared, mut disk: Disk) {
    while let Some(batch) = next_batch(shared) {
        let written = disk.write(&batch);
        let Batch {
            ops,
            newest_append,
            waiters,
            ..
        } = batch;
        let callbacks = waiters.into_iter().chain(newest_append);
        match written {
            Ok(written) => {
                publish(shared, &ops, written);
                for callback in callbacks {
                    callback(Ok(()));
                }
                // Only now: until the purge is on disk the files are still needed.
                disk.remove_purged();
                let is_purge = ops.iter().any(|(_, op)| matches!(op, Op::Purge(_)));
                if is_purge && let Err(error) = failpoint::hit("raftAfterWALRelease") {
                    return poison(shared, &error.to_string(), Vec::new());
                }
            }
            Err(error) => {
                tracing::error!(error = %error, dir = %disk.dir.display(), "the raft log cannot be written");
                poison(shared, &error.to_string(), callbacks.collect());
                return;
            }
        }
    }
}

fn next_batch(shared: &Shared) -> Option<Batch> {
    let mut state = shared.state.lock();
    while state.pending.is_empty() {
        if state.closing {
            return None;
        }
        shared.work.wait(&mut state);
    }
    let mut ops = Vec::new();
    let mut bytes = 0;
    while let Some((seq, op)) = state.pending.ops.pop_front() {
        bytes += match &op {
            Op::Append { bytes, .. } => *bytes,
            _ => 0,
        };
        ops.push((seq, op));
        if bytes >= GROUP_BYTES_MAX {
            break;
        }
    }
    state.pending.in_flight = true;
    // Callers may be told only when all their operations are out; a split batch keeps them back.
    let (newest_append, waiters) = match state.pending.ops.is_empty() {
        true => (
            state.pending.newest_append.take(),
            std::mem::take(&mut state.pending.waiters),
        ),
        false => (None, Vec::new()),
    };
    Some(Batch {
        ops,
        committed: state.committed,
        newest_append,
        waiters,
    })
}

fn publish(shared: &Shared, ops: &[(u64, Op)], written: Written) {
    let mut state = shared.state.lock();
    let State {
        tail,
        backlog_bytes,
        durable_seq,
        pending,
        ..
    } = &mut *state;
    let mut placed = written.placed.into_iter();
    for (seq, op) in ops {
        *durable_seq = *seq;
        let Op::Append { entries, bytes } = op else {
            continue;
        };
        *backlog_bytes = backlog_bytes.saturating_sub(*bytes);
        for Placed { index, at, crc } in placed.by_ref().take(entries.len()) {
            let place = Place {
                file: written.file.clone(),
                offset: written.offset + at as u64,
                crc,
            };
            tail.set_place(index, *seq, place);
        }
    }
    tail.evict();
    pending.in_flight = false;
    drop(state);
    shared.synced.notify_all();
}

fn poison(shared: &Shared, reason: &str, callbacks: Vec<Callback>) {
    let waiting = {
        let mut state = shared.state.lock();
        state.poison.get_or_insert_with(|| reason.into());
        state.pending.ops.clear();
        let newest = state.pending.newest_append.take();
        std::mem::take(&mut state.pending.waiters)
            .into_iter()
            .chain(newest)
            .collect::<Vec<_>>()
    };
    shared.synced.notify_all();
    for callback in callbacks.into_iter().chain(waiting) {
        callback(Err(poisoned(reason)));
    }
}

/// A group on disk.
pub(super) struct Written {
    pub(super) file: Arc<File>,
    pub(super) offset: u64,
    pub(super) placed: Vec<Placed>,
}

impl Disk {
    /// Writes one group and makes it durable, in a new segment if it does not fit.
    fn write(&mut self, batch: &Batch) -> io::Result<Written> {
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
        file.write_all_at(&bytes, self.end)?;
        failpoint::hit("log::after_write")?;
        file.sync_data()?;
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
            dir: &self.dir,
            header,
            first_group: &bytes,
            bytes: self.segment_bytes,
        };
        let segment = segment::create(&new)?;
        let file = segment.file.clone();
        // What the old segment reserved and did not use. Nothing refers to it, so a failure costs only space.
        if let Some(old) = self.segments.back()
            && let Err(error) = old.file.set_len(self.end)
        {
            tracing::warn!(error = %error, path = %old.path.display(), "cannot trim a raft log segment");
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
            if let Err(error) = std::fs::remove_file(&oldest.path) {
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
