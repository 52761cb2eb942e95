//! One watch stream to one member of the store.
//!
//! It knows nothing of what the keys mean and never reconnects by itself: when it ends, its owner
//! decides where to go on.

use std::time::Duration;

use bytes::Bytes;
use proto_etcd::etcdserverpb::{
    WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
    watch_client::WatchClient, watch_request::RequestUnion,
};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::error::Error;
use super::etcd::{DECODE_BYTES_MAX, Etcd, with_leader};

/// Opening a stream must not take longer: a member that hangs is left.
const OPEN_MAX: Duration = Duration::from_secs(5);
/// Requests waiting for the wire. When it is full a progress request is dropped: the next is due soon.
const REQUESTS_MAX: usize = 16;

/// One range to be watched.
#[derive(Clone, Debug)]
pub struct WatchRange {
    /// Chosen by the owner; each answer carries it.
    pub id: i64,
    /// First key.
    pub start: Bytes,
    /// First key behind the range.
    pub end: Bytes,
    /// First revision that is wanted.
    pub from: u64,
    /// Whether the value before each change is wanted.
    pub prev_kv: bool,
}

/// An open stream.
#[derive(Debug)]
pub struct WatchStream {
    requests: mpsc::Sender<WatchRequest>,
    answers: Streaming<WatchResponse>,
    member: usize,
}

impl Etcd {
    /// Opens one stream with all `ranges` at the member in use.
    pub async fn watch(&self, ranges: &[WatchRange]) -> Result<WatchStream, Error> {
        let (member, name, channel) = self.member();
        tracing::debug!(member = name, "opening a watch");
        let (requests, receiver) = mpsc::channel(REQUESTS_MAX.max(ranges.len()));
        for range in ranges {
            let create = WatchCreateRequest {
                key: range.start.clone(),
                range_end: range.end.clone(),
                start_revision: i64::try_from(range.from).unwrap_or(i64::MAX),
                progress_notify: true,
                prev_kv: range.prev_kv,
                watch_id: range.id,
                fragment: true,
                ..WatchCreateRequest::default()
            };
            // The channel has room for all of them.
            let _ = requests.try_send(wrap(RequestUnion::CreateRequest(create)));
        }
        let mut client = WatchClient::new(channel).max_decoding_message_size(DECODE_BYTES_MAX);
        let opened = timeout(
            OPEN_MAX,
            client.watch(with_leader(ReceiverStream::new(receiver))),
        );
        match opened.await {
            Ok(Ok(answers)) => Ok(WatchStream {
                requests,
                answers: answers.into_inner(),
                member,
            }),
            Ok(Err(status)) => {
                self.leave(member);
                Err(Error::Unavailable(Some(Box::new(status))))
            }
            Err(_) => {
                self.leave(member);
                Err(Error::Unavailable(None))
            }
        }
    }

    /// Leaves the member of a stream that broke.
    pub fn leave_stream(&self, stream: &WatchStream) {
        self.leave(stream.member);
    }
}

impl WatchStream {
    /// The next answer; `None` when the member ended the stream.
    // Cancel-safe: an answer that has not been returned stays in the stream.
    pub async fn next(&mut self) -> Result<Option<WatchResponse>, Error> {
        self.answers
            .message()
            .await
            .map_err(|status| Error::Unavailable(Some(Box::new(status))))
    }

    /// Asks how far the stream's watches are. The answer has the watch id -1.
    pub fn request_progress(&self) {
        let _ = self
            .requests
            .try_send(wrap(RequestUnion::ProgressRequest(WatchProgressRequest {})));
    }
}

fn wrap(request: RequestUnion) -> WatchRequest {
    WatchRequest {
        request_union: Some(request),
    }
}
