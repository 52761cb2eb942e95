//! A list of row changes that an engine applies as one.

use super::Family;

/// One change of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// The row at `key` becomes `value`.
    Put {
        /// Where.
        family: Family,
        /// Which row.
        key: Vec<u8>,
        /// Its bytes.
        value: Vec<u8>,
    },
    /// The row at `key` goes. No harm if there is none.
    Delete {
        /// Where.
        family: Family,
        /// Which row.
        key: Vec<u8>,
    },
}

/// Row changes in the order in which they were added; a later one wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteBatch {
    ops: Vec<Op>,
}

impl WriteBatch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a row.
    pub fn put(&mut self, family: Family, key: Vec<u8>, value: Vec<u8>) {
        self.ops.push(Op::Put { family, key, value });
    }

    /// Removes a row.
    pub fn delete(&mut self, family: Family, key: Vec<u8>) {
        self.ops.push(Op::Delete { family, key });
    }

    /// True if there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// How many changes it holds.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// The changes.
    pub fn into_ops(self) -> Vec<Op> {
        self.ops
    }
}
