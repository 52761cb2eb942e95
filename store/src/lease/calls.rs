//! What members ask their leader about leases, and its answers: a byte for the kind, then etcd's message.

use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use proto_etcd::etcdserverpb::{
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseTimeToLiveRequest,
};

use super::expiry::Lessor;
use crate::consensus::{LeaderCalls, ReadError};

/// A renewal, as a member asks its leader.
pub(super) const CALL_KEEP_ALIVE: u8 = 1;
/// A question for the time left.
pub(super) const CALL_TIME_TO_LIVE: u8 = 2;

impl Lessor {
    /// Asks the leader, which may be this member.
    pub(super) async fn ask(&self, kind: u8, request: &impl Message) -> Result<Bytes, ReadError> {
        let consensus = self.consensus()?;
        let mut call = BytesMut::with_capacity(1 + request.encoded_len());
        call.put_u8(kind);
        request.encode(&mut call).map_err(|_| ReadError::Stopped)?;
        let deadline = std::time::Instant::now() + self.settings.timeout;
        consensus
            .call_leader(call.freeze(), deadline)
            .await
            .map_err(crate::read::timed_out)
    }
}

#[async_trait]
impl LeaderCalls for Lessor {
    async fn call(&self, request: Bytes) -> Result<Bytes, ReadError> {
        let Some((kind, body)) = request.split_first() else {
            return Err(ReadError::NoLeader);
        };
        match *kind {
            CALL_KEEP_ALIVE => {
                let request =
                    LeaseKeepAliveRequest::decode(body).map_err(|_| ReadError::NoLeader)?;
                let ttl = self.renew(request.id).await?;
                let answer = LeaseKeepAliveResponse {
                    id: request.id,
                    ttl,
                    header: None,
                };
                Ok(answer.encode_to_vec().into())
            }
            CALL_TIME_TO_LIVE => {
                let request =
                    LeaseTimeToLiveRequest::decode(body).map_err(|_| ReadError::NoLeader)?;
                let answer = self.remaining(request.id, request.keys).await?;
                Ok(answer.encode_to_vec().into())
            }
            // A newer member's question: it will find another leader or give up.
            _ => Err(ReadError::NoLeader),
        }
    }
}
