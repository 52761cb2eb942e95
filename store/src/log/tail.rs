//! What memory knows of the log's entries: where each lies, and the newest payloads themselves.
//! Never does IO; [`Found`] carries what is needed to do it after the lock is released.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::Entry;
use super::record::entry_crc;
use crate::consensus::LogId;
use crate::disk::File;

/// Where a payload lies on disk.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) file: Arc<dyn File>,
    pub(super) offset: u64,
    pub(super) crc: u32,
}

impl Place {
    /// Reads the payload of `log_id`. Bytes that changed since they were written are an error.
    pub(super) fn load(&self, log_id: LogId, kind: u8, len: usize) -> io::Result<Entry> {
        let mut payload = vec![0; len];
        self.file.read_exact_at(&mut payload, self.offset)?;
        if entry_crc(log_id, kind, &payload) != self.crc {
            let text = format!(
                "entry {} has changed on disk since it was written",
                log_id.index
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(Entry {
            log_id,
            kind,
            payload: payload.into(),
        })
    }
}

#[derive(Debug)]
struct Slot {
    term: u64,
    kind: u8,
    len: u32,
    /// The operation that added it; 0 if it was recovered.
    seq: u64,
    payload: Option<Bytes>,
    place: Option<Place>,
}

/// The entries after `purged`, in order.
#[derive(Debug, Default)]
pub(super) struct Tail {
    purged: Option<LogId>,
    /// The index of the first slot. Greater than `purged + 1` only during recovery.
    first: u64,
    slots: VecDeque<Slot>,
    /// The last entry where there are no slots.
    last_if_empty: Option<LogId>,
    /// Slots before this index have no payload in memory.
    cached_from: u64,
    cached_bytes: usize,
    cache_bytes_max: usize,
}

/// A payload found by [`Tail::find`].
pub(super) struct Found {
    log_id: LogId,
    kind: u8,
    len: u32,
    payload: Option<Bytes>,
    place: Option<Place>,
}

impl Found {
    /// The entry if it needs no IO.
    pub(super) fn in_memory(self) -> Option<Entry> {
        Some(Entry {
            log_id: self.log_id,
            kind: self.kind,
            payload: self.payload?,
        })
    }

    /// The entry, from disk if need be.
    pub(super) fn load(self) -> io::Result<Entry> {
        let Self {
            log_id,
            kind,
            len,
            payload,
            place,
        } = self;
        if let Some(payload) = payload {
            return Ok(Entry {
                log_id,
                kind,
                payload,
            });
        }
        let lost = || {
            io::Error::other(format!(
                "entry {} is neither in memory nor on disk",
                log_id.index
            ))
        };
        place.ok_or_else(lost)?.load(
            log_id,
            kind,
            usize::try_from(len).map_err(io::Error::other)?,
        )
    }
}

impl Tail {
    pub(super) fn new(cache_bytes_max: usize) -> Self {
        Self {
            first: 1,
            cached_from: 1,
            cache_bytes_max,
            ..Self::default()
        }
    }

    /// The tail of a log whose older segments are gone: it starts after `last`, and is whole only
    /// once everything up to there is purged; see [`Tail::missing`].
    pub(super) fn restore(&mut self, purged: Option<LogId>, last: Option<LogId>) {
        self.purged = purged;
        self.last_if_empty = last;
        self.first = last.map_or(1, |last| last.index + 1);
        self.cached_from = self.first;
        self.slots.clear();
        self.cached_bytes = 0;
    }

    /// The first index that should be here and is not.
    pub(super) fn missing(&self) -> Option<u64> {
        let start = self.purged.map_or(1, |purged| purged.index + 1);
        (self.first > start).then_some(start)
    }

    pub(super) fn purged(&self) -> Option<LogId> {
        self.purged
    }

    pub(super) fn last(&self) -> Option<LogId> {
        match self.slots.back() {
            Some(slot) => Some(LogId {
                term: slot.term,
                index: self.next() - 1,
            }),
            None => self.last_if_empty,
        }
    }

    /// The index after the last one.
    fn next(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    fn slot(&self, index: u64) -> Option<&Slot> {
        self.slots
            .get(usize::try_from(index.checked_sub(self.first)?).ok()?)
    }

    pub(super) fn seq_of(&self, index: u64) -> Option<u64> {
        self.slot(index).map(|slot| slot.seq)
    }

    /// Adds entries with their payloads.
    pub(super) fn append(&mut self, entries: &[Entry], seq: u64) -> io::Result<()> {
        for (next, entry) in (self.next()..).zip(entries) {
            if entry.log_id.index != next {
                let text = format!(
                    "entry {} cannot follow entry {}",
                    entry.log_id.index,
                    next - 1
                );
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
        }
        for entry in entries {
            let len = u32::try_from(entry.payload.len()).map_err(io::Error::other)?;
            self.cached_bytes += entry.payload.len();
            self.slots.push_back(Slot {
                term: entry.log_id.term,
                kind: entry.kind,
                len,
                seq,
                payload: Some(entry.payload.clone()),
                place: None,
            });
        }
        Ok(())
    }

    /// Adds one entry that recovery found on disk. False if it does not follow the last one.
    pub(super) fn push_recovered(
        &mut self,
        log_id: LogId,
        kind: u8,
        len: u32,
        place: Place,
    ) -> bool {
        let ordered = self.last().is_none_or(|last| last.term <= log_id.term);
        if log_id.index != self.next() || !ordered {
            return false;
        }
        self.slots.push_back(Slot {
            term: log_id.term,
            kind,
            len,
            seq: 0,
            payload: None,
            place: Some(place),
        });
        self.cached_from = self.next();
        true
    }

    /// Notes where an entry was written, unless it has been replaced meanwhile.
    pub(super) fn set_place(&mut self, index: u64, seq: u64, place: Place) {
        let Some(at) = index
            .checked_sub(self.first)
            .and_then(|at| usize::try_from(at).ok())
        else {
            return;
        };
        if let Some(slot) = self.slots.get_mut(at).filter(|slot| slot.seq == seq) {
            slot.place = Some(place);
        }
    }

    /// Forgets the oldest payloads that the disk has, down to the limit.
    pub(super) fn evict(&mut self) {
        while self.cached_bytes > self.cache_bytes_max {
            let Some(at) = usize::try_from(self.cached_from.saturating_sub(self.first)).ok() else {
                return;
            };
            let Some(slot) = self.slots.get_mut(at).filter(|slot| slot.place.is_some()) else {
                return;
            };
            if let Some(payload) = slot.payload.take() {
                self.cached_bytes -= payload.len();
            }
            self.cached_from += 1;
        }
    }

    pub(super) fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let keep_to = last.map_or(0, |last| last.index);
        if self.purged.is_some_and(|purged| keep_to < purged.index) {
            let text = format!("cannot truncate to {keep_to}: entries beyond it are purged");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        while self.next() > keep_to + 1 {
            let Some(slot) = self.slots.pop_back() else {
                // Only recovery gets here: the entries between are in segments that are gone.
                self.restore(self.purged, last);
                return Ok(());
            };
            self.cached_bytes -= slot.payload.map_or(0, |payload| payload.len());
        }
        if self.slots.is_empty() {
            self.last_if_empty = last;
        }
        self.cached_from = self.cached_from.min(self.next());
        Ok(())
    }

    pub(super) fn purge(&mut self, upto: LogId) {
        while self.first <= upto.index {
            let Some(slot) = self.slots.pop_front() else {
                break;
            };
            self.cached_bytes -= slot.payload.map_or(0, |payload| payload.len());
            self.first += 1;
        }
        self.purged = self.purged.max(Some(upto));
        if self.slots.is_empty() {
            // Beyond the last entry the log continues after `upto`; at or before it, after the last.
            self.first = self.first.max(upto.index + 1);
            self.last_if_empty = self
                .last_if_empty
                .filter(|last| last.index > upto.index)
                .or(Some(upto));
        }
        self.cached_from = self.cached_from.max(self.first);
    }

    /// What is here of `[from, to)`, from the first index here on, up to about `bytes_max`.
    pub(super) fn find(&self, from: u64, to: u64, bytes_max: usize) -> Vec<Found> {
        let from = from.max(self.first);
        let to = to.min(self.next());
        let mut bytes = 0_usize;
        let mut found = Vec::new();
        for index in from..to {
            let Some(slot) = self.slot(index) else { break };
            bytes = bytes.saturating_add(usize::try_from(slot.len).unwrap_or(usize::MAX));
            if bytes > bytes_max && !found.is_empty() {
                break;
            }
            found.push(Found {
                log_id: LogId {
                    term: slot.term,
                    index,
                },
                kind: slot.kind,
                len: slot.len,
                payload: slot.payload.clone(),
                place: slot.place.clone(),
            });
        }
        found
    }
}
