//! The rows that a history makes: one for each change, and the state at its end.

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message;
use proto_etcd::mvccpb::KeyValue;

use super::import::{ImportError, fault};
use super::schema;
use crate::engine::{Engine, Family, WriteBatch};
use crate::keys;
use crate::keys::sys::{Head, Row};
use crate::mvcc::{Live, Revision};

/// Bytes of rows written at once.
const BATCH_BYTES: usize = 4 << 20;

/// Rows on their way to the engine.
pub(super) struct Batch<'e> {
    engine: &'e dyn Engine,
    rows: WriteBatch,
    bytes: usize,
}

impl<'e> Batch<'e> {
    pub(super) fn new(engine: &'e dyn Engine) -> Self {
        Self {
            engine,
            rows: WriteBatch::new(),
            bytes: 0,
        }
    }

    pub(super) fn put(&mut self, row: &Row) -> Result<(), ImportError> {
        let (key, value) = (row.key(), row.value());
        self.bytes += key.len() + value.len();
        self.rows.put(Family::Sys, key, value);
        if self.bytes >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<(), ImportError> {
        self.bytes = 0;
        Ok(self.engine.write(std::mem::take(&mut self.rows))?)
    }
}

/// Changes in the order of their revisions, which become a history and the state at its end.
pub(super) struct History<'e> {
    batch: Batch<'e>,
    /// What the batch makes of its keys; of others the engine knows.
    live: HashMap<Bytes, Option<Live>>,
    /// The newest change.
    pub(super) last: Option<Revision>,
    /// As [`crate::keys::sys::Head`] counts.
    pub(super) written_bytes: i64,
    /// How many there were.
    pub(super) changes: u64,
}

impl<'e> History<'e> {
    pub(super) fn new(engine: &'e dyn Engine) -> Self {
        Self {
            batch: Batch::new(engine),
            live: HashMap::new(),
            last: None,
            written_bytes: 0,
            changes: 0,
        }
    }

    /// Goes on where `head` stands.
    pub(super) fn resume(engine: &'e dyn Engine, head: &Head) -> Self {
        Self {
            last: Some(Revision {
                main: head.revision,
                sub: u32::MAX,
            }),
            written_bytes: head.written_bytes,
            ..Self::new(engine)
        }
    }

    /// Adds a change, and writes those that have come together if they are many.
    pub(super) fn take(&mut self, change: (&[u8], &[u8])) -> Result<(), ImportError> {
        self.add(change)?;
        if self.is_full() {
            self.flush()?;
        }
        Ok(())
    }

    /// True if what has come together should be written.
    pub(super) fn is_full(&self) -> bool {
        self.batch.bytes >= BATCH_BYTES
    }

    /// Adds a change, and writes nothing.
    pub(super) fn add(&mut self, (key, value): (&[u8], &[u8])) -> Result<(), ImportError> {
        let wrong = |what| fault(schema::KEY, key, what);
        let at = schema::parse_revision(key);
        let (at, is_tombstone) = at.ok_or_else(|| wrong("not a revision"))?;
        if self.last.is_some_and(|last| last >= at) {
            return Err(wrong("not after the change before it"));
        }
        self.last = Some(at);
        // What `snapshot restore --bump-revision` leaves behind: a revision and no change.
        if value.is_empty() {
            return Ok(());
        }
        let kv = KeyValue::decode(value).map_err(|_| wrong("not a key-value pair"))?;
        if kv.key.is_empty() {
            return Err(wrong("a pair without a key"));
        }
        let after = match is_tombstone {
            true => None,
            false
                if kv.mod_revision != at.main || kv.create_revision > at.main || kv.version < 1 =>
            {
                return Err(wrong("a pair of another revision"));
            }
            false => Some(Live {
                at,
                create_revision: kv.create_revision,
                version: kv.version,
                lease: kv.lease,
            }),
        };
        // The first version of a key replaces nothing.
        let before = match after {
            Some(live) if live.version == 1 => None,
            _ => self.before(&kv.key)?,
        };
        self.store(at, &kv.key, value, before, after);
        Ok(())
    }

    /// What is known of a key by now.
    pub(super) fn before(&self, key: &Bytes) -> Result<Option<Live>, ImportError> {
        if let Some(live) = self.live.get(key) {
            return Ok(*live);
        }
        let row = self.batch.engine.get(Family::Key, key)?;
        Ok(row.map(|row| keys::live::parse(&row)).transpose()?)
    }

    /// The same rows, and the same count of their bytes, as an applied entry makes.
    fn store(
        &mut self,
        at: Revision,
        key: &Bytes,
        kv: &[u8],
        before: Option<Live>,
        after: Option<Live>,
    ) {
        let mut grown = 0;
        if let Some(before) = &before {
            grown -= bytes_of(key.len() + keys::live::value(before).len());
        }
        let rows = &mut self.batch.rows;
        match &after {
            Some(after) => {
                let row = keys::live::value(after);
                grown += bytes_of(key.len() + row.len());
                rows.put(Family::Key, key.to_vec(), row);
            }
            None => rows.delete(Family::Key, key.to_vec()),
        }
        let (row_key, row) = (
            keys::rev::key(at),
            keys::rev::value_of(after.is_none(), before.map(|before| before.at), kv),
        );
        let row_bytes = row_key.len() + row.len();
        grown += bytes_of(row_bytes);
        rows.put(Family::Rev, row_key, row);
        self.live.insert(key.clone(), after);
        self.batch.bytes += row_bytes + key.len();
        self.written_bytes += grown;
        self.changes += 1;
    }

    pub(super) fn flush(&mut self) -> Result<(), ImportError> {
        self.batch.flush()?;
        self.live.clear();
        Ok(())
    }

    /// The same, together with a row: either all of it is there after a crash, or nothing.
    pub(super) fn flush_with(&mut self, row: &Row) -> Result<(), ImportError> {
        self.batch.rows.put(Family::Sys, row.key(), row.value());
        self.flush()
    }
}

fn bytes_of(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}
