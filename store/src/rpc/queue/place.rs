//! A key in a queue: it waits until it is the oldest, and is taken out if nobody waits for that any
//! more.

use std::convert::Infallible;
use std::time::Duration;

use base::OnError;
use bytes::Bytes;
use proto_etcd::etcdserverpb::request_op::Request as Op;
use proto_etcd::etcdserverpb::{ResponseHeader, TxnRequest};
use proto_etcd::mvccpb::event::EventType;
use tokio::sync::OwnedSemaphorePermit;

use super::{Error, Queue, first_of, header_of, ops, single, watch};
use crate::limits;
use crate::watch::{Item, WatchStream};

/// How long after a failed try a key is tried to be taken out again.
const LEAVE_PAUSE: Duration = Duration::from_secs(1);

/// A key in a queue. Dropped before [`Place::keep`], it takes the key out again.
pub(in crate::rpc) struct Place {
    pub(super) queue: Queue,
    /// The key.
    pub(in crate::rpc) key: Bytes,
    /// The revision that made the key.
    pub(in crate::rpc) revision: i64,
    /// The header of the answer that brought the key in.
    pub(in crate::rpc) header: ResponseHeader,
    /// The value that it had already; none if this call made the key.
    pub(in crate::rpc) found: Option<Bytes>,
    /// Whether nobody was there before.
    pub(super) is_first: bool,
    pub(super) is_kept: bool,
}

impl Place {
    /// Waits until everybody who was there before is gone. None if the key itself is gone, by its
    /// lease or by somebody's hand: whoever had it must not go on as if it were there. The header is
    /// of a moment at which the key was there and the oldest.
    ///
    /// Cancel-safe: nothing is kept between two looks at the queue.
    pub(in crate::rpc) async fn wait(&self) -> Result<Option<ResponseHeader>, Error> {
        if self.is_first {
            return Ok(Some(self.header));
        }
        let _waiter = self.waiter()?;
        let context = &self.queue.context;
        loop {
            let ahead = self.queue.newest_before(self.revision - 1);
            let request = TxnRequest {
                success: ops([Op::RequestRange(ahead), Op::RequestRange(single(&self.key))]),
                ..Default::default()
            };
            let response = self.queue.txn(request).await?;
            let header = header_of(&response)?;
            let own = first_of(&response, 1);
            if own.is_none_or(|own| own.create_revision != self.revision) {
                return Ok(None);
            }
            let Some(ahead) = first_of(&response, 0) else {
                return Ok(Some(header));
            };
            let mut stream = self.queue.watch(Some(ahead.key.clone()), header.revision)?;
            watch(&mut stream, self.key.clone(), Bytes::new(), header.revision)?;
            tokio::select! { biased;
                () = context.stop.cancelled() => return Err(Error::Stopped),
                gone = until_deleted(&mut stream) => gone?,
            }
        }
    }

    fn waiter(&self) -> Result<OwnedSemaphorePermit, Error> {
        let waiters = self.queue.context.waiters.clone();
        waiters
            .try_acquire_owned()
            .map_err(|_| Error::TooManyRequests)
    }

    /// Leaves the key where it is, whatever becomes of this.
    pub(in crate::rpc) fn keep(&mut self) {
        self.is_kept = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A key that was there before and is the oldest was given to the caller by an earlier call.
        let was_given = self.is_first && self.found.is_some();
        // Without a runtime the process is at its end, and the lease has to do it.
        let has_runtime = tokio::runtime::Handle::try_current().is_ok();
        if self.is_kept || was_given || !has_runtime {
            return;
        }
        let (queue, key, revision) = (self.queue.clone(), self.key.clone(), self.revision);
        let tasks = self.queue.context.tasks.clone();
        tasks.spawn("leave a queue", OnError::Log, async move {
            leave(&queue, &key, revision).await;
            Ok::<(), Infallible>(())
        });
    }
}

async fn leave(queue: &Queue, key: &Bytes, revision: i64) {
    for _ in 0..limits::QUEUE_LEAVE_TRIES {
        match queue.delete_made_at(key, revision).await {
            Ok(_) => return,
            Err(error) => {
                tracing::debug!(error = %error, "a key of a client that went away is still there");
            }
        }
        tokio::select! { biased;
            () = queue.context.stop.cancelled() => return,
            () = tokio::time::sleep(LEAVE_PAUSE) => {}
        }
    }
}

/// Until one of the watched keys has been deleted, or what happened to them cannot be told any more:
/// then it is time for another look either way.
async fn until_deleted(stream: &mut WatchStream) -> Result<(), Error> {
    loop {
        match stream.next().await {
            Item::Events { events, .. } => {
                if events
                    .iter()
                    .any(|event| event.r#type() == EventType::Delete)
                {
                    return Ok(());
                }
            }
            Item::Compacted { .. } => return Ok(()),
            Item::Progress { .. } => {}
            Item::Closed => return Err(Error::Stopped),
        }
    }
}
