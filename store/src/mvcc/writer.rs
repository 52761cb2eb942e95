//! The changes of one revision while they are being made.

use std::cell::Cell;
use std::collections::BTreeMap;

use bytes::Bytes;
use proto_etcd::mvccpb::KeyValue;

use super::source::Stored;
use super::{Base, Error, KeyRange, Live, Load, Revision, Source};
use crate::engine::Reader;
use crate::lease::Table;
use crate::metrics::KvCalls;
use crate::watch::ChangeKind;

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// Put or delete.
    pub kind: ChangeKind,
    /// After a put: the whole pair. After a delete: the key and the revision of the deletion.
    pub kv: KeyValue,
    /// What was known of the key just before.
    pub before: Option<Live>,
    /// What is known of it now; none after a delete.
    pub after: Option<Live>,
}

/// Gathers changes, and reads with them on top of the applied state. Dropping it changes nothing.
pub struct Writer<'a> {
    base: Base<'a>,
    reader: &'a dyn Reader,
    leases: &'a Table,
    /// Keys changed so far; none where deleted.
    overlay: BTreeMap<Bytes, Option<Live>>,
    changes: Vec<Written>,
    pub(super) calls: KvCalls,
}

impl<'a> Writer<'a> {
    /// Opens the revision after `base`.
    pub fn new(base: Base<'a>, reader: &'a dyn Reader, leases: &'a Table) -> Self {
        Self {
            base,
            reader,
            leases,
            overlay: BTreeMap::new(),
            changes: Vec::new(),
            calls: KvCalls::default(),
        }
    }

    /// The revision that the changes get.
    pub fn next_revision(&self) -> i64 {
        self.base.revision + 1
    }

    /// The changes, in order; empty if nothing changed, and then there is no new revision. And what was
    /// asked for.
    pub fn into_changes(self) -> (Vec<Written>, KvCalls) {
        (self.changes, self.calls)
    }

    /// The applied state underneath, without the changes.
    pub(super) fn base(&self) -> &Base<'a> {
        &self.base
    }

    /// True if the lease is there.
    pub(super) fn has_lease(&self, id: i64) -> bool {
        self.leases.get(id).is_some()
    }

    /// What is known of `key`, changes included.
    pub(super) fn live(&self, key: &[u8]) -> Option<Live> {
        match self.overlay.get(key) {
            Some(changed) => *changed,
            None => self.base.index.live(key).copied(),
        }
    }

    /// The pair of `key`, changes included.
    pub(super) fn pair(&self, key: &[u8]) -> Result<Option<KeyValue>, Error> {
        match self.live(key) {
            None => Ok(None),
            Some(live) => Ok(self.load(&[live.at])?.pop()),
        }
    }

    /// Where the next change is stored.
    pub(super) fn next_place(&self) -> Revision {
        // A request cannot hold 2^32 operations: its size is limited far below.
        let sub = u32::try_from(self.changes.len()).expect("fewer changes than bytes in a request");
        Revision {
            main: self.next_revision(),
            sub,
        }
    }

    pub(super) fn push(&mut self, change: Written) {
        self.overlay.insert(change.kv.key.clone(), change.after);
        self.changes.push(change);
    }

    fn walk_changed(&self, range: &KeyRange, visit: &mut dyn FnMut(&[u8], &Live) -> bool) {
        let goes_on = Cell::new(true);
        let mut step = |key: &[u8], live: &Live| {
            goes_on.set(visit(key, live));
            goes_on.get()
        };
        let Some(bounds) = range.bounds() else { return };
        let mut changed = self.overlay.range::<[u8], _>(bounds).peekable();
        for (key, live) in self.base.index.live_range(range) {
            while let Some((before, live)) =
                changed.next_if(|(changed, _)| changed.as_ref() < &**key)
            {
                if let Some(live) = live
                    && !step(before, live)
                {
                    return;
                }
            }
            let goes_on = match changed.next_if(|(changed, _)| changed.as_ref() == &**key) {
                Some((_, None)) => true,
                Some((_, Some(live))) => step(key, live),
                None => step(key, live),
            };
            if !goes_on {
                return;
            }
        }
        for (key, live) in changed {
            if let Some(live) = live
                && !step(key, live)
            {
                return;
            }
        }
    }
}

impl Source for Writer<'_> {
    fn revision(&self) -> i64 {
        self.base.revision + i64::from(!self.changes.is_empty())
    }

    fn compact_revision(&self) -> i64 {
        self.base.compact_revision
    }

    fn walk(&self, range: &KeyRange, at: i64, visit: &mut dyn FnMut(&[u8], &Live) -> bool) {
        if at <= self.base.revision {
            self.base.walk(range, at, visit);
        } else {
            self.walk_changed(range, visit);
        }
    }

    fn count(&self, range: &KeyRange, at: i64) -> usize {
        let base = self.base.count(range, at.min(self.base.revision));
        let Some(bounds) = range.bounds().filter(|_| at > self.base.revision) else {
            return base;
        };
        let changed = || self.overlay.range::<[u8], _>(bounds);
        let came = changed().filter(|(_, after)| after.is_some());
        let were = changed().filter(|(key, _)| self.base.index.live(key).is_some());
        base + came.count() - were.count()
    }
}

impl Load for Writer<'_> {
    fn load(&self, at: &[Revision]) -> Result<Vec<KeyValue>, Error> {
        if at.iter().all(|at| at.main <= self.base.revision) {
            return Stored(self.reader).load(at);
        }
        let mut pairs = Vec::with_capacity(at.len());
        for place in at {
            let own = usize::try_from(place.sub)
                .ok()
                .filter(|_| place.main > self.base.revision)
                .and_then(|sub| self.changes.get(sub));
            match own {
                Some(change) => pairs.push(change.kv.clone()),
                None => pairs.extend(Stored(self.reader).load(&[*place])?),
            }
        }
        Ok(pairs)
    }
}
