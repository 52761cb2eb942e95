//! etcd's database as our rows: every change with its revision, and everything beside the keys that a
//! new cluster takes over. What belongs to the old cluster alone (its members, its log's place, its
//! version) stays behind, as in `etcdutl snapshot restore`.

use std::collections::HashMap;

use bolt::{Bucket, Database, Row as FileRow, Source, Value};
use bytes::Bytes;
use prost::Message;
use proto_etcd::authpb::{Role, User};
use proto_etcd::etcdserverpb::AlarmMember;
use proto_etcd::mvccpb::KeyValue;

use super::schema::{self, LeaseRecord};
use crate::engine::{Engine, EngineError, Family, WriteBatch};
use crate::keys::sys::{AlarmRow, AuthRow, Head, LeaseRow, Row};
use crate::keys::{self, Damaged};
use crate::mvcc::{Live, Revision};

/// Bytes of rows written at once.
const BATCH_BYTES: usize = 4 << 20;

/// Why a file cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub(super) enum ImportError {
    /// The file is damaged.
    #[error("read the snapshot file")]
    File(#[from] bolt::Error),
    /// It is a database, but not one of etcd's.
    #[error("the snapshot file has no bucket {0:?}: it is not a database of etcd")]
    NoBucket(String),
    /// A row is none of etcd's.
    #[error("bucket {bucket:?} of the snapshot file, row {key}: {fault}")]
    Row {
        /// The row's bucket.
        bucket: String,
        /// The row's key, in hexadecimal.
        key: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// Our own state cannot be written.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Our own state cannot be read back.
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

/// What was taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Imported {
    /// Where the key-value state stands.
    pub(crate) head: Head,
    /// Changes of keys.
    pub(crate) changes: u64,
    /// Leases.
    pub(crate) leases: u64,
}

/// Writes the rows of `file` into the empty `engine`, not yet flushed. With `bump`, the newest revision
/// is so many later, and all before it compacted.
pub(crate) fn import<S: Source>(
    file: &Database<S>,
    engine: &dyn Engine,
    bump: i64,
) -> Result<Imported, ImportError> {
    let meta = bucket(file, schema::META)?;
    let compacted = compact_revision(file, &meta)?;
    let mut history = History::new(engine);
    each(file, schema::KEY, |row| history.take(row))?;
    history.flush()?;
    let mut head = Head {
        // etcd's own rule: a compaction may have taken the newest change with it.
        revision: history
            .last
            .map_or(1, |last| last.main)
            .max(compacted)
            .max(1),
        compact_revision: compacted,
        written_bytes: history.written_bytes,
    };
    if bump > 0 {
        let bumped = head.revision.checked_add(bump);
        head.revision =
            bumped.ok_or_else(|| fault(schema::KEY, b"", "no revision so many later"))?;
        head.compact_revision = head.revision;
    }
    let mut rest = Batch::new(engine);
    rest.put(&Row::Head(head))?;
    rest.put(&Row::Auth(auth(file)?))?;
    let mut leases = 0;
    each(file, schema::LEASE, |row| {
        leases += 1;
        rest.put(&lease(row)?)
    })?;
    each(file, schema::AUTH_USERS, |row| {
        let user =
            User::decode(row.1).map_err(|_| fault(schema::AUTH_USERS, row.0, "not a user"))?;
        rest.put(&Row::User(user))
    })?;
    each(file, schema::AUTH_ROLES, |row| {
        let role =
            Role::decode(row.1).map_err(|_| fault(schema::AUTH_ROLES, row.0, "not a role"))?;
        rest.put(&Row::Role(role))
    })?;
    each(file, schema::ALARM, |row| {
        let alarm =
            AlarmMember::decode(row.0).map_err(|_| fault(schema::ALARM, row.0, "not an alarm"))?;
        rest.put(&Row::Alarm(AlarmRow {
            alarm: alarm.alarm,
            member_id: alarm.member_id,
        }))
    })?;
    rest.flush()?;
    Ok(Imported {
        head,
        changes: history.changes,
        leases,
    })
}

/// The newest compaction, whether or not its rows are gone; -1 if there was none.
pub(crate) fn compact_revision<S: Source>(
    file: &Database<S>,
    meta: &Bucket,
) -> Result<i64, ImportError> {
    let mut newest = -1;
    for name in [schema::SCHEDULED_COMPACT, schema::FINISHED_COMPACT] {
        if let Some(value) = file.get(meta, name)? {
            let at = schema::parse_revision(&value);
            let (at, _) = at.ok_or_else(|| fault(schema::META, name, "not a revision"))?;
            newest = newest.max(at.main);
        }
    }
    Ok(newest)
}

/// A bucket that every database of etcd has.
pub(crate) fn bucket<S: Source>(file: &Database<S>, name: &[u8]) -> Result<Bucket, ImportError> {
    file.bucket(name)?.ok_or_else(|| no_bucket(name))
}

fn no_bucket(name: &[u8]) -> ImportError {
    ImportError::NoBucket(String::from_utf8_lossy(name).into_owned())
}

/// Calls `visit` for every row of a bucket; one that is missing has none, unless it is that of keys.
pub(crate) fn each<S: Source>(
    file: &Database<S>,
    name: &[u8],
    mut visit: impl FnMut((&[u8], &[u8])) -> Result<(), ImportError>,
) -> Result<(), ImportError> {
    let bucket = match file.bucket(name)? {
        None if name != schema::KEY => return Ok(()),
        found => found.ok_or_else(|| no_bucket(name))?,
    };
    let mut rows = file.rows(&bucket);
    while let Some(FileRow { key, value }) = rows.next()? {
        match value {
            Value::Bytes(value) => visit((key, value))?,
            Value::Bucket(_) => return Err(fault(name, key, "a bucket where etcd has rows")),
        }
    }
    Ok(())
}

pub(crate) fn fault(bucket: &[u8], key: &[u8], fault: &'static str) -> ImportError {
    // Enough to find the row; a key may have 32 KiB.
    let shown = &key[..key.len().min(64)];
    ImportError::Row {
        bucket: String::from_utf8_lossy(bucket).into_owned(),
        key: shown.iter().map(|byte| format!("{byte:02x}")).collect(),
        fault,
    }
}

fn auth<S: Source>(file: &Database<S>) -> Result<AuthRow, ImportError> {
    let Some(bucket) = file.bucket(schema::AUTH)? else {
        return Ok(AuthRow::default());
    };
    let is_enabled = file.get(&bucket, schema::AUTH_ENABLED)?;
    let revision = match file.get(&bucket, schema::AUTH_REVISION)? {
        Some(bytes) => <[u8; 8]>::try_from(&*bytes)
            .map(u64::from_be_bytes)
            .map_err(|_| fault(schema::AUTH, schema::AUTH_REVISION, "not a number"))?,
        None => 0,
    };
    Ok(AuthRow {
        is_enabled: is_enabled.as_deref() == Some(&[1]),
        // etcd counts from 1 as soon as it starts.
        revision: revision.max(1),
    })
}

fn lease((key, value): (&[u8], &[u8])) -> Result<Row, ImportError> {
    let record =
        LeaseRecord::decode(value).map_err(|_| fault(schema::LEASE, key, "not a lease"))?;
    if key != record.id.to_be_bytes() {
        return Err(fault(schema::LEASE, key, "another lease's id in its value"));
    }
    Ok(Row::Lease(
        record.id,
        LeaseRow {
            granted_ttl_s: record.ttl_s,
            remaining_ttl_s: record.remaining_ttl_s,
        },
    ))
}

/// Rows on their way to the engine.
struct Batch<'e> {
    engine: &'e dyn Engine,
    rows: WriteBatch,
    bytes: usize,
}

impl<'e> Batch<'e> {
    fn new(engine: &'e dyn Engine) -> Self {
        Self {
            engine,
            rows: WriteBatch::new(),
            bytes: 0,
        }
    }

    fn put(&mut self, row: &Row) -> Result<(), ImportError> {
        let (key, value) = (row.key(), row.value());
        self.bytes += key.len() + value.len();
        self.rows.put(Family::Sys, key, value);
        if self.bytes >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ImportError> {
        self.bytes = 0;
        Ok(self.engine.write(std::mem::take(&mut self.rows))?)
    }
}

/// Changes in the order of their revisions, which become a history and the state at its end.
struct History<'e> {
    batch: Batch<'e>,
    /// What the batch makes of its keys; of others the engine knows.
    live: HashMap<Bytes, Option<Live>>,
    last: Option<Revision>,
    written_bytes: i64,
    changes: u64,
}

impl<'e> History<'e> {
    fn new(engine: &'e dyn Engine) -> Self {
        Self {
            batch: Batch::new(engine),
            live: HashMap::new(),
            last: None,
            written_bytes: 0,
            changes: 0,
        }
    }

    fn take(&mut self, (key, value): (&[u8], &[u8])) -> Result<(), ImportError> {
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
        if self.batch.bytes >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn before(&self, key: &Bytes) -> Result<Option<Live>, ImportError> {
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

    fn flush(&mut self) -> Result<(), ImportError> {
        self.batch.flush()?;
        self.live.clear();
        Ok(())
    }
}

fn bytes_of(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}
