//! The Lock service: a name that one caller has at a time.

use std::sync::Arc;

use bytes::Bytes;
use proto_etcd::v3lockpb::lock_server::Lock as Service;
use proto_etcd::v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse};
use tonic::{Request, Response, Status};

use super::context::Context;
use super::identity::Caller;
use super::queue::Queue;
use super::status::Error;

/// See the module.
pub(super) struct Lock(pub(super) Arc<Context>);

impl Lock {
    async fn lock(&self, caller: Caller, request: LockRequest) -> Result<LockResponse, Error> {
        let queue = Queue::new(&self.0, caller, &request.name);
        let lease = queue.lease(request.lease).await?;
        let mut place = queue.enter(lease, Bytes::new()).await?;
        let header = place.wait().await?;
        // Either the key is the caller's now, or there is none to take out.
        place.keep();
        Ok(LockResponse {
            header: Some(header.ok_or(Error::SessionExpired)?),
            key: place.key.clone(),
        })
    }
}

#[tonic::async_trait]
impl Service for Lock {
    async fn lock(&self, request: Request<LockRequest>) -> Result<Response<LockResponse>, Status> {
        let caller = Caller::of(&request);
        let locked = Self::lock(self, caller, request.into_inner()).await;
        let response = locked.map_err(|error| error.through_client())?;
        Ok(Response::new(response))
    }

    async fn unlock(
        &self,
        request: Request<UnlockRequest>,
    ) -> Result<Response<UnlockResponse>, Status> {
        let queue = Queue::new(&self.0, Caller::of(&request), b"");
        let deleted = queue.delete(request.into_inner().key).await;
        let header = deleted.map_err(|error| error.through_client())?;
        Ok(Response::new(UnlockResponse { header }))
    }
}
