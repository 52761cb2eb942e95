//! Changes applied to a state that is being made, each at the revision that it had: what a migration
//! and the restore of a backup have in common.
//!
//! The rows of a revision and the head that counts it are written as one, so that what is left after a
//! crash is the state at some revision, and whoever comes next goes on from there.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use bytes::Bytes;
use prost::Message;
use proto_etcd::mvccpb::{Event, KeyValue};

use super::follow::{Changes, is_deletion};
use super::history::History;
use super::import::ImportError;
use crate::engine::{Direction, Engine, EngineError, Family, Span, WriteBatch};
use crate::keys::sys::{Head, LeaseRow, Many, Row};
use crate::keys::{self, Damaged};
use crate::mvcc::Revision;

/// Why changes cannot be applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    /// They do not follow what is there.
    #[error("revision {revision} does not fit the state at revision {at}: {fault}")]
    Misfit {
        /// The change's revision.
        revision: i64,
        /// Where the state stands.
        at: i64,
        /// What is wrong.
        fault: &'static str,
    },
    /// They cannot be stored.
    #[error("store revision {revision}")]
    Store {
        /// The change's revision.
        revision: i64,
        /// Why.
        #[source]
        source: Box<ImportError>,
    },
    /// A row cannot be read.
    #[error("read the state")]
    Damaged(#[from] Damaged),
    /// The engine failed.
    #[error("write the state")]
    Engine(#[from] EngineError),
}

/// See the module.
pub(crate) struct Replay<'e> {
    engine: &'e dyn Engine,
    history: History<'e>,
    head: Head,
    /// Changes applied.
    pub(crate) changes: u64,
}

impl<'e> Replay<'e> {
    /// Goes on where the state stands.
    pub(crate) fn open(engine: &'e dyn Engine) -> Result<Self, ReplayError> {
        let head = head(engine)?.unwrap_or_default();
        Ok(Self {
            engine,
            history: History::resume(engine, &head),
            head,
            changes: 0,
        })
    }

    /// The newest revision applied.
    pub(crate) fn revision(&self) -> i64 {
        self.head.revision
    }

    /// Where the state stands.
    pub(crate) fn head(&self) -> Head {
        self.head
    }

    /// Applies the next revision. It is written with those that follow it, at the latest by
    /// [`Replay::write`].
    pub(crate) fn apply(&mut self, changes: &Changes) -> Result<(), ReplayError> {
        let revision = changes.revision;
        if Some(revision) != self.head.revision.checked_add(1) {
            return Err(self.misfit(revision, "it is not the next one"));
        }
        for (sub, event) in (0_u32..).zip(&changes.events) {
            let main = revision;
            self.change(Revision { main, sub }, event)?;
        }
        self.head.revision = revision;
        self.head.written_bytes = self.history.written_bytes;
        self.changes += changes.events.len() as u64;
        if self.history.is_full() {
            self.write()?;
        }
        Ok(())
    }

    fn change(&mut self, at: Revision, event: &Event) -> Result<(), ReplayError> {
        let misfit = |fault| self.misfit(at.main, fault);
        let store = |source| ReplayError::Store {
            revision: at.main,
            source: Box::new(source),
        };
        let kv = event.kv.as_ref().ok_or_else(|| misfit("no key"))?;
        let before = self.history.before(&kv.key).map_err(store)?;
        let is_tombstone = is_deletion(event);
        // Invariant: what a change says of the key's past is what is there. A change that was lost on
        // the way would show here.
        let fits = match (&before, is_tombstone) {
            (None, true) => false,
            (Some(_), true) => true,
            (None, false) => kv.version == 1 && kv.create_revision == at.main,
            (Some(before), false) => {
                before.version.checked_add(1) == Some(kv.version)
                    && kv.create_revision == before.create_revision
            }
        };
        if !fits {
            return Err(misfit("a change of the same key before it is missing"));
        }
        // etcd stores of a deletion its key alone.
        let stored = match is_tombstone {
            true => KeyValue {
                key: kv.key.clone(),
                ..Default::default()
            }
            .encode_to_vec(),
            false => kv.encode_to_vec(),
        };
        let added = self.history.add((&at.etcd_key(is_tombstone), &stored));
        added.map_err(store)
    }

    fn misfit(&self, revision: i64, fault: &'static str) -> ReplayError {
        ReplayError::Misfit {
            revision,
            at: self.head.revision,
            fault,
        }
    }

    /// Writes what was applied. Not durable before the engine is flushed.
    pub(crate) fn write(&mut self) -> Result<(), ReplayError> {
        let written = self.history.flush_with(&Row::Head(self.head));
        written.map_err(|source| ReplayError::Store {
            revision: self.head.revision,
            source: Box::new(source),
        })
    }

    /// Ends: gives the state its compaction and its leases. A lease is there again for all of the time
    /// that it was granted, as after a change of leaders. One that is gone but that keys are attached to
    /// gets a second, so that they go as they did where they come from.
    pub(crate) fn finish(
        mut self,
        compact_revision: i64,
        leases: impl Iterator<Item = (i64, i64)>,
    ) -> Result<Finished, ReplayError> {
        self.head.compact_revision = self.head.compact_revision.max(compact_revision);
        self.write()?;
        let attached = attached(self.engine)?;
        let mut granted: BTreeMap<i64, i64> = leases.filter(|(_, ttl_s)| *ttl_s > 0).collect();
        let mut orphans = 0;
        for id in attached {
            granted.entry(id).or_insert_with(|| {
                orphans += 1;
                1
            });
        }
        let mut rows = WriteBatch::new();
        for (id, _) in stored_leases(self.engine)? {
            if !granted.contains_key(&id) {
                rows.delete(Family::Sys, keys::sys::lease_key(id));
            }
        }
        for (id, granted_ttl_s) in &granted {
            let row = LeaseRow {
                granted_ttl_s: *granted_ttl_s,
                remaining_ttl_s: 0,
            };
            let row = Row::Lease(*id, row);
            rows.put(Family::Sys, row.key(), row.value());
        }
        self.engine.write(rows)?;
        Ok(Finished {
            head: self.head,
            leases: granted.len() as u64,
            orphans,
        })
    }
}

/// What was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) head: Head,
    pub(crate) leases: u64,
    /// Leases that were gone, and that keys are attached to.
    pub(crate) orphans: u64,
}

/// Where the state of an engine stands; none if it was never told.
pub(crate) fn head(engine: &dyn Engine) -> Result<Option<Head>, ReplayError> {
    let key = Row::Head(Head::default()).key();
    let Some(value) = engine.get(Family::Sys, &key)? else {
        return Ok(None);
    };
    match Row::parse(&key, &value)? {
        Row::Head(head) => Ok(Some(head)),
        _ => Ok(None),
    }
}

/// The leases of an engine's state.
pub(crate) fn stored_leases(engine: &dyn Engine) -> Result<Vec<(i64, i64)>, ReplayError> {
    let mut leases = Vec::new();
    let (start, end) = Many::Leases.span();
    each(
        engine,
        Family::Sys,
        Span::between(&start, &end),
        |key, value| {
            if let Row::Lease(id, row) = Row::parse(key, &Bytes::copy_from_slice(value))? {
                leases.push((id, row.granted_ttl_s));
            }
            Ok(())
        },
    )?;
    Ok(leases)
}

/// The leases that live keys are attached to.
fn attached(engine: &dyn Engine) -> Result<BTreeSet<i64>, ReplayError> {
    let mut ids = BTreeSet::new();
    each(engine, Family::Key, Span::ALL, |_, value| {
        ids.insert(keys::live::parse(value)?.lease);
        Ok(())
    })?;
    ids.remove(&0);
    Ok(ids)
}

fn each(
    engine: &dyn Engine,
    family: Family,
    span: Span<'_>,
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), Damaged>,
) -> Result<(), ReplayError> {
    let mut outcome = Ok(());
    engine.scan(family, span, Direction::Forward, &mut |key, value| {
        outcome = visit(key, value);
        match outcome {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    Ok(outcome?)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proto_etcd::mvccpb::event::EventType;

    use super::*;
    use crate::engine::Opener;
    use crate::engine::mem::MemOpener;

    fn event(kind: EventType, revision: i64, create_revision: i64, version: i64) -> Event {
        Event {
            r#type: kind as i32,
            kv: Some(KeyValue {
                key: "k".into(),
                create_revision,
                mod_revision: revision,
                version,
                ..Default::default()
            }),
            prev_kv: None,
        }
    }

    fn apply(replay: &mut Replay<'_>, revision: i64, event: Event) -> String {
        let events = vec![event];
        match replay.apply(&Changes { revision, events }) {
            Ok(()) => "ok".into(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_change_that_was_lost_on_the_way_shows() {
        let engine = MemOpener.open(Path::new("/none")).unwrap();
        let mut replay = Replay::open(&*engine).unwrap();
        let (put, delete) = (EventType::Put, EventType::Delete);
        assert_eq!(apply(&mut replay, 2, event(put, 2, 2, 1)), "ok");
        assert_eq!(apply(&mut replay, 3, event(put, 3, 2, 2)), "ok");
        replay.write().unwrap();
        let lost = |revision| {
            format!(
                "revision {revision} does not fit the state at revision 3: a change of the same key before it is missing"
            )
        };
        let again = || Replay::open(&*engine).unwrap();
        assert_eq!(apply(&mut again(), 4, event(put, 4, 2, 4)), lost(4));
        assert_eq!(apply(&mut again(), 4, event(put, 4, 4, 1)), lost(4));
        assert_eq!(apply(&mut again(), 4, event(put, 4, 3, 3)), lost(4));
        let found = apply(&mut again(), 5, event(put, 5, 2, 3));
        assert!(found.ends_with("it is not the next one"), "{found}");
        assert_eq!(apply(&mut replay, 4, event(delete, 4, 0, 0)), "ok");
        let found = apply(&mut replay, 5, event(delete, 5, 0, 0));
        assert!(found.ends_with("before it is missing"), "{found}");
        // What was not written is as if it had not come.
        assert_eq!(again().revision(), 3);
        assert_eq!(apply(&mut again(), 4, event(put, 4, 2, 3)), "ok");
    }

    #[test]
    fn a_lease_that_is_gone_lets_its_keys_go() {
        let engine = MemOpener.open(Path::new("/none")).unwrap();
        let mut replay = Replay::open(&*engine).unwrap();
        let mut attached = event(EventType::Put, 2, 2, 1);
        attached.kv.as_mut().unwrap().lease = 7;
        assert_eq!(apply(&mut replay, 2, attached), "ok");
        let known = [(5, 60), (6, 0), (7, 0)];
        let finished = replay.finish(1, known.into_iter()).unwrap();
        assert_eq!((finished.leases, finished.orphans), (2, 1));
        assert_eq!(finished.head.compact_revision, 1);
        assert_eq!(stored_leases(&*engine).unwrap(), [(5, 60), (7, 1)]);
        // And is not there any more where it is known to be gone by the next end.
        let replay = Replay::open(&*engine).unwrap();
        let finished = replay.finish(-1, [(7, 70)].into_iter()).unwrap();
        assert_eq!((finished.leases, finished.orphans), (1, 0));
        assert_eq!(finished.head.compact_revision, 1);
        assert_eq!(stored_leases(&*engine).unwrap(), [(7, 70)]);
    }
}
