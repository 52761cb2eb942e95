//! The state as etcd's database: everything that the rows of one moment hold, in bbolt's format.
//!
//! Reads rows as they are sent and keeps the few of kinds that never grow. Rows that a compaction has
//! made dead and that are not removed yet go along, and the file says so: etcd finishes the removal
//! when it starts from it, as after a crash.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;

use bolt::{PAGE_BYTES_DEFAULT, Shape, WriteError, Writer};
use bytes::Bytes;
use prost::Message;
use proto_etcd::etcdserverpb::AlarmMember;

use super::schema::{self, LeaseRecord};
use crate::config::CLUSTER_VERSION;
use crate::consensus::{self, LogId, Member};
use crate::engine::{Direction, EngineError, Family, Reader, Span};
use crate::keys::sys::{AuthRow, Gc, Head, Many, Row, Seat};
use crate::keys::{self, Damaged};

/// Why there is no file. Nothing that the state holds is harmed by it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    /// A row cannot be had.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A row cannot be read.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// The membership cannot be read.
    #[error("read the membership")]
    Membership(#[from] std::io::Error),
    /// A member cannot be put into JSON.
    #[error("encode the membership")]
    Json(#[from] serde_json::Error),
    /// Whoever takes the bytes has gone, or a row does not fit the format.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Finds out the size of the file of these rows, which takes reading all of them once.
pub(crate) fn measure(rows: &dyn Reader) -> Result<Shape, ExportError> {
    let writer = Writer::measure(PAGE_BYTES_DEFAULT)?;
    Ok(export(rows, writer)?.1)
}

/// Writes the file of these rows, whose shape was measured.
pub(crate) fn write<W: Write>(rows: &dyn Reader, shape: Shape, sink: W) -> Result<W, ExportError> {
    Ok(export(rows, Writer::new(sink, shape)?)?.0)
}

/// Buckets in the order of their names, as the format wants them.
fn export<W: Write>(rows: &dyn Reader, mut out: Writer<W>) -> Result<(W, Shape), ExportError> {
    let few = Few::read(rows)?;
    put_all(&mut out, schema::ALARM, few.alarms)?;
    put_all(&mut out, schema::AUTH, auth(few.auth))?;
    each(&mut out, rows, schema::AUTH_ROLES, Many::Roles)?;
    each(&mut out, rows, schema::AUTH_USERS, Many::Users)?;
    let version = few.cluster_version.as_deref();
    let cluster = schema::cluster(version, few.downgrade.as_deref())?;
    put_all(&mut out, schema::CLUSTER, cluster)?;
    history(&mut out, rows)?;
    each(&mut out, rows, schema::LEASE, Many::Leases)?;
    let members = few.members.values().map(schema::member);
    put_all(
        &mut out,
        schema::MEMBERS,
        members.collect::<Result<_, _>>()?,
    )?;
    put_all(&mut out, schema::MEMBERS_REMOVED, few.removed)?;
    let state = schema::conf_state(few.members.values())?;
    put_all(
        &mut out,
        schema::META,
        meta(few.applied, few.head, few.gc, state, version),
    )?;
    Ok(out.finish()?)
}

/// What the rows of kinds that never grow hold.
#[derive(Default)]
struct Few {
    applied: LogId,
    head: Head,
    gc: Gc,
    alarms: BTreeMap<Vec<u8>, Vec<u8>>,
    members: BTreeMap<u64, Member>,
    removed: BTreeMap<Vec<u8>, Vec<u8>>,
    cluster_version: Option<String>,
    downgrade: Option<String>,
    auth: AuthRow,
}

impl Few {
    fn read(rows: &dyn Reader) -> Result<Self, ExportError> {
        let mut few = Self::default();
        let mut attributes = Vec::new();
        scan(rows, Family::Sys, Span::ALL, |key, value| {
            if Many::of(key).is_some() {
                return Ok(());
            }
            match Row::parse(key, &Bytes::copy_from_slice(value))? {
                Row::Applied(applied) => few.applied = applied,
                Row::Membership(encoded) => few.members = consensus::members_of(&encoded)?,
                Row::Head(head) => few.head = head,
                Row::Gc(gc) => few.gc = gc,
                Row::Alarm(row) => {
                    let alarm = AlarmMember {
                        member_id: row.member_id,
                        alarm: row.alarm,
                    };
                    few.alarms.insert(alarm.encode_to_vec(), Vec::new());
                }
                Row::Member(id, row) => attributes.push((id, row)),
                Row::ClusterVersion(version) => few.cluster_version = Some(version),
                Row::Downgrade(target) => few.downgrade = (!target.is_empty()).then_some(target),
                Row::Auth(auth) => few.auth = auth,
                Row::Seat(id, Seat::Left) => {
                    let (key, value) = schema::removed(id);
                    few.removed.insert(key, value);
                }
                Row::Seat(_, Seat::Held) | Row::Lease(..) | Row::User(_) | Row::Role(_) => {}
            }
            Ok(())
        })?;
        for (id, row) in attributes {
            if let Some(member) = few.members.get_mut(&id) {
                member.name = row.name;
                member.client_urls = row.client_urls;
            }
        }
        Ok(few)
    }
}

fn auth(row: AuthRow) -> BTreeMap<Vec<u8>, Vec<u8>> {
    BTreeMap::from([
        (
            schema::AUTH_ENABLED.to_vec(),
            vec![u8::from(row.is_enabled)],
        ),
        (
            schema::AUTH_REVISION.to_vec(),
            row.revision.to_be_bytes().to_vec(),
        ),
    ])
}

/// The files' version is the cluster's, also after a downgrade.
fn meta(
    applied: LogId,
    head: Head,
    gc: Gc,
    conf_state: Vec<u8>,
    version: Option<&str>,
) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let version = version.unwrap_or(CLUSTER_VERSION);
    let mut rows = BTreeMap::from([
        (schema::CONF_STATE.to_vec(), conf_state),
        (
            schema::CONSISTENT_INDEX.to_vec(),
            applied.index.to_be_bytes().to_vec(),
        ),
        (schema::TERM.to_vec(), applied.term.to_be_bytes().to_vec()),
        (schema::STORAGE_VERSION.to_vec(), version.into()),
    ]);
    if head.compact_revision >= 0 {
        rows.insert(
            schema::SCHEDULED_COMPACT.to_vec(),
            schema::main_revision(head.compact_revision),
        );
    }
    let finished = gc.done_revision.min(head.compact_revision);
    if finished > 0 {
        rows.insert(
            schema::FINISHED_COMPACT.to_vec(),
            schema::main_revision(finished),
        );
    }
    rows
}

fn put_all<W: Write>(
    out: &mut Writer<W>,
    bucket: &[u8],
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
) -> Result<(), ExportError> {
    out.begin_bucket(bucket)?;
    for (key, value) in rows {
        out.put(&key, &value)?;
    }
    Ok(out.end_bucket()?)
}

/// The rows of a kind of which there may be many. Their order is that of etcd's keys.
fn each<W: Write>(
    out: &mut Writer<W>,
    rows: &dyn Reader,
    bucket: &[u8],
    kind: Many,
) -> Result<(), ExportError> {
    out.begin_bucket(bucket)?;
    let (start, end) = kind.span();
    scan(
        rows,
        Family::Sys,
        Span::between(&start, &end),
        |key, value| {
            match Row::parse(key, &Bytes::copy_from_slice(value))? {
                Row::Lease(id, row) => {
                    let record = LeaseRecord {
                        id,
                        ttl_s: row.granted_ttl_s,
                        remaining_ttl_s: row.remaining_ttl_s,
                    };
                    out.put(&id.to_be_bytes(), &record.encode_to_vec())?;
                }
                Row::User(user) => out.put(&user.name, &user.encode_to_vec())?,
                Row::Role(role) => out.put(&role.name, &role.encode_to_vec())?,
                _ => {}
            }
            Ok(())
        },
    )?;
    Ok(out.end_bucket()?)
}

/// Every change of every key.
fn history<W: Write>(out: &mut Writer<W>, rows: &dyn Reader) -> Result<(), ExportError> {
    out.begin_bucket(schema::KEY)?;
    scan(rows, Family::Rev, Span::ALL, |key, value| {
        let at = keys::rev::parse_key(key)?;
        let (is_tombstone, kv) = keys::rev::split(value)?;
        Ok(out.put(&at.etcd_key(is_tombstone), kv)?)
    })?;
    Ok(out.end_bucket()?)
}

/// Calls `visit` for every row; its first error ends the scan.
fn scan(
    rows: &dyn Reader,
    family: Family,
    span: Span<'_>,
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let mut outcome = Ok(());
    rows.scan(family, span, Direction::Forward, &mut |key, value| {
        outcome = visit(key, value);
        match outcome {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    outcome
}
