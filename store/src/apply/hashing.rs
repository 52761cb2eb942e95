//! Hashes of what a member holds, made while entries are applied.

use std::time::Instant;

use bytes::Bytes;

use super::compactions::Kept;
use super::memory::{self, Memory};
use super::view::{ReadError, View};
use crate::consensus::Fatal;
use crate::engine::{Family, Reader, Span};
use crate::keys;
use crate::mvcc::hash::{Hashed, Hasher, KvHash, Stretch};
use crate::mvcc::{KeyRange, Revision};

/// Changes whose visibility is asked for under one lock.
const HASH_CHUNK: usize = 512;

/// Times that a hash starts anew because of a compaction.
const HASH_TRIES: usize = 4;

impl View {
    /// A hash of the rows on this member's disk, for tests. Members of equal state differ in what
    /// they have removed so far; [`View::hash_kv`] is the one to compare.
    pub fn hash(&self) -> Result<(u32, i64), Fatal> {
        let begun = Instant::now();
        let (generation, revision);
        let snapshot;
        {
            let memory = self.shared.memory.read();
            revision = memory.head.revision;
            generation = memory.generation.clone();
            snapshot = generation.engine().snapshot();
        }
        let mut crc = 0;
        for family in Family::ALL {
            crc = crc32c::crc32c_append(crc, family.name().as_bytes());
            memory::each_row(&*snapshot, family, Span::ALL, |key, value| {
                if family != Family::Sys || keys::sys::is_replicated_exactly(key) {
                    crc = crc32c::crc32c_append(crc, key);
                    crc = crc32c::crc32c_append(crc, value);
                }
                Ok(())
            })?;
        }
        self.shared.measures.hashes.since(begun);
        Ok((crc, revision))
    }

    /// etcd's hash of the history up to `revision` (0: all of it), and the newest revision.
    pub fn hash_kv(&self, revision: i64) -> Result<(KvHash, i64), ReadError> {
        let begun = Instant::now();
        for _ in 0..HASH_TRIES {
            let plan = |memory: &Memory| Plan::of(memory, revision);
            if let Some(done) = self.try_hash(plan)? {
                self.shared.measures.hashes_at.since(begun);
                return Ok(done);
            }
        }
        Err(ReadError::Busy)
    }

    /// The hash that etcd makes while it removes what a compaction has made dead, and the newest
    /// revision. None if that is not the newest compaction, is not done, or began in another life.
    pub fn compaction_hash(&self, compaction: i64) -> Result<Option<(KvHash, i64)>, ReadError> {
        if self
            .shared
            .memory
            .read()
            .compactions
            .kept(compaction)
            .is_none()
        {
            return Ok(None);
        }
        let plan = |memory: &Memory| {
            let kept = memory.compactions.kept(compaction);
            kept.map(Plan::of_compaction).ok_or(ReadError::Compacted)
        };
        match self.try_hash(plan) {
            Err(ReadError::Compacted) => Ok(None),
            hash => hash,
        }
    }

    /// None if a compaction came in between.
    fn try_hash(
        &self,
        make: impl FnOnce(&Memory) -> Result<Plan, ReadError>,
    ) -> Result<Option<(KvHash, i64)>, ReadError> {
        let (generation, current, compacted);
        let (plan, snapshot);
        {
            let memory = self.shared.memory.read();
            current = memory.head.revision;
            compacted = memory.head.compact_revision;
            plan = make(&memory)?;
            generation = memory.generation.clone();
            snapshot = generation.engine().snapshot();
        }
        let mut hasher = Hasher::new(plan.compact_revision);
        let mut chunk = Vec::with_capacity(HASH_CHUNK);
        let mut was_compacted = false;
        let mut drain = |chunk: &mut Vec<Hashed>| {
            let memory = self.shared.memory.read();
            was_compacted |= memory.head.compact_revision != compacted;
            for change in chunk.drain(..) {
                let is_seen = hasher.needs_seen(&change) && is_seen(&memory, &change, plan.seen_at);
                hasher.add(&change, is_seen);
            }
        };
        each_change(&*snapshot, plan.read_upto, |change| {
            chunk.push(change);
            if chunk.len() == HASH_CHUNK {
                drain(&mut chunk);
            }
        })?;
        drain(&mut chunk);
        hasher.follow(plan.then);
        let hash = KvHash {
            hash: hasher.finish(),
            compact_revision: plan.compact_revision,
            hash_revision: plan.hash_revision,
        };
        Ok((!was_compacted).then_some((hash, current)))
    }
}

/// What a hash is put together from: rows, and then what is hashed already.
struct Plan {
    compact_revision: i64,
    hash_revision: i64,
    /// At which revision a change up to the compaction must be seen to count.
    seen_at: i64,
    /// The last revision whose rows are read.
    read_upto: i64,
    then: Stretch,
}

impl Plan {
    fn of(memory: &Memory, revision: i64) -> Result<Self, ReadError> {
        let compact_revision = memory.head.compact_revision;
        if revision > 0 && revision < compact_revision {
            return Err(ReadError::Compacted);
        }
        if revision > memory.head.revision {
            return Err(ReadError::FutureRev);
        }
        let hash_revision = if revision == 0 {
            memory.head.revision
        } else {
            revision
        };
        // etcd leaves out what no key shows at the hashed revision, but leaves out nothing if there
        // is no key at all: then what is left after the compaction counts.
        let seen_at = if has_no_keys(memory, hash_revision) {
            compact_revision
        } else {
            hash_revision
        };
        Ok(Self {
            compact_revision,
            hash_revision,
            seen_at,
            read_upto: hash_revision,
            then: Stretch::default(),
        })
    }

    fn of_compaction(kept: Kept) -> Self {
        let Kept { pair, changed } = kept;
        // There is a key at every compaction, if only the one that it deletes.
        Self {
            compact_revision: pair.before,
            hash_revision: pair.at,
            seen_at: pair.at,
            read_upto: pair.before,
            then: changed,
        }
    }
}

fn has_no_keys(memory: &Memory, at: i64) -> bool {
    let mut is_empty = true;
    let all = KeyRange::From(Bytes::new());
    memory.index.walk_at(&all, at, &mut |_, _| {
        is_empty = false;
        false
    });
    is_empty
}

fn is_seen(memory: &Memory, change: &Hashed, at: i64) -> bool {
    use prost::Message;
    // Its bytes were read as a pair when the state was loaded or written.
    let Ok(kv) = proto_etcd::mvccpb::KeyValue::decode(change.kv.clone()) else {
        return false;
    };
    memory
        .index
        .at(&kv.key, at)
        .is_some_and(|seen| seen.at == change.at)
}

fn each_change(reader: &dyn Reader, upto: i64, mut visit: impl FnMut(Hashed)) -> Result<(), Fatal> {
    // As on etcd, nothing is up to a negative revision.
    let end = keys::rev::key(Revision {
        main: upto.max(0).saturating_add(1),
        sub: 0,
    });
    memory::each_row(
        reader,
        Family::Rev,
        Span::between(&[], &end),
        |key, value| {
            let at = keys::rev::parse_key(key)?;
            let record = keys::rev::parse(&Bytes::copy_from_slice(value))?;
            visit(Hashed {
                at,
                is_tombstone: record.is_tombstone,
                kv: record.kv,
            });
            Ok(())
        },
    )
}
