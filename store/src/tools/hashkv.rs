//! `hashkv`: etcd's hash of a history, of a file or of a stopped member.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use bolt::{Database, Source};
use bytes::Bytes;
use prost::Message;
use proto_etcd::mvccpb::KeyValue;
use serde::Serialize;

use super::folder::{self, FolderError};
use super::import::{self, ImportError, fault};
use super::schema;
use crate::mvcc::Revision;
use crate::mvcc::hash::{Hashed, Hasher, KvHash};

/// A hash, in the order of etcdutl's JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HashKv {
    pub(crate) hash: u32,
    pub(crate) hash_revision: i64,
    pub(crate) compact_revision: i64,
}

impl From<KvHash> for HashKv {
    fn from(hash: KvHash) -> Self {
        Self {
            hash: hash.hash,
            hash_revision: hash.hash_revision,
            compact_revision: hash.compact_revision,
        }
    }
}

/// Why there is no hash. The words are etcd's where it has them.
#[derive(Debug, thiserror::Error)]
pub(super) enum HashError {
    /// The revision is gone.
    #[error("mvcc: required revision has been compacted")]
    Compacted,
    /// The revision is not there yet.
    #[error("mvcc: required revision is a future revision")]
    FutureRevision,
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] ImportError),
    /// The folder cannot be read.
    #[error(transparent)]
    Folder(#[from] FolderError),
}

/// The hash of a file up to `revision` (0: all of it).
pub(crate) fn of_file<S: Source>(file: &Database<S>, revision: i64) -> Result<HashKv, HashError> {
    let meta = import::bucket(file, schema::META)?;
    let compact_revision = import::compact_revision(file, &meta)?;
    let mut last = 1;
    each(file, |change| {
        last = change.at.main;
        Ok(())
    })?;
    let current = compact_revision.max(last);
    if revision > 0 && revision < compact_revision {
        return Err(HashError::Compacted);
    }
    if revision > current {
        return Err(HashError::FutureRevision);
    }
    let upto = if revision > 0 { revision } else { current };
    // etcd leaves out what no key shows at the hashed revision, but leaves out nothing if there is no
    // key at all: then what is left after the compaction counts.
    let mut seen = live_at(file, upto)?;
    if seen.is_empty() {
        seen = live_at(file, compact_revision)?;
    }
    let mut hasher = Hasher::new(compact_revision);
    each(file, |change| {
        if change.at.main <= upto {
            let is_seen =
                hasher.needs_seen(&change) && seen.get(&key_of(&change)?) == Some(&change.at);
            hasher.add(&change, is_seen);
        }
        Ok(())
    })?;
    Ok(HashKv {
        hash: hasher.finish(),
        hash_revision: upto,
        compact_revision,
    })
}

/// The hash of a stopped member's folder, as far as it had written its state.
pub(crate) fn of_folder(
    dir: &Path,
    revision: i64,
    patience: Option<Duration>,
) -> Result<HashKv, HashError> {
    use crate::apply::ReadError;
    let open = folder::open(dir, None, patience)?;
    match open.view.hash_kv(revision) {
        Ok((hash, _)) => Ok(hash.into()),
        Err(ReadError::Compacted) => Err(HashError::Compacted),
        Err(ReadError::FutureRev) => Err(HashError::FutureRevision),
        Err(error) => Err(HashError::Folder(FolderError::Read(error))),
    }
}

/// Where each key that is live at `upto` was last changed.
fn live_at<S: Source>(
    file: &Database<S>,
    upto: i64,
) -> Result<HashMap<Bytes, Revision>, ImportError> {
    let mut live = HashMap::new();
    each(file, |change| {
        if change.at.main <= upto {
            let key = key_of(&change)?;
            match change.is_tombstone {
                true => live.remove(&key),
                false => live.insert(key, change.at),
            };
        }
        Ok(())
    })?;
    Ok(live)
}

fn key_of(change: &Hashed) -> Result<Bytes, ImportError> {
    let kv = KeyValue::decode(change.kv.clone());
    let key = || change.at.etcd_key(change.is_tombstone);
    kv.map(|kv| kv.key)
        .map_err(|_| fault(schema::KEY, &key(), "not a key-value pair"))
}

fn each<S: Source>(
    file: &Database<S>,
    mut visit: impl FnMut(Hashed) -> Result<(), ImportError>,
) -> Result<(), ImportError> {
    import::each(file, schema::KEY, |(key, value)| {
        let at = schema::parse_revision(key);
        let (at, is_tombstone) = at.ok_or_else(|| fault(schema::KEY, key, "not a revision"))?;
        visit(Hashed {
            at,
            is_tombstone,
            kv: Bytes::copy_from_slice(value),
        })
    })
}
