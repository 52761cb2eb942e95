//! What reads are made of: a walk over keys and a load of pairs.

use proto_etcd::mvccpb::KeyValue;

use super::{Error, Index, KeyRange, Live, Revision};
use crate::consensus::Fatal;
use crate::engine::{Family, Reader};
use crate::keys;

/// Keys without values, at one state.
pub trait Source {
    /// The newest revision.
    fn revision(&self) -> i64;

    /// The newest compaction; -1 if there was none.
    fn compact_revision(&self) -> i64;

    /// Calls `visit` for each key of `range` as it was at revision `at`, in order, until it returns
    /// false. `at` must be neither compacted nor in the future.
    fn walk(&self, range: &KeyRange, at: i64, visit: &mut dyn FnMut(&[u8], &Live) -> bool);

    /// How many keys of `range` there were at revision `at`, which must be as in [`Source::walk`].
    fn count(&self, range: &KeyRange, at: i64) -> usize;
}

/// Pairs by the place where they are stored.
pub trait Load {
    /// The pairs at `at`, in that order. One that is missing is fatal: the index promised it.
    fn load(&self, at: &[Revision]) -> Result<Vec<KeyValue>, Error>;
}

/// Loads from stored rows.
pub struct Stored<'a>(pub &'a dyn Reader);

impl Load for Stored<'_> {
    fn load(&self, at: &[Revision]) -> Result<Vec<KeyValue>, Error> {
        let keys: Vec<_> = at.iter().copied().map(keys::rev::key).collect();
        let rows = match keys.as_slice() {
            [] => return Ok(Vec::new()),
            [key] => vec![
                self.0
                    .get(Family::Rev, key)
                    .map_err(Fatal::at("mvcc::load"))?,
            ],
            keys => self
                .0
                .multi_get(Family::Rev, keys)
                .map_err(Fatal::at("mvcc::load"))?,
        };
        at.iter()
            .zip(rows)
            .map(|(at, row)| pair(*at, row))
            .collect()
    }
}

fn pair(at: Revision, row: Option<bytes::Bytes>) -> Result<KeyValue, Error> {
    let row = row
        .ok_or_else(|| anyhow::anyhow!("no row for revision {}.{}", at.main, at.sub))
        .map_err(Fatal::at("mvcc::load"))?;
    let kv = keys::rev::parse(&row).and_then(|record| record.to_kv(at));
    Ok(kv.map_err(Fatal::at("mvcc::load"))?)
}

/// The applied state.
#[derive(Clone, Copy)]
pub struct Base<'a> {
    /// All keys.
    pub index: &'a Index,
    /// The newest revision.
    pub revision: i64,
    /// The newest compaction.
    pub compact_revision: i64,
}

impl Source for Base<'_> {
    fn revision(&self) -> i64 {
        self.revision
    }

    fn compact_revision(&self) -> i64 {
        self.compact_revision
    }

    fn walk(&self, range: &KeyRange, at: i64, visit: &mut dyn FnMut(&[u8], &Live) -> bool) {
        match range {
            KeyRange::Single(key) if at >= self.revision => {
                if let Some(live) = self.index.live(key) {
                    visit(key, live);
                }
            }
            KeyRange::Single(key) => {
                if let Some(live) = self.index.at(key, at) {
                    visit(key, &live);
                }
            }
            _ if at >= self.revision => self.index.walk_live(range, visit),
            _ => self.index.walk_at(range, at, visit),
        }
    }

    fn count(&self, range: &KeyRange, at: i64) -> usize {
        if at >= self.revision {
            self.index.count_live(range)
        } else {
            self.index.count_at(range, at)
        }
    }
}
