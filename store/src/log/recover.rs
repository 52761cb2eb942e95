//! Opening: finds out what the files hold, refuses if acknowledged bytes are damaged, and rewrites
//! the last group before anything is built on it.
//!
//! A torn group is forgiven only at the very end: one group is in flight at a time, so a whole group
//! behind a bad one proves that the bad one had been acknowledged.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::files::{Disk, Written};
use super::record::{Base, GroupBuilder, GroupHeader, Parsed, Record, SECTOR, parse_group};
use super::segment::{self, Header, Name, Segment};
use super::tail::{Place, Tail};
use super::{OpenError, Options};
use crate::consensus::LogId;
use crate::disk::{self, File, FileSystem, Lock, Open};
use crate::failpoint;

/// What was found, ready to go on.
pub(super) struct Recovered {
    pub(super) tail: Tail,
    pub(super) vote: Option<Bytes>,
    pub(super) committed: Option<LogId>,
    pub(super) disk: Disk,
}

pub(super) fn open(options: &Options) -> Result<Recovered, OpenError> {
    let (dir, files) = (&options.dir, &*options.files);
    files
        .create_dir_all(dir)
        .map_err(OpenError::io("make the folder"))?;
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        files
            .sync_dir(parent)
            .map_err(OpenError::io("sync the folder above"))?;
    }
    let lock = files
        .lock(&dir.join(segment::LOCK_FILE))
        .map_err(OpenError::io("lock the folder"))?
        .ok_or_else(|| OpenError::InUse(dir.clone()))?;
    let mut replay = Replay::new(options.cache_bytes_max);
    let paths = list(files, dir)?;
    for (position, (epoch, path)) in paths.iter().enumerate() {
        let next = paths
            .get(position + 1)
            .map(|(_, path)| segment::read_header(files, path))
            .transpose()?;
        replay.segment(files, *epoch, path, next.map(|(header, _)| header))?;
    }
    if let Some(index) = replay.tail.missing() {
        let path = paths
            .first()
            .map_or_else(|| dir.clone(), |(_, path)| path.clone());
        return Err(replay.damaged(path, 0, format!("entry {index} is in no segment")));
    }
    replay.into_recovered(options, lock)
}

/// The segments by epoch. Removes what a crash left unfinished.
fn list(files: &dyn FileSystem, dir: &Path) -> Result<Vec<(u64, PathBuf)>, OpenError> {
    let mut segments = Vec::new();
    for path in files.list(dir).map_err(OpenError::io("list the folder"))? {
        match segment::name_of(&path) {
            Name::Segment(epoch) => segments.push((epoch, path)),
            Name::Unfinished => files
                .remove_file(&path)
                .map_err(OpenError::io("remove an unfinished segment"))?,
            Name::Lock => {}
            Name::Foreign => return Err(OpenError::Foreign(path)),
        }
    }
    segments.sort();
    Ok(segments)
}

/// What the records read so far add up to.
struct Replay {
    tail: Tail,
    base: Base,
    committed: Option<LogId>,
    segments: VecDeque<Segment>,
    /// Where the last segment read so far ends, and the checksum there.
    end: u64,
    checksum: u32,
    last_group: LastGroup,
    /// False until the oldest segment's first group has said what the log starts from.
    restored: bool,
    durable_upto: u64,
}

impl Replay {
    fn new(cache_bytes_max: usize) -> Self {
        Self {
            tail: Tail::new(cache_bytes_max),
            base: Base::default(),
            committed: None,
            segments: VecDeque::new(),
            end: 0,
            checksum: 0,
            last_group: LastGroup::default(),
            restored: false,
            durable_upto: 0,
        }
    }

    fn damaged(&self, path: PathBuf, offset: u64, reason: String) -> OpenError {
        OpenError::Damaged {
            path,
            offset,
            reason,
            durable_upto: self.durable_upto,
        }
    }

    /// Reads one segment. `next` is the header of the one after it, which says where this one ends.
    fn segment(
        &mut self,
        files: &dyn FileSystem,
        epoch: u64,
        path: &Path,
        next: Option<Header>,
    ) -> Result<(), OpenError> {
        let (header, checksum) = segment::read_header(files, path)?;
        if header.epoch != epoch {
            return Err(self.damaged(
                path.to_owned(),
                0,
                "the file has another segment's name".to_owned(),
            ));
        }
        if let Some(previous) = self.segments.back() {
            let chained = previous.epoch + 1 == epoch
                && (header.previous_end, header.previous_checksum) == (self.end, self.checksum);
            if !chained {
                return Err(self.damaged(
                    path.to_owned(),
                    0,
                    "the segment before it is missing".to_owned(),
                ));
            }
        }
        let file = files
            .open(path, Open::Existing)
            .map_err(OpenError::io("open a segment"))?;
        self.segments.push_back(Segment {
            epoch,
            path: path.to_owned(),
            file,
            greatest: 0,
        });
        self.end = SECTOR as u64;
        self.checksum = checksum;
        let bytes = disk::read(files, path).map_err(OpenError::io("read a segment"))?;
        let stop = next.map(|next| next.previous_end);
        while stop != Some(self.end) {
            let first = self.end == SECTOR as u64;
            match self.group(&bytes, epoch, path)? {
                true => {}
                // The first group was on disk before the segment got its name.
                false if stop.is_none() && !first => return Ok(()),
                false => {
                    let reason = "a group that was on disk is torn or gone".to_owned();
                    return Err(self.damaged(path.to_owned(), self.end, reason));
                }
            }
        }
        // The process before may have died, or the machine lost power, before this one was trimmed.
        if bytes.len() as u64 > self.end
            && let Some(segment) = self.segments.back()
        {
            segment.trim(self.end);
            failpoint::hit("log::segment_trimmed").map_err(OpenError::io("trim a segment"))?;
            // Or a loss of power would bring it all back, again and again.
            segment
                .file
                .sync_all()
                .map_err(OpenError::io("sync a segment"))?;
        }
        Ok(())
    }

    /// Reads the group at `end`. False if the segment's groups end here.
    fn group(&mut self, bytes: &[u8], epoch: u64, path: &Path) -> Result<bool, OpenError> {
        let at = usize::try_from(self.end).unwrap_or(usize::MAX);
        let rest = bytes.get(at..).unwrap_or_default();
        let parsed = parse_group(rest, epoch, self.end);
        let (header, checksum, total, records) = match parsed {
            Parsed::Group {
                header,
                checksum,
                total,
                records,
            } => (header, checksum, total, records),
            Parsed::Nothing => return self.end_of_groups(rest, epoch, path, SECTOR),
            Parsed::Torn { total } => {
                return self.end_of_groups(rest, epoch, path, total.unwrap_or(SECTOR));
            }
            Parsed::Damaged { reason } => {
                return Err(self.damaged(path.to_owned(), self.end, reason.to_owned()));
            }
        };
        if header.previous != self.checksum {
            let reason = "the group before it is another one".to_owned();
            return Err(self.damaged(path.to_owned(), self.end, reason));
        }
        self.last_group = LastGroup {
            start: self.end,
            previous: self.checksum,
            base: self.base.clone(),
            records,
            file: self.segments.back().map(|segment| segment.file.clone()),
        };
        self.durable_upto = self.durable_upto.max(header.durable_upto);
        self.committed = header.committed.or(self.committed);
        for position in 0..self.last_group.records.len() {
            if !self.record(position) {
                let reason = "a record that does not follow from the ones before".to_owned();
                return Err(self.damaged(path.to_owned(), self.end, reason));
            }
        }
        self.end += total as u64;
        self.checksum = checksum;
        Ok(true)
    }

    /// Nothing was acknowledged here, unless a whole group follows.
    fn end_of_groups(
        &mut self,
        rest: &[u8],
        epoch: u64,
        path: &Path,
        skip: usize,
    ) -> Result<bool, OpenError> {
        for at in (skip..rest.len()).step_by(SECTOR) {
            let offset = self.end + at as u64;
            if let Parsed::Group {
                header: GroupHeader { durable_upto, .. },
                ..
            } = parse_group(&rest[at..], epoch, offset)
            {
                self.durable_upto = self.durable_upto.max(durable_upto);
                let reason = format!("no group here, but one at byte {offset}");
                return Err(self.damaged(path.to_owned(), self.end, reason));
            }
        }
        Ok(false)
    }

    /// Takes one record. False if it contradicts the ones before it.
    fn record(&mut self, position: usize) -> bool {
        let Some(record) = self.last_group.records.get(position).cloned() else {
            return false;
        };
        match record {
            // The first record of all, and of every segment.
            Record::State(base) if !self.restored => {
                self.restored = true;
                self.tail.restore(base.purged, base.last);
                self.base = base;
                true
            }
            _ if !self.restored => false,
            Record::State(base) => base == self.base,
            Record::Vote(vote) => {
                self.base.vote = Some(vote);
                true
            }
            Record::Entry {
                log_id,
                kind,
                crc,
                payload_at,
                payload_len,
            } => {
                let Some(segment) = self.segments.back_mut() else {
                    return false;
                };
                let Ok(len) = u32::try_from(payload_len) else {
                    return false;
                };
                let place = Place {
                    file: segment.file.clone(),
                    offset: self.end + payload_at as u64,
                    crc,
                };
                segment.greatest = segment.greatest.max(log_id.index);
                self.base.last = Some(log_id);
                self.tail.push_recovered(log_id, kind, len, place)
            }
            Record::Truncate(last) => {
                self.base.last = last;
                self.tail.truncate_after(last).is_ok() && self.tail.last() == last
            }
            Record::Purge(upto) => {
                self.tail.purge(upto);
                self.base.purged = self.tail.purged();
                self.base.last = self.tail.last();
                true
            }
        }
    }

    /// Starts a new segment that repeats the last group and takes its place in the chain: a sync of
    /// it may have failed in the process before, and then only the page cache holds it.
    fn into_recovered(
        self,
        options: &Options,
        lock: Box<dyn Lock>,
    ) -> Result<Recovered, OpenError> {
        let mut group = GroupBuilder::new();
        self.last_group
            .encode(&mut group)
            .map_err(OpenError::io("read the last group"))?;
        let Self {
            mut tail,
            base,
            committed,
            segments,
            last_group,
            durable_upto,
            ..
        } = self;
        let mut disk = Disk {
            files: options.files.clone(),
            dir: options.dir.clone(),
            _lock: lock,
            segment_bytes: options.segment_bytes,
            segments,
            end: last_group.start,
            checksum: last_group.previous,
            durable_upto: base.last.map_or(durable_upto, |last| last.index),
            base,
            measures: options.measures.clone(),
        };
        // Being optional, it is not worth refusing over, but it must not point beyond the log.
        let last = disk.base.last.map(|last| last.index);
        let committed = committed.filter(|committed| Some(committed.index) <= last);
        let written = disk
            .roll(group, committed)
            .map_err(OpenError::io("write a segment"))?;
        place_again(&mut tail, &mut disk, written);
        disk.remove_purged();
        Ok(Recovered {
            tail,
            vote: disk.base.vote.clone(),
            committed,
            disk,
        })
    }
}

/// The last group read, and what was there before it.
#[derive(Default)]
struct LastGroup {
    start: u64,
    /// The checksum that it chains to.
    previous: u32,
    base: Base,
    records: Vec<Record>,
    file: Option<Arc<dyn File>>,
}

impl LastGroup {
    /// Puts its records, after what they start from, into `group`.
    fn encode(&self, group: &mut GroupBuilder) -> std::io::Result<()> {
        match self.records.first() {
            Some(Record::State(base)) => group.state(base),
            _ => group.state(&self.base),
        }
        for record in &self.records {
            match record {
                Record::State(_) => {}
                Record::Vote(vote) => group.vote(vote),
                Record::Truncate(last) => group.truncate(*last),
                Record::Purge(upto) => group.purge(*upto),
                Record::Entry {
                    log_id,
                    kind,
                    crc,
                    payload_at,
                    payload_len,
                } => {
                    let file = self
                        .file
                        .clone()
                        .ok_or_else(|| std::io::Error::other("no segment"))?;
                    let place = Place {
                        file,
                        offset: self.start + *payload_at as u64,
                        crc: *crc,
                    };
                    group.entry(&place.load(*log_id, *kind, *payload_len)?);
                }
            }
        }
        Ok(())
    }
}

/// From now on the repeated entries are read from where they were written last.
fn place_again(tail: &mut Tail, disk: &mut Disk, written: Written) {
    for placed in &written.placed {
        let place = Place {
            file: written.file.clone(),
            offset: written.offset + placed.at as u64,
            crc: placed.crc,
        };
        tail.set_place(placed.index, 0, place);
        if let Some(segment) = disk.segments.back_mut() {
            segment.greatest = segment.greatest.max(placed.index);
        }
    }
}
