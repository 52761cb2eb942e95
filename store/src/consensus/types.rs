//! openraft's type parameters, and the two ways of counting.
//!
//! openraft counts entries from 0, everything else here counts from 1, so that 0 can mean "none".
//! [`ours`] and [`theirs`] are the only places that know.

use std::fmt;

use bytes::Bytes;
use openraft::impls::Vote as RaftVote;
use openraft::type_config::alias;
use openraft::vote::leader_id_std;
use openraft::{EntryPayload, RaftTypeConfig};
use serde::{Deserialize, Serialize};

use super::snapshot::SnapshotData;
use super::{LogId, Member, codec};
use crate::log;

openraft::declare_raft_types!(
    /// One leader a term, as etcd's users expect of `raft_term`.
    pub TypeConfig:
        D = Raw,
        R = Raw,
        NodeId = u64,
        Node = Member,
        LeaderId = RaftLeaderId,
);

/// The type parameters as every part but the wire takes them, whatever the runtime.
pub trait Types:
    RaftTypeConfig<
        D = Raw,
        R = Raw,
        NodeId = u64,
        Node = Member,
        Term = u64,
        LeaderId = RaftLeaderId,
        Vote = Vote,
        Payload = EntryPayload<Raw, u64, Member>,
        Entry = RaftEntry,
    >
{
}

impl Types for TypeConfig {}

/// Who leads: a term has one leader.
pub type RaftLeaderId = leader_id_std::LeaderId<u64, u64>;
/// A member's vote.
pub type Vote = RaftVote<RaftLeaderId>;
pub(super) type LeaderId = leader_id_std::CommittedLeaderId<u64>;
/// A place in the log, in openraft's count.
pub(super) type RaftLogId = openraft::LogId<LeaderId>;
/// An entry, in openraft's form.
pub(super) type RaftEntry = openraft::impls::Entry<LeaderId, EntryPayload<Raw, u64, Member>>;
pub(super) type Membership = openraft::Membership<u64, Member>;
pub(super) type StoredMembership = alias::StoredMembershipOf<TypeConfig>;
/// A whole state, as openraft passes it around.
pub type Snapshot<C = TypeConfig> =
    openraft::storage::Snapshot<LeaderId, u64, Member, SnapshotData<C>>;
pub(super) type SnapshotMeta = alias::SnapshotMetaOf<TypeConfig>;

/// A command or a reply: bytes that consensus does not look into, shared and not copied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raw(#[serde(with = "raw_bytes")] pub Bytes);

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// openraft asks for serde on these types although nothing here sends them that way.
mod raw_bytes {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        bytes: &Bytes,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Bytes, D::Error> {
        Vec::<u8>::deserialize(deserializer).map(Bytes::from)
    }
}

/// openraft's log id, counted our way.
pub(super) fn ours(log_id: RaftLogId) -> LogId {
    LogId {
        term: log_id.leader_id.term,
        index: log_id.index + 1,
    }
}

/// Our log id, counted openraft's way. Index 0 is "none" here and never an entry's.
pub(super) fn theirs(log_id: LogId) -> Option<RaftLogId> {
    let index = log_id.index.checked_sub(1)?;
    Some(RaftLogId {
        leader_id: LeaderId::new(log_id.term),
        index,
    })
}

const KIND_BLANK: u8 = 0;
const KIND_COMMAND: u8 = 1;
const KIND_MEMBERSHIP: u8 = 2;

/// The form in which the log and the wire hold an entry.
pub(super) fn to_log_entry(entry: RaftEntry) -> Result<log::Entry, codec::Error> {
    let (kind, payload) = match entry.payload {
        EntryPayload::Blank => (KIND_BLANK, Bytes::new()),
        EntryPayload::Normal(Raw(command)) => (KIND_COMMAND, command),
        EntryPayload::Membership(membership) => (KIND_MEMBERSHIP, codec::encode(&membership)?),
    };
    Ok(log::Entry {
        log_id: ours(entry.log_id),
        kind,
        payload,
    })
}

/// The opposite of [`to_log_entry`].
pub(super) fn from_log_entry(entry: log::Entry) -> Result<RaftEntry, codec::Error> {
    let payload = match entry.kind {
        KIND_BLANK => EntryPayload::Blank,
        KIND_COMMAND => EntryPayload::Normal(Raw(entry.payload)),
        KIND_MEMBERSHIP => EntryPayload::Membership(codec::decode(&entry.payload)?),
        kind => return Err(codec::Error::Kind(kind)),
    };
    let log_id = theirs(entry.log_id).ok_or(codec::Error::Index)?;
    Ok(RaftEntry { log_id, payload })
}
