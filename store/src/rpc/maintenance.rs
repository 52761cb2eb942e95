//! The Maintenance service: how the member is, and what keeps it well.

use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use proto_etcd::etcdserverpb::alarm_request::AlarmAction;
use proto_etcd::etcdserverpb::maintenance_server::Maintenance as Service;
use proto_etcd::etcdserverpb::{
    AlarmRequest, AlarmResponse, AlarmType, DefragmentRequest, DefragmentResponse,
    DowngradeRequest, DowngradeResponse, HashKvRequest, HashKvResponse, HashRequest, HashResponse,
    InternalRaftRequest, MoveLeaderRequest, MoveLeaderResponse, SnapshotRequest, SnapshotResponse,
    StatusRequest, StatusResponse,
};
use tonic::{Request, Response, Status};

use super::context::Context;
use super::identity::Caller;
use super::status::Error;
use super::{downgrade, snapshot};
use crate::config::ETCD_VERSION;
use crate::limits;

/// See the module.
pub(super) struct Maintenance(pub(super) Arc<Context>);

#[tonic::async_trait]
impl Service for Maintenance {
    async fn alarm(
        &self,
        request: Request<AlarmRequest>,
    ) -> Result<Response<AlarmResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let mut response = if request.action() == AlarmAction::Get {
            self.0.require_user(&caller).await?;
            // What etcd reads by a log entry of its own, a read index gives as well.
            self.0.linearize().await?;
            let mut alarms = self.0.view.alarms();
            alarms
                .retain(|alarm| request.alarm() == AlarmType::None || alarm.alarm == request.alarm);
            AlarmResponse {
                header: None,
                alarms,
            }
        } else {
            self.0.require_admin(&caller).await?;
            let request = InternalRaftRequest {
                alarm: Some(request),
                ..Default::default()
            };
            self.0
                .propose_for::<AlarmResponse>(&caller, request)
                .await?
        };
        self.0.complete(&mut response.header);
        Ok(Response::new(response))
    }

    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        self.0.require_user(&Caller::of(&request)).await?;
        let status = self.0.consensus.status();
        let (total, in_use) = self
            .0
            .off_reactor(|view| view.db_size())
            .await?
            .map_err(Error::from)?;
        let mut errors = Vec::new();
        if status.leader.is_none() {
            errors.push(Error::NoLeader.message());
        }
        for alarm in self.0.view.alarms() {
            errors.push(format!(
                "memberID:{} alarm:{}",
                alarm.member_id,
                alarm.alarm().as_str_name()
            ));
        }
        Ok(Response::new(StatusResponse {
            header: Some(self.0.header()),
            version: ETCD_VERSION.into(),
            db_size: as_i64(total),
            db_size_in_use: as_i64(in_use),
            db_size_quota: limits::quota_or_default(self.0.limits.quota_bytes),
            leader: status.leader.unwrap_or(0),
            raft_index: status.committed,
            raft_applied_index: status.applied,
            raft_term: status.term,
            is_learner: self.0.is_learner(),
            errors,
            storage_version: self.0.view.storage_version(),
            downgrade_info: Some(downgrade::info(&self.0)),
        }))
    }

    async fn defragment(
        &self,
        request: Request<DefragmentRequest>,
    ) -> Result<Response<DefragmentResponse>, Status> {
        self.0.require_admin(&Caller::of(&request)).await?;
        tracing::info!("starting defragment");
        self.0
            .off_reactor(|view| view.defragment())
            .await?
            .map_err(Error::from)?;
        tracing::info!("finished defragment");
        Ok(Response::new(DefragmentResponse::default()))
    }

    async fn hash(&self, request: Request<HashRequest>) -> Result<Response<HashResponse>, Status> {
        self.0.require_admin(&Caller::of(&request)).await?;
        let (hash, revision) = self
            .0
            .off_reactor(|view| view.hash())
            .await?
            .map_err(Error::from)?;
        Ok(Response::new(HashResponse {
            header: Some(self.0.header_at(revision)),
            hash,
        }))
    }

    async fn hash_kv(
        &self,
        request: Request<HashKvRequest>,
    ) -> Result<Response<HashKvResponse>, Status> {
        self.0.require_admin(&Caller::of(&request)).await?;
        let revision = request.into_inner().revision;
        let hashed = self
            .0
            .off_reactor(move |view| match view.compaction_hash(revision)? {
                Some(kept) if revision > 0 => Ok(kept),
                Some(_) | None => view.hash_kv(revision),
            })
            .await?;
        let (hash, current) = hashed.map_err(Error::from)?;
        Ok(Response::new(HashKvResponse {
            header: Some(self.0.header_at(current)),
            hash: hash.hash,
            compact_revision: hash.compact_revision,
            hash_revision: hash.hash_revision,
        }))
    }

    type SnapshotStream = Pin<Box<dyn Stream<Item = Result<SnapshotResponse, Status>> + Send>>;

    async fn snapshot(
        &self,
        request: Request<SnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        self.0.require_admin(&Caller::of(&request)).await?;
        let messages = snapshot::stream(&self.0).await?;
        Ok(Response::new(Box::pin(messages)))
    }

    async fn move_leader(
        &self,
        request: Request<MoveLeaderRequest>,
    ) -> Result<Response<MoveLeaderResponse>, Status> {
        self.0.require_admin(&Caller::of(&request)).await?;
        let target = request.into_inner().target_id;
        let status = self.0.consensus.status();
        if !status.is_leader() {
            return Err(Error::NotLeader.into());
        }
        if status
            .members
            .get(&target)
            .is_none_or(|member| member.is_learner)
        {
            return Err(Error::BadTransferee.into());
        }
        if target != self.0.ids.member {
            let transfer = self.0.consensus.transfer_leader(target, self.0.deadline());
            transfer.await.map_err(Error::from)?;
        }
        Ok(Response::new(MoveLeaderResponse::default()))
    }

    async fn downgrade(
        &self,
        request: Request<DowngradeRequest>,
    ) -> Result<Response<DowngradeResponse>, Status> {
        self.0.require_admin(&Caller::of(&request)).await?;
        let version = downgrade::run(&self.0, request.get_ref()).await?;
        Ok(Response::new(DowngradeResponse {
            header: Some(self.0.header()),
            version,
        }))
    }
}

fn as_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
