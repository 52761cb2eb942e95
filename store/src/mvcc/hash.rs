//! The hash of the history, equal to etcd's for the same history: crc32c over the name of etcd's
//! bucket and then, for each change in order, etcd's key bytes and the stored pair.
//!
//! It leaves out what a compaction drops, whether or not it is gone from the disk yet.

use bytes::Bytes;

use super::Revision;

const BUCKET: &[u8] = b"key";

/// What a hash covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvHash {
    /// The hash.
    pub hash: u32,
    /// The newest compaction when it was made; -1 if there was none. Of the hash that etcd keeps of a
    /// compaction it is the one before.
    pub compact_revision: i64,
    /// The newest revision in it.
    pub hash_revision: i64,
}

/// One change, as the hash needs it.
#[derive(Clone, Debug)]
pub struct Hashed {
    /// Its place.
    pub at: Revision,
    /// True for a deletion.
    pub is_tombstone: bool,
    /// The stored pair.
    pub kv: Bytes,
}

/// Changes that follow each other, hashed by themselves: what comes before them need not be known yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stretch {
    crc: u32,
    bytes: usize,
}

impl Stretch {
    /// Adds the change after the last one.
    pub fn add(&mut self, at: Revision, is_tombstone: bool, kv: &[u8]) {
        for part in [at.etcd_key(is_tombstone).as_slice(), kv] {
            self.crc = crc32c::crc32c_append(self.crc, part);
            self.bytes += part.len();
        }
    }

    /// This one and the next one.
    pub fn then(self, next: Self) -> Self {
        Self {
            crc: crc32c::crc32c_combine(self.crc, next.crc, next.bytes),
            bytes: self.bytes + next.bytes,
        }
    }
}

/// Hashes changes in order.
#[derive(Clone, Copy, Debug)]
pub struct Hasher {
    crc: u32,
    compact_revision: i64,
}

impl Hasher {
    /// A hash for a store whose newest compaction is `compact_revision`.
    pub fn new(compact_revision: i64) -> Self {
        Self {
            crc: crc32c::crc32c(BUCKET),
            compact_revision,
        }
    }

    /// True if a change counts only where it is still seen: it is old enough to be compacted away.
    pub fn needs_seen(&self, change: &Hashed) -> bool {
        change.at.main <= self.compact_revision
    }

    /// Adds a change. `is_seen` matters only if [`Hasher::needs_seen`].
    pub fn add(&mut self, change: &Hashed, is_seen: bool) {
        // Deletions up to the compaction are never seen; etcd leaves the one exactly at it out too.
        if self.needs_seen(change) && (change.is_tombstone || !is_seen) {
            return;
        }
        let key = change.at.etcd_key(change.is_tombstone);
        self.crc = crc32c::crc32c_append(self.crc, &key);
        self.crc = crc32c::crc32c_append(self.crc, &change.kv);
    }

    /// Adds all changes of a stretch.
    pub fn follow(&mut self, stretch: Stretch) {
        self.crc = crc32c::crc32c_combine(self.crc, stretch.crc, stretch.bytes);
    }

    /// The hash so far.
    pub fn finish(self) -> u32 {
        self.crc
    }
}
