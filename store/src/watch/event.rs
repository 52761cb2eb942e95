//! What one revision changed, shared by every watcher without a copy.

use std::sync::{Arc, OnceLock};

use proto_etcd::mvccpb::KeyValue;

use crate::mvcc::Revision;

/// Everything that one revision changed, in the order of the sub-revisions.
#[derive(Clone, Debug, PartialEq)]
pub struct RevBatch {
    /// The revision; strictly greater than that of every batch before.
    pub revision: i64,
    /// The changes. Never empty.
    pub changes: Vec<Change>,
}

/// A batch as the hub and the watchers hold it.
pub type SharedBatch = Arc<RevBatch>;

impl RevBatch {
    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        let changes = self.changes.iter().map(Change::bytes);
        changes.sum::<usize>() + size_of::<Self>()
    }
}

/// One put or delete.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Put or delete.
    pub kind: ChangeKind,
    /// After a put: the whole pair. After a delete: the key and `mod_revision` alone, as etcd sends it.
    pub kv: KeyValue,
    /// Where the pair that this change replaced is stored; none if there was none.
    pub previous: Option<Revision>,
    /// That pair, once a watcher has asked for it; none inside if it has been compacted away.
    pub previous_kv: OnceLock<Option<KeyValue>>,
}

impl Change {
    /// A change whose replaced pair nobody has asked for yet.
    pub fn new(kind: ChangeKind, kv: KeyValue, previous: Option<Revision>) -> Self {
        Self {
            kind,
            kv,
            previous,
            previous_kv: OnceLock::new(),
        }
    }

    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        self.kv.key.len() + self.kv.value.len() + size_of::<Self>()
    }
}

/// See [`Change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// The key has a new value.
    Put,
    /// The key is gone.
    Delete,
}
