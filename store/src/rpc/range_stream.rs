//! A range in chunks: the same revision throughout, and never more than about one request's worth
//! of bytes in memory. Header, `more` and `count` come with the last chunk alone, as in etcd.

use std::sync::Arc;

use futures::Stream;
use prost::Message;
use proto_etcd::etcdserverpb::{RangeRequest, RangeResponse, RangeStreamResponse};
use tonic::Status;

use super::context::Context;
use super::kv::read_range;
use super::status::Error;
use crate::auth::Identity;
use crate::limits;

/// Where a stream stands.
struct Cursor {
    context: Arc<Context>,
    /// Whose right is looked at for each chunk.
    identity: Identity,
    /// The next chunk's request; its revision is pinned by the first answer.
    request: RangeRequest,
    /// Keys still allowed by the client's limit.
    left: i64,
    sent: i64,
    revision: i64,
    is_done: bool,
}

/// The chunks of `request`, which has passed `check::range_stream`.
pub(super) fn chunks(
    context: Arc<Context>,
    identity: Identity,
    mut request: RangeRequest,
) -> impl Stream<Item = Result<RangeStreamResponse, Status>> + Send {
    let left = if request.limit > 0 {
        request.limit
    } else {
        i64::MAX
    };
    request.limit = if request.count_only {
        request.limit
    } else {
        limits::RANGE_STREAM_FIRST_CHUNK_KEYS.min(left)
    };
    // Keys come in their order; a target without an order would sort each chunk for itself.
    request.sort_target = 0;
    let cursor = Cursor {
        context,
        identity,
        request,
        left,
        sent: 0,
        revision: 0,
        is_done: false,
    };
    futures::stream::unfold(cursor, |mut cursor| async move {
        if cursor.is_done {
            return None;
        }
        let chunk = cursor.next().await.map_err(Status::from);
        cursor.is_done |= chunk.is_err();
        Some((
            chunk.map(|response| RangeStreamResponse {
                range_response: Some(response),
            }),
            cursor,
        ))
    })
}

impl Cursor {
    async fn next(&mut self) -> Result<RangeResponse, Error> {
        let identity = Some(self.identity.clone());
        let mut response = read_range(&self.context, identity, self.request.clone()).await?;
        let header_revision = response.header.take().map_or(0, |header| header.revision);
        if self.revision == 0 {
            self.revision = header_revision;
            if self.request.revision <= 0 {
                self.request.revision = header_revision;
            }
        }
        let taken = i64::try_from(response.kvs.len()).unwrap_or(i64::MAX);
        self.sent += taken;
        self.left -= taken;
        self.is_done = self.request.count_only || !response.more || self.left <= 0;
        if !self.is_done {
            self.advance(&response);
            return Ok(RangeResponse {
                kvs: response.kvs,
                ..Default::default()
            });
        }
        // The chunk's own count is of what its request matched: this chunk and all that follows.
        let count = if self.request.count_only {
            response.count
        } else {
            self.sent - taken + response.count
        };
        Ok(RangeResponse {
            header: Some(self.context.header_at(self.revision)),
            kvs: response.kvs,
            more: response.more,
            count,
        })
    }

    /// Aims the next chunk at about one request's worth of bytes: doubles while chunks are below
    /// half of it, halves above twice of it.
    fn advance(&mut self, response: &RangeResponse) {
        if let Some(last) = response.kvs.last() {
            let mut key = last.key.to_vec();
            key.push(0);
            self.request.key = key.into();
        }
        let (bytes, target) = (
            response.encoded_len(),
            self.context.limits.max_request_bytes,
        );
        let limit = match bytes {
            small if small < target / 2 => self.request.limit.saturating_mul(2),
            large if large > target.saturating_mul(2) => self.request.limit / 2,
            _ => self.request.limit,
        };
        self.request.limit = limit.max(1).min(self.left);
    }
}
