//! The KV service: reads from the applied state, writes through consensus.

use std::sync::Arc;
use std::time::Instant;

use futures::Stream;
use proto_etcd::etcdserverpb::kv_server::Kv as Service;
use proto_etcd::etcdserverpb::request_op::Request as Op;
use proto_etcd::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse,
    InternalRaftRequest, PutRequest, PutResponse, RangeRequest, RangeResponse, RangeStreamResponse,
    TxnRequest, TxnResponse,
};
use tonic::{Request, Response, Status};

use super::context::Context;
use super::identity::Caller;
use super::status::Error;
use super::{check, range_stream};
use crate::apply::{View, put_cost, txn_cost};
use crate::auth::Identity;
use crate::limits;

/// See the module.
pub(super) struct Kv(pub(super) Arc<Context>);

impl Kv {
    /// Reads keys.
    pub(super) async fn range(
        &self,
        caller: &Caller,
        request: RangeRequest,
    ) -> Result<RangeResponse, Error> {
        check::range(&request)?;
        if !request.serializable {
            // The gate lets a learner's ranges through, because it may answer these here.
            if self.0.is_learner() {
                return Err(Error::NotSupportedForLearner);
            }
            self.0.linearize().await?;
        }
        let identity = self.0.identify(caller).await?;
        let mut response = read_range(&self.0, Some(identity), request).await?;
        self.0.complete(&mut response.header);
        Ok(response)
    }

    /// Compares, then reads and writes.
    pub(super) async fn txn(
        &self,
        caller: &Caller,
        request: TxnRequest,
    ) -> Result<TxnResponse, Error> {
        check::txn(&request, self.0.limits.max_txn_ops)?;
        let mut response = if crate::mvcc::txn::is_read_only(&request) {
            if !is_serializable(&request) {
                self.0.linearize().await?;
            }
            let identity = self.0.identify(caller).await?;
            self.0
                .off_reactor(move |view| view.txn_for(&identity, &request))
                .await?
                .map_err(Error::from)?
        } else {
            self.0.reserve(txn_cost(&request)).await?;
            let request = InternalRaftRequest {
                txn: Some(request),
                ..Default::default()
            };
            self.0.propose_for::<TxnResponse>(caller, request).await?
        };
        self.0.complete(&mut response.header);
        Ok(response)
    }

    /// Deletes keys.
    pub(super) async fn delete(
        &self,
        caller: &Caller,
        request: DeleteRangeRequest,
    ) -> Result<DeleteRangeResponse, Error> {
        check::delete(&request)?;
        let started = Instant::now();
        let request = InternalRaftRequest {
            delete_range: Some(request),
            ..Default::default()
        };
        let proposed = self.0.propose_for::<DeleteRangeResponse>(caller, request);
        let result = proposed.await;
        self.0
            .metrics
            .request("DeleteRange", started, result.is_ok());
        let mut response = result?;
        self.0.complete(&mut response.header);
        Ok(response)
    }

    async fn compact(
        &self,
        caller: &Caller,
        request: CompactionRequest,
    ) -> Result<CompactionResponse, Error> {
        self.0.require_admin(caller).await?;
        let (physical, revision) = (request.physical, request.revision);
        let request = InternalRaftRequest {
            compaction: Some(request),
            ..Default::default()
        };
        let mut response = self.0.propose::<CompactionResponse>(request).await?;
        if physical {
            self.0.view.wait_collected(revision).await;
        }
        self.0.complete(&mut response.header);
        Ok(response)
    }
}

/// Reads a range from the applied state: a few keys in place, more on another thread. Without an
/// identity it is the store itself that asks.
pub(super) async fn read_range(
    context: &Context,
    identity: Option<Identity>,
    request: RangeRequest,
) -> Result<RangeResponse, Error> {
    let started = Instant::now();
    let is_small = request.range_end.is_empty()
        || (1..=limits::RANGE_INLINE_KEYS_MAX).contains(&request.limit) && request.sort_order == 0;
    let read = move |view: &View| match &identity {
        Some(identity) => view.range_for(identity, &request),
        None => view.range(&request),
    };
    let result = if is_small {
        read(&context.view)
    } else {
        context.off_reactor(read).await?
    };
    context.metrics.range(started, result.is_ok());
    result.map_err(Error::from)
}

/// A read-only transaction is serializable if all its ranges are.
fn is_serializable(request: &TxnRequest) -> bool {
    let mut ops = request.success.iter().chain(&request.failure);
    ops.all(|op| matches!(&op.request, Some(Op::RequestRange(range)) if range.serializable))
}

#[tonic::async_trait]
impl Service for Kv {
    async fn range(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<RangeResponse>, Status> {
        let started = Instant::now();
        let caller = Caller::of(&request);
        let result = Self::range(self, &caller, request.into_inner()).await;
        self.0.metrics.request("Range", started, result.is_ok());
        Ok(Response::new(result?))
    }

    type RangeStreamStream =
        std::pin::Pin<Box<dyn Stream<Item = Result<RangeStreamResponse, Status>> + Send>>;

    async fn range_stream(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<Self::RangeStreamStream>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        check::range_stream(&request)?;
        if !request.serializable {
            self.0.linearize().await?;
        }
        let identity = self.0.identify(&caller).await?;
        let chunks = range_stream::chunks(self.0.clone(), identity, request);
        Ok(Response::new(Box::pin(chunks)))
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        // As in etcd, the room is asked for first.
        self.0.reserve(put_cost(&request)).await?;
        check::put(&request)?;
        let started = Instant::now();
        let request = InternalRaftRequest {
            put: Some(request),
            ..Default::default()
        };
        let result = self.0.propose_for::<PutResponse>(&caller, request).await;
        self.0.metrics.request("Put", started, result.is_ok());
        let mut response = result?;
        self.0.complete(&mut response.header);
        Ok(Response::new(response))
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        let caller = Caller::of(&request);
        let response = self.delete(&caller, request.into_inner()).await?;
        Ok(Response::new(response))
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        let started = Instant::now();
        let caller = Caller::of(&request);
        let result = Self::txn(self, &caller, request.into_inner()).await;
        self.0.metrics.request("Txn", started, result.is_ok());
        Ok(Response::new(result?))
    }

    async fn compact(
        &self,
        request: Request<CompactionRequest>,
    ) -> Result<Response<CompactionResponse>, Status> {
        let started = Instant::now();
        let caller = Caller::of(&request);
        let result = Self::compact(self, &caller, request.into_inner()).await;
        self.0
            .metrics
            .request("Compaction", started, result.is_ok());
        Ok(Response::new(result?))
    }
}
