//! The Lease service. Grants and revokes go through consensus; renewals and remaining times are
//! asked of the leader.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use futures::{Stream, StreamExt};
use proto_etcd::etcdserverpb::lease_server::Lease as Service;
use proto_etcd::etcdserverpb::{
    InternalRaftRequest, LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest,
    LeaseKeepAliveResponse, LeaseLeasesRequest, LeaseLeasesResponse, LeaseRevokeRequest,
    LeaseRevokeResponse, LeaseStatus, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
use tonic::{Request, Response, Status, Streaming};

use super::context::Context;
use super::gate::requires_leader;
use super::identity::Caller;
use super::status::Error;
use crate::limits;

/// etcd's estimate of what a lease takes.
const LEASE_COST_BYTES: u64 = 64;

/// See the module.
pub(super) struct Lease(pub(super) Arc<Context>);

impl Lease {
    /// Grants a lease; the request's id may be 0.
    pub(super) async fn grant(
        &self,
        caller: &Caller,
        mut request: LeaseGrantRequest,
    ) -> Result<LeaseGrantResponse, Error> {
        if request.id == 0 {
            // Positive, as etcd's: other tools print it as a hexadecimal number.
            request.id = i64::try_from(self.0.new_id() & (u64::MAX >> 1))
                .unwrap_or(1)
                .max(1);
        }
        // Settled before it is replicated: members need not have the same settings.
        request.ttl = request.ttl.max(self.0.limits.lease_ttl_min_seconds);
        self.0.reserve(LEASE_COST_BYTES).await?;
        self.0.require_user(caller).await?;
        if request.ttl > limits::LEASE_TTL_MAX_SECONDS {
            return Err(Error::LeaseTtlTooLarge);
        }
        let started = Instant::now();
        let request = InternalRaftRequest {
            lease_grant: Some(request),
            ..Default::default()
        };
        let proposed = self.0.propose_for::<LeaseGrantResponse>(caller, request);
        let result = proposed.await;
        self.0
            .metrics
            .request("LeaseGrant", started, result.is_ok());
        let mut response = result?;
        self.0.metrics.lease_granted(response.ttl);
        self.0.complete(&mut response.header);
        Ok(response)
    }
}

#[tonic::async_trait]
impl Service for Lease {
    async fn lease_grant(
        &self,
        request: Request<LeaseGrantRequest>,
    ) -> Result<Response<LeaseGrantResponse>, Status> {
        let caller = Caller::of(&request);
        let response = self.grant(&caller, request.into_inner()).await?;
        Ok(Response::new(response))
    }

    async fn lease_revoke(
        &self,
        request: Request<LeaseRevokeRequest>,
    ) -> Result<Response<LeaseRevokeResponse>, Status> {
        let caller = Caller::of(&request);
        self.0.require_user(&caller).await?;
        let started = Instant::now();
        let request = InternalRaftRequest {
            lease_revoke: Some(request.into_inner()),
            ..Default::default()
        };
        let proposed = self.0.propose_for::<LeaseRevokeResponse>(&caller, request);
        let result = proposed.await;
        self.0
            .metrics
            .request("LeaseRevoke", started, result.is_ok());
        let mut response = result?;
        self.0.metrics.leases_revoked.inc();
        self.0.complete(&mut response.header);
        Ok(Response::new(response))
    }

    type LeaseKeepAliveStream =
        Pin<Box<dyn Stream<Item = Result<LeaseKeepAliveResponse, Status>> + Send>>;

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        let requires_leader = requires_leader(&request.metadata().clone().into_headers());
        let caller = Caller::of(&request);
        let session = Session {
            context: self.0.clone(),
            requests: request.into_inner(),
            requires_leader,
            ended: false,
        };
        let asked = futures::stream::unfold(session, |mut session| async move {
            let id = session.next().await?;
            Some((id, session))
        });
        let context = self.0.clone();
        // What a client has sent together shares the confirmations of the leader.
        let answers = asked
            .map(move |id| answer(context.clone(), caller.clone(), id))
            .buffered(limits::RENEWALS_IN_FLIGHT_MAX);
        // The first fault is the last answer.
        let answers = answers.scan(false, |ended, answer| {
            let is_over = std::mem::replace(ended, answer.is_err());
            std::future::ready((!is_over).then_some(answer))
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<LeaseTimeToLiveRequest>,
    ) -> Result<Response<LeaseTimeToLiveResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let identity = self.0.require_user(&caller).await?;
        let answer = self.0.lessor.time_to_live(request.id, request.keys).await;
        let mut response = answer.map_err(Error::from)?;
        if request.keys && self.0.view.auth().is_enabled {
            // The leader may know of a key, or of a lost right, that this member has not seen yet.
            self.0.linearize().await?;
            let checked = self.0.view.check_lease_keys(&identity, &response.keys);
            checked.map_err(Error::from)?;
        }
        self.0.complete(&mut response.header);
        Ok(Response::new(response))
    }

    async fn lease_leases(
        &self,
        request: Request<LeaseLeasesRequest>,
    ) -> Result<Response<LeaseLeasesResponse>, Status> {
        let identity = self.0.identify(&Caller::of(&request)).await?;
        let ids = self.0.view.leases_for(&identity).map_err(Error::from)?;
        let leases = ids.into_iter().map(|id| LeaseStatus { id }).collect();
        Ok(Response::new(LeaseLeasesResponse {
            header: Some(self.0.header()),
            leases,
        }))
    }
}

/// One client's stream of renewals: one answer for each, in order.
struct Session {
    context: Arc<Context>,
    requests: Streaming<LeaseKeepAliveRequest>,
    requires_leader: bool,
    ended: bool,
}

impl Session {
    /// The next lease to be renewed; after a fault none.
    async fn next(&mut self) -> Option<Result<i64, Status>> {
        if self.ended {
            return None;
        }
        let mut leaderless = self.context.leaderless.clone();
        // Shutdown first, then the loss of the leader: both end the stream however many renewals wait.
        let request = tokio::select! { biased;
            () = self.context.stop.cancelled() => Err(Error::Stopped.into()),
            Ok(_) = leaderless.wait_for(|lost| *lost), if self.requires_leader => {
                Err(Error::NoLeader.into())
            }
            request = self.requests.message() => request,
        };
        self.ended = request.is_err();
        let request = request.transpose()?;
        Some(request.map(|request| request.id))
    }
}

async fn answer(
    context: Arc<Context>,
    caller: Caller,
    id: Result<i64, Status>,
) -> Result<LeaseKeepAliveResponse, Status> {
    let id = id?;
    // The header comes before the renewal: a revision after it could be one at which the lease
    // is gone, and the answer would seem to say that it was still there.
    let header = Some(context.header());
    let ttl = renew(&context, &caller, id).await?;
    context.metrics.leases_renewed.inc();
    Ok(LeaseKeepAliveResponse { header, id, ttl })
}

async fn renew(context: &Context, caller: &Caller, id: i64) -> Result<i64, Error> {
    if context.view.auth().is_enabled {
        let identity = context.identify(caller).await?;
        // A key that was hung on the lease a moment ago counts.
        context.linearize().await?;
        context.view.check_renewal(&identity, id)?;
    }
    Ok(context.lessor.keep_alive(id).await?)
}
