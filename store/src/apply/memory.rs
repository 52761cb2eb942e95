//! The applied state in memory. Changed by apply alone, together with the rows; rebuilt from the
//! rows at start and after a snapshot, and then equal to what applying the log would have made.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use proto_etcd::etcdserverpb::AlarmType;
use proto_etcd::membershippb::Attributes;

use super::compactions::Compactions;
use super::generation::Generation;
use crate::auth::{Change as AuthChange, State as Auth};
use crate::consensus::{AppliedState, Fatal, LogId};
use crate::engine::{Direction, Engine, Family, Reader, Span};
use crate::keys::sys::{AlarmRow, Gc, Head, Row, Seat};
use crate::keys::{self, Damaged};
use crate::lease::Table;
use crate::lease::news::News;
use crate::mvcc::{Base, Index, Live, Revision};

/// See the module.
pub(super) struct Memory {
    /// Where the rows are.
    pub(super) generation: Arc<Generation>,
    /// All keys.
    pub(super) index: Index,
    /// The newest revision and compaction.
    pub(super) head: Head,
    /// How far old rows are gone. Moves at this member's own pace and decides nothing.
    pub(super) gc: Gc,
    /// What `gc` has before it. Decides nothing either.
    pub(super) compactions: Compactions,
    /// Leases with their keys.
    pub(super) leases: Table,
    /// What became of them, for the leader's clocks. Decides nothing.
    pub(super) lease_news: Mutex<News>,
    /// Alarms raised.
    pub(super) alarms: BTreeSet<AlarmRow>,
    /// Members' names and client URLs.
    pub(super) members: BTreeMap<u64, Attributes>,
    /// Who belongs to the cluster, and who has left it for good.
    pub(super) seats: BTreeMap<u64, Seat>,
    /// The version that all members understand.
    pub(super) cluster_version: Option<String>,
    /// The version that the cluster is being downgraded to.
    pub(super) downgrade: Option<String>,
    /// Users and roles.
    pub(super) auth: Auth,
    /// The last entry applied.
    pub(super) applied: Option<LogId>,
    /// The last membership applied.
    pub(super) membership: Option<Bytes>,
}

impl Memory {
    /// Rebuilds the state from its rows.
    pub(super) fn load(generation: Arc<Generation>) -> Result<Self, Fatal> {
        let mut memory = Self {
            generation: generation.clone(),
            index: Index::default(),
            head: Head::default(),
            gc: Gc::default(),
            compactions: Compactions::default(),
            leases: Table::default(),
            lease_news: Mutex::default(),
            alarms: BTreeSet::new(),
            members: BTreeMap::new(),
            seats: BTreeMap::new(),
            cluster_version: None,
            downgrade: None,
            auth: Auth::default(),
            applied: None,
            membership: None,
        };
        let engine = generation.engine();
        each_row(engine, Family::Sys, Span::ALL, |key, value| {
            memory.load_sys(Row::parse(key, &Bytes::copy_from_slice(value))?);
            Ok(())
        })?;
        each_row(engine, Family::Key, Span::ALL, |key, value| {
            let live = keys::live::parse(value)?;
            memory.index.load_live(key, live);
            memory
                .leases
                .move_key(&Bytes::copy_from_slice(key), 0, live.lease);
            Ok(())
        })?;
        memory.load_past(engine)?;
        Ok(memory)
    }

    fn load_sys(&mut self, row: Row) {
        match row {
            Row::Applied(log_id) => self.applied = Some(log_id),
            Row::Membership(bytes) => self.membership = Some(bytes),
            Row::Head(head) => self.head = head,
            Row::Gc(gc) => self.gc = gc,
            Row::Lease(id, lease) => {
                self.leases
                    .set(id, lease.granted_ttl_s, lease.remaining_ttl_s);
            }
            Row::Alarm(alarm) => {
                self.alarms.insert(alarm);
            }
            Row::Member(id, attributes) => {
                self.members.insert(id, attributes);
            }
            Row::Seat(id, seat) => {
                self.seats.insert(id, seat);
            }
            Row::ClusterVersion(version) => self.cluster_version = Some(version),
            Row::Downgrade(target) => self.set_downgrade(target),
            Row::Auth(head) => self.auth.apply(AuthChange::Head(head)),
            Row::User(user) => self.auth.apply(AuthChange::SetUser(user)),
            Row::Role(role) => self.auth.apply(AuthChange::SetRole(role)),
        }
    }

    /// Notes what a downgrade goes to; nothing, if `target` is empty.
    pub(super) fn set_downgrade(&mut self, target: String) {
        self.downgrade = (!target.is_empty()).then_some(target);
    }

    /// Loads the versions that are not live but still seen: every change after the compaction, and
    /// what the first of them replaced.
    fn load_past(&mut self, engine: &dyn Engine) -> Result<(), Fatal> {
        let main = self.head.compact_revision.saturating_add(1).max(0);
        let start = keys::rev::key(Revision { main, sub: 0 });
        let index = &mut self.index;
        let mut missing = None;
        each_row(engine, Family::Rev, Span::from(&start), |key, value| {
            let at = keys::rev::parse_key(key)?;
            let record = keys::rev::parse(&Bytes::copy_from_slice(value))?;
            let kv = record.to_kv(at)?;
            if let Some(previous) = record.previous
                && previous.main < main
            {
                match read_version(engine, previous)? {
                    Some(version) => index.load_past(&kv.key, previous, Some(version)),
                    None => missing = Some(previous),
                }
            }
            if record.is_tombstone {
                index.load_past(&kv.key, at, None);
            } else if index.live(&kv.key).is_none_or(|live| live.at != at) {
                let version = version(at, kv.create_revision, kv.version);
                index.load_past(&kv.key, at, Some(version));
            }
            Ok(())
        })?;
        match missing {
            None => Ok(()),
            Some(at) => {
                let fault = anyhow::anyhow!("no row for revision {}.{}", at.main, at.sub);
                Err(Fatal::at("memory::load_past")(fault))
            }
        }
    }

    /// For reads at the present state.
    pub(super) fn base(&self) -> Base<'_> {
        Base {
            index: &self.index,
            revision: self.head.revision,
            compact_revision: self.head.compact_revision,
        }
    }

    /// For consensus.
    pub(super) fn applied_state(&self) -> AppliedState {
        AppliedState {
            log_id: self.applied,
            membership: self.membership.clone(),
        }
    }

    /// True if any member has raised `alarm`.
    pub(super) fn has_alarm(&self, alarm: AlarmType) -> bool {
        self.alarms.iter().any(|row| row.alarm == alarm as i32)
    }

    /// Bytes of rows that count: written less freed.
    pub(super) fn bytes_in_use(&self) -> i64 {
        self.head.written_bytes - self.gc.freed_bytes
    }
}

fn version(at: Revision, create_revision: i64, version: i64) -> Live {
    Live {
        at,
        create_revision,
        version,
        lease: 0,
    }
}

fn read_version(engine: &dyn Engine, at: Revision) -> Result<Option<Live>, RowError> {
    let Some(row) = engine.get(Family::Rev, &keys::rev::key(at))? else {
        return Ok(None);
    };
    let kv = keys::rev::parse(&row)?.to_kv(at)?;
    Ok(Some(version(at, kv.create_revision, kv.version)))
}

/// A row cannot be had or cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowError {
    #[error(transparent)]
    Damaged(#[from] Damaged),
    #[error(transparent)]
    Engine(#[from] crate::engine::EngineError),
}

/// Calls `visit` for every row of `span`; its first error ends the scan.
pub(super) fn each_row(
    reader: &(impl Reader + ?Sized),
    family: Family,
    span: Span<'_>,
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), RowError>,
) -> Result<(), Fatal> {
    let mut failed = None;
    let mut step = |key: &[u8], value: &[u8]| match visit(key, value) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    };
    reader
        .scan(family, span, Direction::Forward, &mut step)
        .map_err(Fatal::at("memory::scan"))?;
    match failed {
        None => Ok(()),
        Some(error) => Err(Fatal::at("memory::load")(error)),
    }
}
