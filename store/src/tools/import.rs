//! etcd's database as our rows: every change with its revision, and everything beside the keys that a
//! new cluster takes over. What belongs to the old cluster alone (its members, its log's place, its
//! version) stays behind, as in `etcdutl snapshot restore`.

use bolt::{Bucket, Database, Row as FileRow, Source, Value};
use prost::Message;
use proto_etcd::authpb::{Role, User};
use proto_etcd::etcdserverpb::AlarmMember;

use super::history::{Batch, History};
use super::schema::{self, LeaseRecord};
use crate::engine::{Engine, EngineError};
use crate::keys::Damaged;
use crate::keys::sys::{AlarmRow, AuthRow, Head, LeaseRow, Row};

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
