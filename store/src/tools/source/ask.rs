//! What the source is asked.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use proto_etcd::etcdserverpb::auth_client::AuthClient;
use proto_etcd::etcdserverpb::kv_client::KvClient;
use proto_etcd::etcdserverpb::lease_client::LeaseClient;
use proto_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use proto_etcd::etcdserverpb::{
    AlarmRequest, AuthStatusRequest, HashKvRequest, LeaseLeasesRequest, LeaseTimeToLiveRequest,
    RangeRequest,
};

use super::{MESSAGE_BYTES_MAX, Source, SourceError};
use crate::tools::follow::{Changes, is_deletion};
use crate::tools::hashkv::HashKv;

/// Leases asked for at once.
const LEASES_IN_FLIGHT_MAX: usize = 32;

/// How long a hash of the whole history may take.
const HASH_LIMIT: Duration = Duration::from_secs(600);

/// Where the source stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) cluster_id: u64,
    pub(crate) revision: i64,
}

/// An alarm: its type and who raised it.
pub(crate) type Alarm = (i32, u64);

impl Source {
    /// The newest revision, read linearizably: whatever was acknowledged before is in it, and applied by
    /// the member that answers.
    pub(crate) async fn position(&mut self) -> Result<Position, SourceError> {
        self.ask("its revision", async |line| {
            let request = RangeRequest {
                key: b"\0".as_slice().into(),
                count_only: true,
                ..Default::default()
            };
            let mut client = KvClient::new(line.channel.clone());
            let answer = client.range(line.request(request));
            let header = answer.await?.into_inner().header.unwrap_or_default();
            Ok(Position {
                cluster_id: header.cluster_id,
                revision: header.revision,
            })
        })
        .await
    }

    /// How often users and roles were changed, and whether they are on.
    pub(crate) async fn auth_revision(&mut self) -> Result<(u64, bool), SourceError> {
        self.ask("the state of its users", async |line| {
            let request = line.request(AuthStatusRequest {});
            let mut client = AuthClient::new(line.channel.clone());
            let answer = client.auth_status(request);
            let answer = answer.await?.into_inner();
            Ok((answer.auth_revision, answer.enabled))
        })
        .await
    }

    /// The alarms raised.
    pub(crate) async fn alarms(&mut self) -> Result<BTreeSet<Alarm>, SourceError> {
        self.ask("its alarms", async |line| {
            // The request of no deed asks for all.
            let request = line.request(AlarmRequest::default());
            let mut client = MaintenanceClient::new(line.channel.clone());
            let answer = client.alarm(request);
            let alarms = answer.await?.into_inner().alarms;
            Ok(alarms
                .iter()
                .map(|alarm| (alarm.alarm, alarm.member_id))
                .collect())
        })
        .await
    }

    /// The ids of its leases.
    pub(crate) async fn leases(&mut self) -> Result<BTreeSet<i64>, SourceError> {
        self.ask("its leases", async |line| {
            let client = LeaseClient::new(line.channel.clone());
            let mut client = client.max_decoding_message_size(MESSAGE_BYTES_MAX);
            let answer = client.lease_leases(line.request(LeaseLeasesRequest {}));
            let leases = answer.await?.into_inner().leases;
            Ok(leases.iter().map(|lease| lease.id).collect())
        })
        .await
    }

    /// The seconds that were granted to each of these leases; 0 for one that is gone.
    pub(crate) async fn granted_ttls(
        &mut self,
        ids: &BTreeSet<i64>,
    ) -> Result<Vec<(i64, i64)>, SourceError> {
        let mut found = Vec::with_capacity(ids.len());
        let ids: Vec<i64> = ids.iter().copied().collect();
        // Few enough at once for the deadline of one question.
        for some in ids.chunks(LEASES_IN_FLIGHT_MAX * 8) {
            let ttls = self.ask("the times of its leases", async |line| {
                let asked = some.iter().map(|id| {
                    let line = line.clone();
                    async move {
                        let request = LeaseTimeToLiveRequest {
                            id: *id,
                            keys: false,
                        };
                        let mut client = LeaseClient::new(line.channel.clone());
                        let answer = client.lease_time_to_live(line.request(request)).await?;
                        let answer = answer.into_inner();
                        let is_gone = answer.ttl < 0;
                        Ok((*id, if is_gone { 0 } else { answer.granted_ttl }))
                    }
                });
                let asked: Vec<_> = asked.collect();
                let answers = futures::stream::iter(asked).buffer_unordered(LEASES_IN_FLIGHT_MAX);
                answers.try_collect::<Vec<_>>().await
            });
            found.extend(ttls.await?);
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Whether its history has these changes, as far as it still knows.
    pub(crate) async fn has(&mut self, changes: &Changes) -> Result<bool, SourceError> {
        let event = changes.events.first();
        let Some((event, kv)) = event.and_then(|event| Some((event, event.kv.as_ref()?))) else {
            return Ok(true);
        };
        let found = self.ask("a change that is held", async |line| {
            let request = RangeRequest {
                key: kv.key.clone(),
                revision: changes.revision,
                ..Default::default()
            };
            let client = KvClient::new(line.channel.clone());
            let mut client = client.max_decoding_message_size(MESSAGE_BYTES_MAX);
            match client.range(line.request(request)).await {
                Ok(answer) => Ok(Some(answer.into_inner().kvs)),
                Err(status) if status.message().contains("has been compacted") => Ok(None),
                Err(status) => Err(status),
            }
        });
        let Some(found) = found.await? else {
            return Ok(true);
        };
        Ok(match is_deletion(event) {
            true => found.is_empty(),
            false => found.first() == Some(kv),
        })
    }

    /// The hash of its history up to a revision, by a member that has come so far and knows of the
    /// compaction at `compacted`. None if the source has compacted the revision away, or has compacted
    /// at it and gone on: of a compaction itself etcd tells another hash, of how it was before.
    pub(crate) async fn hash_at(
        &mut self,
        revision: i64,
        compacted: i64,
    ) -> Result<Option<HashKv>, SourceError> {
        self.ask_within("its hash", HASH_LIMIT, async |line| {
            let is_newest = revision == compacted;
            let asked = if is_newest { 0 } else { revision };
            let request = line.request(HashKvRequest { revision: asked });
            let mut client = MaintenanceClient::new(line.channel.clone());
            let answer = client.hash_kv(request);
            let answer = match answer.await {
                Ok(answer) => answer.into_inner(),
                Err(status) if status.message().contains("has been compacted") => return Ok(None),
                Err(status) if status.message().contains("is a future revision") => {
                    let words = "the member has not come to this revision";
                    return Err(tonic::Status::unavailable(words));
                }
                Err(status) => return Err(status),
            };
            let at = answer.header.as_ref().map(|header| header.revision);
            if is_newest && at > Some(revision) {
                return Ok(None);
            }
            if answer.compact_revision < compacted || is_newest && at < Some(revision) {
                let words = "the member does not know of the last compaction";
                return Err(tonic::Status::unavailable(words));
            }
            Ok(Some(HashKv {
                hash: answer.hash,
                hash_revision: revision,
                compact_revision: answer.compact_revision,
            }))
        })
        .await
    }
}
