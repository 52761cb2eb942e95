//! Rows of family `sys`: everything that is not a key or a change of one.

use bytes::Bytes;
use prost::Message;
use proto_etcd::authpb::{Role, User};
use proto_etcd::membershippb::Attributes;

mod fields;

use super::Damaged;
use crate::consensus::LogId;
use fields::{check_name, numbers, parse_alarm, parse_auth, parse_seat, parse_version};

const VERSION: u8 = 1;

const APPLIED: u8 = 1;
const MEMBERSHIP: u8 = 2;
const HEAD: u8 = 3;
const GC: u8 = 4;
const LEASE: u8 = 5;
const ALARM: u8 = 6;
const MEMBER: u8 = 7;
const CLUSTER_VERSION: u8 = 8;
const AUTH: u8 = 9;
const USER: u8 = 10;
const ROLE: u8 = 11;
const SEAT: u8 = 12;
const DOWNGRADE: u8 = 13;

/// Where the key-value state stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The newest revision.
    pub revision: i64,
    /// The newest compaction; -1 if there was none, as etcd counts.
    pub compact_revision: i64,
    /// Bytes of rows written less those of live rows removed. Only ever changed by applied entries.
    pub written_bytes: i64,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            revision: 1,
            compact_revision: -1,
            written_bytes: 0,
        }
    }
}

/// How far old revisions have been removed from the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gc {
    /// Everything that a compaction at this revision makes dead is gone.
    pub done_revision: i64,
    /// Bytes of rows removed so far.
    pub freed_bytes: i64,
}

/// A lease, without the keys attached to it: those carry its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRow {
    /// The time to live that was granted, in seconds.
    pub granted_ttl_s: i64,
    /// What was left of it at the last checkpoint; 0 if there was none.
    pub remaining_ttl_s: i64,
}

/// An alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AlarmRow {
    /// `etcdserverpb.AlarmType`.
    pub alarm: i32,
    /// Who raised it.
    pub member_id: u64,
}

/// Whether a member still belongs to the cluster. A seat that was left is never taken again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// The member is in the last membership applied.
    Held,
    /// It was in an earlier one.
    Left,
}

/// Where users and roles stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthRow {
    /// Whether requests must say who sends them.
    pub is_enabled: bool,
    /// Counts changes, from 1 on, as etcd counts.
    pub revision: u64,
}

impl Default for AuthRow {
    fn default() -> Self {
        Self {
            is_enabled: false,
            revision: 1,
        }
    }
}

/// Kinds of which there may be many rows, ordered by id or name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Many {
    /// [`Row::Lease`].
    Leases,
    /// [`Row::User`].
    Users,
    /// [`Row::Role`].
    Roles,
}

impl Many {
    /// The kind of the row at `key`, if it is one of these.
    pub fn of(key: &[u8]) -> Option<Self> {
        match key.first() {
            Some(&LEASE) => Some(Self::Leases),
            Some(&USER) => Some(Self::Users),
            Some(&ROLE) => Some(Self::Roles),
            _ => None,
        }
    }

    /// Where the rows begin, and the key after them.
    pub fn span(self) -> ([u8; 1], [u8; 1]) {
        let ordinal = match self {
            Self::Leases => LEASE,
            Self::Users => USER,
            Self::Roles => ROLE,
        };
        ([ordinal], [ordinal + 1])
    }
}

/// One row, read.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    /// The last entry applied.
    Applied(LogId),
    /// The last membership applied.
    Membership(Bytes),
    /// See [`Head`].
    Head(Head),
    /// See [`Gc`].
    Gc(Gc),
    /// A lease by id.
    Lease(i64, LeaseRow),
    /// An alarm.
    Alarm(AlarmRow),
    /// A member's name and client URLs, by id.
    Member(u64, Attributes),
    /// The version that every member of the cluster understands.
    ClusterVersion(String),
    /// The version that the cluster is being downgraded to; empty once that was cancelled.
    Downgrade(String),
    /// See [`AuthRow`].
    Auth(AuthRow),
    /// A user, by name.
    User(User),
    /// A role, by name.
    Role(Role),
    /// A member's seat, by id.
    Seat(u64, Seat),
}

impl Row {
    /// The row's key.
    pub fn key(&self) -> Vec<u8> {
        match self {
            Self::Applied(_) => vec![APPLIED],
            Self::Membership(_) => vec![MEMBERSHIP],
            Self::Head(_) => vec![HEAD],
            Self::Gc(_) => vec![GC],
            Self::Lease(id, _) => lease_key(*id),
            Self::Alarm(alarm) => alarm_key(*alarm),
            Self::Member(id, _) => member_key(*id),
            Self::ClusterVersion(_) => vec![CLUSTER_VERSION],
            Self::Downgrade(_) => vec![DOWNGRADE],
            Self::Auth(_) => vec![AUTH],
            Self::User(user) => user_key(&user.name),
            Self::Role(role) => role_key(&role.name),
            Self::Seat(id, _) => with_suffix(SEAT, &id.to_be_bytes()),
        }
    }

    /// The row's value.
    pub fn value(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        match self {
            Self::Applied(log_id) => {
                out.extend(log_id.term.to_be_bytes());
                out.extend(log_id.index.to_be_bytes());
            }
            Self::Membership(bytes) => out.extend(bytes),
            Self::Head(head) => {
                for number in [head.revision, head.compact_revision, head.written_bytes] {
                    out.extend(number.to_be_bytes());
                }
            }
            Self::Gc(gc) => {
                for number in [gc.done_revision, gc.freed_bytes] {
                    out.extend(number.to_be_bytes());
                }
            }
            Self::Lease(_, lease) => {
                for number in [lease.granted_ttl_s, lease.remaining_ttl_s] {
                    out.extend(number.to_be_bytes());
                }
            }
            Self::Alarm(_) => {}
            Self::Member(_, attributes) => out.extend(attributes.encode_to_vec()),
            Self::ClusterVersion(version) | Self::Downgrade(version) => {
                out.extend(version.as_bytes());
            }
            Self::Auth(auth) => {
                out.push(u8::from(auth.is_enabled));
                out.extend(auth.revision.to_be_bytes());
            }
            Self::User(user) => out.extend(user.encode_to_vec()),
            Self::Role(role) => out.extend(role.encode_to_vec()),
            Self::Seat(_, Seat::Held) => out.push(1),
            Self::Seat(_, Seat::Left) => out.push(2),
        }
        out
    }

    /// Reads a row. An ordinal that is not in the list is an error: a later program wrote it.
    pub fn parse(key: &[u8], value: &Bytes) -> Result<Self, Damaged> {
        let (ordinal, suffix) = key.split_first().ok_or(Damaged::new("sys", "empty key"))?;
        if value.first() != Some(&VERSION) {
            return Err(Damaged::new("sys", "unknown version"));
        }
        let body = value.slice(1..);
        let row = match *ordinal {
            APPLIED => {
                let [term, index] = numbers(&body, "applied")?;
                Self::Applied(LogId {
                    term: term.cast_unsigned(),
                    index: index.cast_unsigned(),
                })
            }
            MEMBERSHIP => Self::Membership(body),
            HEAD => {
                let [revision, compact_revision, written_bytes] = numbers(&body, "head")?;
                Self::Head(Head {
                    revision,
                    compact_revision,
                    written_bytes,
                })
            }
            GC => {
                let [done_revision, freed_bytes] = numbers(&body, "gc")?;
                Self::Gc(Gc {
                    done_revision,
                    freed_bytes,
                })
            }
            LEASE => {
                let [id] = numbers(suffix, "lease")?;
                let [granted_ttl_s, remaining_ttl_s] = numbers(&body, "lease")?;
                Self::Lease(
                    id,
                    LeaseRow {
                        granted_ttl_s,
                        remaining_ttl_s,
                    },
                )
            }
            ALARM => Self::Alarm(parse_alarm(suffix)?),
            MEMBER => {
                let [id] = numbers(suffix, "member")?;
                let attributes = Attributes::decode(body)
                    .map_err(|_| Damaged::new("member", "bad attributes"))?;
                Self::Member(id.cast_unsigned(), attributes)
            }
            CLUSTER_VERSION => Self::ClusterVersion(parse_version("cluster version", &body)?),
            DOWNGRADE => Self::Downgrade(parse_version("downgrade", &body)?),
            AUTH => Self::Auth(parse_auth(&body)?),
            USER => {
                let user = User::decode(body).map_err(|_| Damaged::new("user", "bad user"))?;
                check_name("user", suffix, &user.name)?;
                Self::User(user)
            }
            ROLE => {
                let role = Role::decode(body).map_err(|_| Damaged::new("role", "bad role"))?;
                check_name("role", suffix, &role.name)?;
                Self::Role(role)
            }
            SEAT => {
                let [id] = numbers(suffix, "seat")?;
                Self::Seat(id.cast_unsigned(), parse_seat(&body)?)
            }
            _ => return Err(Damaged::new("sys", "unknown ordinal")),
        };
        Ok(row)
    }
}

/// The key of a user's row.
pub fn user_key(name: &[u8]) -> Vec<u8> {
    with_suffix(USER, name)
}

/// The key of a role's row.
pub fn role_key(name: &[u8]) -> Vec<u8> {
    with_suffix(ROLE, name)
}

/// The key of a lease's row.
pub fn lease_key(id: i64) -> Vec<u8> {
    with_suffix(LEASE, &id.to_be_bytes())
}

/// The key of a member's row.
pub fn member_key(id: u64) -> Vec<u8> {
    with_suffix(MEMBER, &id.to_be_bytes())
}

/// The key of an alarm's row.
pub fn alarm_key(alarm: AlarmRow) -> Vec<u8> {
    let mut suffix = alarm.alarm.to_be_bytes().to_vec();
    suffix.extend(alarm.member_id.to_be_bytes());
    with_suffix(ALARM, &suffix)
}

fn with_suffix(ordinal: u8, suffix: &[u8]) -> Vec<u8> {
    let mut out = vec![ordinal];
    out.extend(suffix);
    out
}

/// True if members of equal state hold the same row at `key`: not so the applied term, the
/// membership's encoding and the progress of removal.
pub fn is_replicated_exactly(key: &[u8]) -> bool {
    !matches!(key.first(), Some(&(APPLIED | MEMBERSHIP | GC)))
}
