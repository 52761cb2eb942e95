//! Turns what an entry changes into one batch of rows, and then into the same change of the memory.

use bytes::Bytes;

use super::compactions::Pair;
use super::dispatch::{Effects, LeaseEffect};
use super::memory::Memory;
use crate::auth::Change as AuthChange;
use crate::consensus::LogId;
use crate::engine::{self, Engine, Family, Op, WriteBatch};
use crate::keys::sys::{Head, LeaseRow, Row, alarm_key, lease_key, member_key, role_key, user_key};
use crate::keys::{live, rev};
use crate::lease::news::Change as LeaseChange;
use crate::mvcc::{Live, Revision, Written};
use crate::watch::{Change, RevBatch};

/// Entries between two flushes of [`rows_first`].
const PLANTED_FLUSH_EACH: u64 = 64;

/// The rows of an entry: always the applied index, so that no entry is ever applied twice.
pub(super) fn rows(memory: &Memory, log_id: LogId, effects: &Effects) -> (WriteBatch, Head) {
    let mut batch = WriteBatch::new();
    let mut head = memory.head;
    put(&mut batch, &Row::Applied(log_id));
    if !effects.changes.is_empty() {
        head.revision += 1;
    }
    for (sub, change) in (0_u32..).zip(&effects.changes) {
        let at = Revision {
            main: head.revision,
            sub,
        };
        head.written_bytes += change_rows(&mut batch, at, change);
    }
    head.compact_revision = effects.compact_revision.unwrap_or(head.compact_revision);
    if head != memory.head {
        put(&mut batch, &Row::Head(head));
    }
    if let Some(membership) = &effects.membership {
        put(&mut batch, &Row::Membership(membership.clone()));
    }
    if let Some(version) = &effects.cluster_version {
        put(&mut batch, &Row::ClusterVersion(version.clone()));
    }
    if let Some(target) = &effects.downgrade {
        put(&mut batch, &Row::Downgrade(target.clone()));
    }
    for lease in &effects.leases {
        match *lease {
            LeaseEffect::Set {
                id,
                granted_ttl_s,
                remaining_ttl_s,
            } => {
                put(
                    &mut batch,
                    &Row::Lease(
                        id,
                        LeaseRow {
                            granted_ttl_s,
                            remaining_ttl_s,
                        },
                    ),
                );
            }
            LeaseEffect::Remove(id) => batch.delete(Family::Sys, lease_key(id)),
        }
    }
    for (alarm, is_raised) in &effects.alarms {
        if *is_raised {
            put(&mut batch, &Row::Alarm(*alarm));
        } else {
            batch.delete(Family::Sys, alarm_key(*alarm));
        }
    }
    for (id, attributes) in &effects.members {
        match attributes {
            Some(attributes) => put(&mut batch, &Row::Member(*id, attributes.clone())),
            None => batch.delete(Family::Sys, member_key(*id)),
        }
    }
    for (id, seat) in &effects.seats {
        put(&mut batch, &Row::Seat(*id, *seat));
    }
    for change in &effects.auth.changes {
        auth_row(&mut batch, change);
    }
    (batch, head)
}

/// With [`crate::planted::Fault::AppliedIndexApart`]: writes all but the applied index, which is
/// returned. RocksDB may flush between any two batches; here it often does, so that a kill finds
/// rows without their index.
pub(super) fn rows_first(
    engine: &dyn Engine,
    log_id: LogId,
    batch: WriteBatch,
) -> engine::Result<WriteBatch> {
    let applied_key = Row::Applied(log_id).key();
    let (mut applied, mut rows) = (WriteBatch::new(), WriteBatch::new());
    for op in batch.into_ops() {
        match op {
            Op::Put { family, key, value } if family == Family::Sys && key == applied_key => {
                applied.put(family, key, value);
            }
            Op::Put { family, key, value } => rows.put(family, key, value),
            Op::Delete { family, key } => rows.delete(family, key),
        }
    }
    engine.write(rows)?;
    if log_id.index.is_multiple_of(PLANTED_FLUSH_EACH) {
        engine.flush()?;
    }
    Ok(applied)
}

fn auth_row(batch: &mut WriteBatch, change: &AuthChange) {
    match change {
        AuthChange::Head(head) => put(batch, &Row::Auth(*head)),
        AuthChange::SetUser(user) => put(batch, &Row::User(user.clone())),
        AuthChange::RemoveUser(name) => batch.delete(Family::Sys, user_key(name)),
        AuthChange::SetRole(role) => put(batch, &Row::Role(role.clone())),
        AuthChange::RemoveRole(name) => batch.delete(Family::Sys, role_key(name)),
    }
}

/// Changes the memory as [`rows`] changed the disk, and returns what watchers are to be told.
pub(super) fn remember(
    memory: &mut Memory,
    log_id: LogId,
    head: Head,
    effects: Effects,
) -> Option<RevBatch> {
    memory.applied = Some(log_id);
    if let Some(at) = effects.compact_revision {
        let before = memory.head.compact_revision;
        memory.compactions.push(Pair { before, at });
    }
    memory.head = head;
    let mut changes = Vec::with_capacity(effects.changes.len());
    for (sub, change) in (0_u32..).zip(effects.changes) {
        let key = &change.kv.key;
        match change.after {
            Some(live) => memory.index.put(key, live),
            None => memory.index.delete(
                key,
                Revision {
                    main: head.revision,
                    sub,
                },
            ),
        }
        memory
            .leases
            .move_key(key, lease_of(change.before), lease_of(change.after));
        let previous = change.before.map(|before| before.at);
        changes.push(Change::new(change.kind, change.kv, previous));
    }
    for lease in effects.leases {
        remember_lease(memory, lease);
    }
    for (alarm, is_raised) in effects.alarms {
        if is_raised {
            memory.alarms.insert(alarm);
        } else {
            memory.alarms.remove(&alarm);
        }
    }
    for (id, attributes) in effects.members {
        match attributes {
            Some(attributes) => memory.members.insert(id, attributes),
            None => memory.members.remove(&id),
        };
    }
    memory.seats.extend(effects.seats);
    if let Some(version) = effects.cluster_version {
        memory.cluster_version = Some(version);
    }
    if let Some(target) = effects.downgrade {
        memory.set_downgrade(target);
    }
    if let Some(membership) = effects.membership {
        memory.membership = Some(membership);
    }
    for change in effects.auth.changes {
        memory.auth.apply(change);
    }
    (!changes.is_empty()).then_some(RevBatch {
        revision: head.revision,
        changes,
    })
}

fn remember_lease(memory: &mut Memory, lease: LeaseEffect) {
    let news = memory.lease_news.get_mut();
    match lease {
        LeaseEffect::Set {
            id,
            granted_ttl_s,
            remaining_ttl_s,
        } => {
            if memory.leases.get(id).is_none() {
                let ttl_s = granted_ttl_s;
                news.push(LeaseChange::Granted { id, ttl_s });
            }
            memory.leases.set(id, granted_ttl_s, remaining_ttl_s);
        }
        LeaseEffect::Remove(id) => {
            news.push(LeaseChange::Gone(id));
            memory.leases.remove(id);
        }
    }
}

fn lease_of(live: Option<Live>) -> i64 {
    live.map_or(0, |live| live.lease)
}

/// The rows of one change; returns by how many bytes they grow the store.
fn change_rows(batch: &mut WriteBatch, at: Revision, change: &Written) -> i64 {
    let key: &Bytes = &change.kv.key;
    let live_bytes = |live: &Live| bytes_of(key.len(), live::value(live).len());
    let mut grown = -change.before.as_ref().map_or(0, live_bytes);
    let mut stored = change.kv.clone();
    match &change.after {
        Some(after) => {
            grown += live_bytes(after);
            batch.put(Family::Key, key.to_vec(), live::value(after));
        }
        None => {
            // Stored as etcd stores it: the key alone.
            stored.mod_revision = 0;
            batch.delete(Family::Key, key.to_vec());
        }
    }
    let previous = change.before.map(|before| before.at);
    let row_key = rev::key(at);
    let row = rev::value(change.after.is_none(), previous, &stored);
    grown += bytes_of(row_key.len(), row.len());
    batch.put(Family::Rev, row_key, row);
    grown
}

fn bytes_of(key_len: usize, value_len: usize) -> i64 {
    i64::try_from(key_len + value_len).unwrap_or(i64::MAX)
}

fn put(batch: &mut WriteBatch, row: &Row) {
    batch.put(Family::Sys, row.key(), row.value());
}
