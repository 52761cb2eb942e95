//! `snapshot status`: what a file holds, counted and hashed as etcdutl does.

use std::collections::HashSet;
use std::fs::File;

use bolt::{Database, Value};
use prost::Message;
use proto_etcd::mvccpb::KeyValue;
use serde::Serialize;

use super::import::{self, ImportError, fault};
use super::schema;

/// A file's status, in the order of etcdutl's JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    pub(crate) hash: u32,
    pub(crate) revision: i64,
    pub(crate) total_key: usize,
    pub(crate) total_size: u64,
    pub(crate) version: String,
}

/// Reads the whole file, and so finds any damage to its pages.
pub(crate) fn status(file: &Database<File>) -> Result<Status, ImportError> {
    let meta = import::bucket(file, schema::META)?;
    let version = file.get(&meta, schema::STORAGE_VERSION)?;
    let version = version.and_then(|version| String::from_utf8(version).ok());
    let mut status = Status {
        hash: 0,
        revision: 0,
        total_key: 0,
        total_size: file.size(),
        version: version.unwrap_or_default(),
    };
    let mut live = HashSet::new();
    let mut roots = file.rows(&file.root());
    while let Some(root) = roots.next()? {
        let name = root.key.to_vec();
        let Value::Bucket(bucket) = root.value else {
            return Err(fault(b"", &name, "a row where etcd has buckets"));
        };
        status.hash = crc32c::crc32c_append(status.hash, &name);
        let mut rows = file.rows(&bucket);
        while let Some(row) = rows.next()? {
            status.hash = crc32c::crc32c_append(status.hash, row.key);
            let Value::Bytes(value) = row.value else {
                continue;
            };
            status.hash = crc32c::crc32c_append(status.hash, value);
            if name == schema::KEY {
                status.revision = count(row.key, value, &mut live)?;
            }
        }
    }
    status.total_key = live.len();
    Ok(status)
}

/// Counts a change; its revision.
fn count(key: &[u8], value: &[u8], live: &mut HashSet<Box<[u8]>>) -> Result<i64, ImportError> {
    let wrong = |what| fault(schema::KEY, key, what);
    let at = schema::parse_revision(key);
    let (at, is_tombstone) = at.ok_or_else(|| wrong("not a revision"))?;
    let kv = KeyValue::decode(value).map_err(|_| wrong("not a key-value pair"))?;
    match is_tombstone {
        true => live.remove(&*kv.key),
        false => live.insert(kv.key.to_vec().into()),
    };
    Ok(at.main)
}
