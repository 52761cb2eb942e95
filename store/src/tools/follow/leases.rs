//! The leases of the source. No watch tells of them: one that a change refers to is asked for before
//! the change is handed on, and all of them are compared from time to time.
//!
//! So whoever stores changes and leases in the order in which they come knows of every lease that a key
//! is attached to. Of a lease without keys it knows as of the last comparison. Memory: 16 bytes and
//! their place for each lease.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;

use super::Changes;
use crate::tools::source::{Source, SourceError};

/// A lease and the seconds that it was granted; 0 for one that was gone when it was asked for. Also how
/// backups store it.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Seen {
    #[prost(int64, tag = "1")]
    pub(crate) id: i64,
    #[prost(int64, tag = "2")]
    pub(crate) granted_ttl_s: i64,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leases {
    granted: BTreeMap<i64, i64>,
}

impl Leases {
    /// With those that are known.
    pub(crate) fn new(known: impl IntoIterator<Item = (i64, i64)>) -> Self {
        Self {
            granted: known.into_iter().collect(),
        }
    }

    /// Asks for those that `changes` refer to and nobody knows; what was new.
    pub(crate) async fn learn(
        &mut self,
        source: &mut Source,
        changes: &[Changes],
    ) -> Result<Vec<Seen>, SourceError> {
        let kvs = changes.iter().flat_map(|one| &one.events);
        let ids = kvs.filter_map(|event| event.kv.as_ref().map(|kv| kv.lease));
        let ids = ids.filter(|id| *id != 0 && !self.granted.contains_key(id));
        let ids: BTreeSet<i64> = ids.collect();
        self.ask(source, &ids).await
    }

    /// Compares with all that the source has; what is new, and what is gone.
    pub(crate) async fn compare(
        &mut self,
        source: &mut Source,
    ) -> Result<(Vec<Seen>, Vec<i64>), SourceError> {
        let all = source.leases().await?;
        let gone: Vec<i64> = self.granted.keys().copied().collect();
        let gone: Vec<i64> = gone.into_iter().filter(|id| !all.contains(id)).collect();
        for id in &gone {
            self.granted.remove(id);
        }
        let is_new = |id: &i64| self.granted.get(id).is_none_or(|ttl| *ttl == 0);
        let ids: BTreeSet<i64> = all.iter().copied().filter(is_new).collect();
        let new = self.ask(source, &ids).await?;
        Ok((new, gone))
    }

    /// Asks again for every one that is left: an id may have been given to another lease.
    pub(crate) async fn ask_again(&mut self, source: &mut Source) -> Result<(), SourceError> {
        let ids: BTreeSet<i64> = self.granted.keys().copied().collect();
        self.ask(source, &ids).await.map(drop)
    }

    /// Takes in what was stored.
    pub(crate) fn take(&mut self, new: &[Seen], gone: &[i64]) {
        for id in gone {
            self.granted.remove(id);
        }
        self.granted
            .extend(new.iter().map(|seen| (seen.id, seen.granted_ttl_s)));
    }

    /// Every lease with the seconds that it was granted, in the order of ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, i64)> {
        self.granted.iter().map(|(id, ttl)| (*id, *ttl))
    }

    async fn ask(
        &mut self,
        source: &mut Source,
        ids: &BTreeSet<i64>,
    ) -> Result<Vec<Seen>, SourceError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let found = source.granted_ttls(ids).await?;
        let seen = |(id, granted_ttl_s)| Seen { id, granted_ttl_s };
        let found: Vec<Seen> = found.into_iter().map(seen).collect();
        self.take(&found, &[]);
        Ok(found)
    }
}
