//! Decides a command on the present state: what it changes, and what its proposer is told. Pure:
//! reads the state and writes nothing.

use bytes::Bytes;
use prost::Message;
use proto_etcd::etcdserverpb::alarm_request::AlarmAction;
use proto_etcd::etcdserverpb::{
    AlarmMember, AlarmRequest, AlarmResponse, AlarmType, CompactionRequest, CompactionResponse,
    EmptyResponse, InternalRaftRequest, LeaseCheckpointResponse, LeaseGrantRequest,
    LeaseGrantResponse, LeaseRevokeResponse, PutRequest, ResponseHeader, TxnRequest,
};
use proto_etcd::membershippb::Attributes;

use super::memory::Memory;
use super::quota::{self, LEASE_COST_BYTES};
use crate::auth::Plan;
use crate::command::ApplyError;
use crate::consensus::Fatal;
use crate::keys::sys::{AlarmRow, Seat};
use crate::lease::table::TTL_MAX_S;
use crate::metrics::KvCalls;
use crate::mvcc::source::Stored;
use crate::mvcc::{self, Writer, Written, compact, range};

/// What an entry changes beside the applied index.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// Changes of keys: one revision if there is any.
    pub(super) changes: Vec<Written>,
    /// Changes of leases, after those of keys.
    pub(super) leases: Vec<LeaseEffect>,
    /// Alarms raised (true) or cleared.
    pub(super) alarms: Vec<(AlarmRow, bool)>,
    /// Attributes of members; none removes them.
    pub(super) members: Vec<(u64, Option<Attributes>)>,
    /// Seats taken or left.
    pub(super) seats: Vec<(u64, Seat)>,
    /// A new cluster version.
    pub(super) cluster_version: Option<String>,
    /// What a downgrade goes to; empty if it was cancelled.
    pub(super) downgrade: Option<String>,
    /// A new compaction.
    pub(super) compact_revision: Option<i64>,
    /// A new membership.
    pub(super) membership: Option<Bytes>,
    /// Users, roles and tokens.
    pub(super) auth: Plan,
    /// What was asked for; changes nothing.
    pub(super) calls: KvCalls,
}

/// A change of one lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeaseEffect {
    /// It is granted, or its times change.
    Set {
        id: i64,
        granted_ttl_s: i64,
        remaining_ttl_s: i64,
    },
    /// It is gone.
    Remove(i64),
}

/// What a command comes to.
pub(super) struct Outcome {
    /// For the proposer.
    pub(super) result: Result<Bytes, ApplyError>,
    /// For the state.
    pub(super) effects: Effects,
}

impl Outcome {
    fn refused(error: ApplyError) -> Self {
        Self {
            result: Err(error),
            effects: Effects::default(),
        }
    }

    pub(super) fn with(response: &impl Message, effects: Effects) -> Self {
        Self {
            result: Ok(response.encode_to_vec().into()),
            effects,
        }
    }
}

/// Why a command has no outcome of its own yet.
pub(super) enum Stop {
    Refused(ApplyError),
    Fatal(Fatal),
}

impl From<mvcc::Error> for Stop {
    fn from(error: mvcc::Error) -> Self {
        Self::Refused(match error {
            mvcc::Error::Compacted => ApplyError::Compacted,
            mvcc::Error::FutureRev => ApplyError::FutureRev,
            mvcc::Error::KeyNotFound => ApplyError::KeyNotFound,
            mvcc::Error::LeaseNotFound => ApplyError::LeaseNotFound,
            mvcc::Error::Storage(fatal) => return Self::Fatal(fatal),
        })
    }
}

/// Decides `request`, which stands at `index` in the log. `quota_bytes` only colours the answer.
pub(super) fn decide(
    memory: &Memory,
    quota_bytes: Option<u64>,
    index: u64,
    request: &InternalRaftRequest,
) -> Result<Outcome, Fatal> {
    let command = Command {
        memory,
        quota_bytes,
        index,
    };
    match command.run(request) {
        Ok(outcome) => Ok(outcome),
        Err(Stop::Refused(error)) => Ok(Outcome::refused(error)),
        Err(Stop::Fatal(fatal)) => Err(fatal),
    }
}

pub(super) struct Command<'a> {
    pub(super) memory: &'a Memory,
    quota_bytes: Option<u64>,
    pub(super) index: u64,
}

impl Command<'_> {
    fn run(&self, request: &InternalRaftRequest) -> Result<Outcome, Stop> {
        if let Some(set) = &request.cluster_member_attr_set {
            let attributes = set.member_attributes.clone().unwrap_or_default();
            let members = vec![(set.member_id, Some(attributes))];
            return Ok(self.done(Effects {
                members,
                ..Effects::default()
            }));
        }
        if let Some(set) = &request.cluster_version_set {
            let cluster_version = Some(set.ver.clone());
            return Ok(self.done(Effects {
                cluster_version,
                ..Effects::default()
            }));
        }
        if let Some(set) = &request.downgrade_info_set {
            let target = if set.enabled {
                set.ver.clone()
            } else {
                String::new()
            };
            return Ok(self.done(Effects {
                downgrade: Some(target),
                ..Effects::default()
            }));
        }
        if let Some(alarm) = &request.alarm {
            return Ok(self.alarm(alarm));
        }
        if let Some(checkpoint) = &request.lease_checkpoint {
            return Ok(self.lease_checkpoint(checkpoint));
        }
        if let Some(outcome) = self.auth(request)? {
            return Ok(outcome);
        }
        self.gate(request)?;
        self.permit(request)?;
        if let Some(put) = &request.put {
            self.put(put)
        } else if let Some(txn) = &request.txn {
            self.txn(txn)
        } else if let Some(delete) = &request.delete_range {
            let mut writer = self.writer();
            let response = writer.delete_range(delete)?;
            Ok(Outcome::with(&response, changes(writer)))
        } else if let Some(range) = &request.range {
            let selected = range::select(range, &self.memory.base())?;
            let stored = Stored(self.memory.generation.engine());
            let response = range::respond(range, selected, &stored)?;
            Ok(Outcome::with(&response, Effects::default()))
        } else if let Some(compaction) = &request.compaction {
            self.compaction(compaction)
        } else if let Some(grant) = &request.lease_grant {
            self.lease_grant(grant)
        } else if let Some(revoke) = &request.lease_revoke {
            self.lease_revoke(revoke.id)
        } else {
            // A command of a later program.
            Err(Stop::Refused(ApplyError::Unsupported))
        }
    }

    /// What alarms forbid. A suspected corruption stops everything, a full store what adds data.
    fn gate(&self, request: &InternalRaftRequest) -> Result<(), Stop> {
        if self.memory.has_alarm(AlarmType::Corrupt) {
            return Err(Stop::Refused(ApplyError::Corrupt));
        }
        let adds_data = request.put.is_some()
            || request.lease_grant.is_some()
            || request
                .txn
                .as_ref()
                .is_some_and(|txn| quota::txn_cost(txn) > 0);
        if adds_data && self.memory.has_alarm(AlarmType::Nospace) {
            return Err(Stop::Refused(ApplyError::NoSpace));
        }
        Ok(())
    }

    fn writer(&self) -> Writer<'_> {
        let engine = self.memory.generation.engine();
        Writer::new(self.memory.base(), engine, &self.memory.leases)
    }

    pub(super) fn header(&self) -> Option<ResponseHeader> {
        let revision = self.memory.head.revision;
        Some(ResponseHeader {
            revision,
            ..ResponseHeader::default()
        })
    }

    fn done(&self, effects: Effects) -> Outcome {
        Outcome::with(&EmptyResponse::default(), effects)
    }

    /// As etcd: what goes over the quota is applied all the same, and its proposer is told that the
    /// store is full, which raises the alarm for those after it.
    fn within_quota(&self, cost: u64, outcome: Outcome) -> Outcome {
        let in_use = u64::try_from(self.memory.bytes_in_use()).unwrap_or(0);
        let fits = |quota: u64| cost == 0 || in_use.saturating_add(cost) < quota;
        if self.quota_bytes.is_none_or(fits) {
            return outcome;
        }
        Outcome {
            result: Err(ApplyError::NoSpace),
            effects: outcome.effects,
        }
    }

    fn put(&self, request: &PutRequest) -> Result<Outcome, Stop> {
        let mut writer = self.writer();
        let response = writer.put(request)?;
        let outcome = Outcome::with(&response, changes(writer));
        Ok(self.within_quota(quota::put_cost(request), outcome))
    }

    fn txn(&self, request: &TxnRequest) -> Result<Outcome, Stop> {
        let mut writer = self.writer();
        let response = writer.txn(request)?;
        let outcome = Outcome::with(&response, changes(writer));
        Ok(self.within_quota(quota::txn_cost(request), outcome))
    }

    fn compaction(&self, request: &CompactionRequest) -> Result<Outcome, Stop> {
        compact::check(request.revision, &self.memory.base())?;
        let effects = Effects {
            compact_revision: Some(request.revision),
            ..Effects::default()
        };
        Ok(Outcome::with(
            &CompactionResponse {
                header: self.header(),
            },
            effects,
        ))
    }

    fn lease_grant(&self, request: &LeaseGrantRequest) -> Result<Outcome, Stop> {
        let LeaseGrantRequest { id, ttl } = *request;
        // The proposer chooses an id; without one there is no lease to speak of, as in etcd.
        if id == 0 {
            return Err(Stop::Refused(ApplyError::LeaseNotFound));
        }
        if ttl > TTL_MAX_S {
            return Err(Stop::Refused(ApplyError::LeaseTtlTooLarge));
        }
        if self.memory.leases.get(id).is_some() {
            return Err(Stop::Refused(ApplyError::LeaseExists));
        }
        let lease = LeaseEffect::Set {
            id,
            granted_ttl_s: ttl,
            remaining_ttl_s: 0,
        };
        let response = LeaseGrantResponse {
            header: self.header(),
            id,
            ttl,
            error: String::new(),
        };
        let effects = Effects {
            leases: vec![lease],
            ..Effects::default()
        };
        Ok(self.within_quota(LEASE_COST_BYTES, Outcome::with(&response, effects)))
    }

    /// The keys go in sorted order, in one revision together with the lease.
    fn lease_revoke(&self, id: i64) -> Result<Outcome, Stop> {
        let Some(lease) = self.memory.leases.get(id) else {
            return Err(Stop::Refused(ApplyError::LeaseNotFound));
        };
        let mut writer = self.writer();
        for key in &lease.keys {
            writer.delete_key(key);
        }
        let mut effects = changes(writer);
        effects.leases.push(LeaseEffect::Remove(id));
        let revision = self.memory.head.revision + i64::from(!effects.changes.is_empty());
        let header = Some(ResponseHeader {
            revision,
            ..ResponseHeader::default()
        });
        Ok(Outcome::with(&LeaseRevokeResponse { header }, effects))
    }

    /// Leases that are gone are passed over.
    fn lease_checkpoint(
        &self,
        request: &proto_etcd::etcdserverpb::LeaseCheckpointRequest,
    ) -> Outcome {
        let set = |id: i64, remaining_ttl_s: i64| {
            let lease = self.memory.leases.get(id)?;
            let granted_ttl_s = lease.granted_ttl_s;
            Some(LeaseEffect::Set {
                id,
                granted_ttl_s,
                remaining_ttl_s,
            })
        };
        let checkpoints = request.checkpoints.iter();
        let leases = checkpoints
            .filter_map(|point| set(point.id, point.remaining_ttl))
            .collect();
        let response = LeaseCheckpointResponse {
            header: self.header(),
        };
        Outcome::with(
            &response,
            Effects {
                leases,
                ..Effects::default()
            },
        )
    }

    fn alarm(&self, request: &AlarmRequest) -> Outcome {
        let row = AlarmRow {
            alarm: request.alarm,
            member_id: request.member_id,
        };
        let is_none = request.alarm == AlarmType::None as i32;
        let mut effects = Effects::default();
        let shown: Vec<AlarmRow> = match AlarmAction::try_from(request.action) {
            Ok(AlarmAction::Get) => {
                let rows = self.memory.alarms.iter().copied();
                rows.filter(|row| is_none || row.alarm == request.alarm)
                    .collect()
            }
            Ok(AlarmAction::Activate) if !is_none => {
                effects.alarms.push((row, true));
                vec![row]
            }
            Ok(AlarmAction::Deactivate) if self.memory.alarms.contains(&row) => {
                effects.alarms.push((row, false));
                vec![row]
            }
            Ok(AlarmAction::Activate | AlarmAction::Deactivate) | Err(_) => Vec::new(),
        };
        let alarms = shown.into_iter().map(alarm_member).collect();
        Outcome::with(
            &AlarmResponse {
                header: self.header(),
                alarms,
            },
            effects,
        )
    }
}

/// An alarm as clients see it.
pub(super) fn alarm_member(row: AlarmRow) -> AlarmMember {
    AlarmMember {
        member_id: row.member_id,
        alarm: row.alarm,
    }
}

fn changes(writer: Writer<'_>) -> Effects {
    let (changes, calls) = writer.into_changes();
    Effects {
        changes,
        calls,
        ..Effects::default()
    }
}
