//! The queue behind locks and elections: keys below one prefix, each hung on a lease, wait for one
//! another in the order of their creation. Whoever's key is the oldest has the lock or leads.
//!
//! What etcd's servers ask of themselves by client/v3/concurrency. Every request is made in the name
//! of who called. A wait never ends well after its own key is gone, and a caller that goes away takes
//! its key along.

use std::convert::Infallible;
use std::sync::Arc;

use base::OnError;
use bytes::Bytes;
use proto_etcd::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto_etcd::etcdserverpb::range_request::{SortOrder, SortTarget};
use proto_etcd::etcdserverpb::request_op::Request as Op;
use proto_etcd::etcdserverpb::response_op::Response as Answer;
use proto_etcd::etcdserverpb::{
    Compare, DeleteRangeRequest, LeaseGrantRequest, PutRequest, RangeRequest, RequestOp,
    ResponseHeader, TxnRequest, TxnResponse,
};
use proto_etcd::mvccpb::KeyValue;
use tokio::sync::oneshot;

use super::context::Context;
use super::identity::Caller;
use super::kv::Kv;
use super::lease::Lease;
use super::status::Error;
use crate::limits;
use crate::watch::{WatchSpec, WatchStream};

mod place;

pub(super) use place::Place;

/// The keys below one name, as one caller sees them.
#[derive(Clone)]
pub(super) struct Queue {
    context: Arc<Context>,
    caller: Caller,
    prefix: Bytes,
}

impl Queue {
    /// The queue of `name`.
    pub(super) fn new(context: &Arc<Context>, caller: Caller, name: &[u8]) -> Self {
        Self {
            context: context.clone(),
            caller,
            prefix: [name, b"/"].concat().into(),
        }
    }

    /// The lease to hang a key on: a new one for a caller without one.
    pub(super) async fn lease(&self, given: i64) -> Result<i64, Error> {
        if given != 0 {
            return Ok(given);
        }
        let request = LeaseGrantRequest {
            ttl: limits::SESSION_TTL_SECONDS,
            id: 0,
        };
        let leases = Lease(self.context.clone());
        Ok(leases.grant(&self.caller, request).await?.id)
    }

    /// Puts a key in, or finds the one that the lease has in the queue already.
    ///
    /// The caller may go away while the put is on its way; it is then waited for all the same, so that
    /// the key can be taken out.
    pub(super) async fn enter(&self, lease: i64, value: Bytes) -> Result<Place, Error> {
        let (tx, rx) = oneshot::channel();
        let queue = self.clone();
        self.context
            .tasks
            .spawn("enter a queue", OnError::Log, async move {
                // Without a receiver, the place goes with the answer.
                let _ = tx.send(queue.put(lease, value).await);
                Ok::<(), Infallible>(())
            });
        rx.await.map_err(|_| Error::Stopped)?
    }

    async fn put(self, lease: i64, value: Bytes) -> Result<Place, Error> {
        let key = self.key(lease);
        let put = PutRequest {
            key: key.clone(),
            value,
            lease,
            ..Default::default()
        };
        let get = Op::RequestRange(single(&key));
        let oldest = || Op::RequestRange(self.oldest());
        let request = TxnRequest {
            compare: vec![made_at(&key, 0)],
            success: ops([Op::RequestPut(put), oldest()]),
            failure: ops([get, oldest()]),
        };
        let response = self.txn(request).await?;
        let header = header_of(&response)?;
        let found = match response.succeeded {
            true => None,
            false => Some(first_of(&response, 0).ok_or_else(odd_answer)?),
        };
        let revision = found.map_or(header.revision, |kv| kv.create_revision);
        let owner = first_of(&response, 1);
        Ok(Place {
            key,
            revision,
            header,
            found: found.map(|kv| kv.value.clone()),
            is_first: owner.is_none_or(|owner| owner.create_revision == revision),
            is_kept: false,
            queue: self,
        })
    }

    /// The lease's number in hexadecimal, with a sign, as Go prints it.
    fn key(&self, lease: i64) -> Bytes {
        let sign = if lease < 0 { "-" } else { "" };
        let name = format!("{sign}{:x}", lease.unsigned_abs());
        [&self.prefix, name.as_bytes()].concat().into()
    }

    /// The range of one key: that of whoever has been here longest.
    fn oldest(&self) -> RangeRequest {
        RangeRequest {
            sort_order: SortOrder::Ascend.into(),
            ..self.newest_before(0)
        }
    }

    /// The range of one key: the newest that is not made after `revision`; 0 stands for no limit.
    fn newest_before(&self, revision: i64) -> RangeRequest {
        RangeRequest {
            key: self.prefix.clone(),
            range_end: prefix_end(&self.prefix),
            limit: 1,
            sort_order: SortOrder::Descend.into(),
            sort_target: SortTarget::Create.into(),
            max_create_revision: revision,
            ..Default::default()
        }
    }

    /// Who has been here longest, if anybody, and the header of the answer.
    pub(super) async fn first(&self) -> Result<(ResponseHeader, Option<KeyValue>), Error> {
        let mut response = Kv(self.context.clone())
            .range(&self.caller, self.oldest())
            .await?;
        let header = response.header.ok_or_else(odd_answer)?;
        Ok((header, response.kvs.pop()))
    }

    /// Watches what happens below the prefix after `revision`; or, where `key` is given, to that key.
    /// Who may read the queue has been asked by whatever told the revision.
    pub(super) fn watch(&self, key: Option<Bytes>, revision: i64) -> Result<WatchStream, Error> {
        let (key, range_end) = match key {
            Some(key) => (key, Bytes::new()),
            None => (self.prefix.clone(), prefix_end(&self.prefix)),
        };
        let mut stream = self.context.view.watch_hub().open();
        watch(&mut stream, key, range_end, revision)?;
        Ok(stream)
    }

    /// Deletes a key whosever it is, if it is there.
    pub(super) async fn delete(&self, key: Bytes) -> Result<Option<ResponseHeader>, Error> {
        let request = DeleteRangeRequest {
            key,
            ..Default::default()
        };
        let kv = Kv(self.context.clone());
        Ok(kv.delete(&self.caller, request).await?.header)
    }

    /// Deletes a key if it is still the one made at `revision`.
    pub(super) async fn delete_made_at(
        &self,
        key: &Bytes,
        revision: i64,
    ) -> Result<ResponseHeader, Error> {
        let delete = DeleteRangeRequest {
            key: key.clone(),
            ..Default::default()
        };
        let request = TxnRequest {
            compare: vec![made_at(key, revision)],
            success: ops([Op::RequestDeleteRange(delete)]),
            failure: Vec::new(),
        };
        header_of(&self.txn(request).await?)
    }

    /// Gives a key a new value if it is still the one made at `revision`.
    pub(super) async fn replace(
        &self,
        key: &Bytes,
        revision: i64,
        lease: i64,
        value: Bytes,
    ) -> Result<ResponseHeader, Error> {
        let put = PutRequest {
            key: key.clone(),
            value,
            lease,
            ..Default::default()
        };
        let request = TxnRequest {
            compare: vec![made_at(key, revision)],
            success: ops([Op::RequestPut(put)]),
            failure: Vec::new(),
        };
        let response = self.txn(request).await?;
        if response.succeeded {
            header_of(&response)
        } else {
            Err(Error::NotElected)
        }
    }

    async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, Error> {
        Kv(self.context.clone()).txn(&self.caller, request).await
    }
}

fn watch(
    stream: &mut WatchStream,
    key: Bytes,
    range_end: Bytes,
    revision: i64,
) -> Result<(), Error> {
    let spec = WatchSpec {
        key,
        range_end,
        start_revision: revision + 1,
        ..Default::default()
    };
    // A stream with at most two watches can only refuse a third one's id, or be at its end.
    stream.create(spec).map(drop).map_err(|_| Error::Stopped)
}

fn ops<const N: usize>(requests: [Op; N]) -> Vec<RequestOp> {
    let op = |request| RequestOp {
        request: Some(request),
    };
    requests.into_iter().map(op).collect()
}

fn single(key: &Bytes) -> RangeRequest {
    RangeRequest {
        key: key.clone(),
        ..Default::default()
    }
}

fn made_at(key: &Bytes, revision: i64) -> Compare {
    Compare {
        key: key.clone(),
        result: CompareResult::Equal.into(),
        target: CompareTarget::Create.into(),
        target_union: Some(TargetUnion::CreateRevision(revision)),
        range_end: Bytes::new(),
    }
}

/// The end of the range of all keys that begin with `prefix`, which ends in a slash.
fn prefix_end(prefix: &Bytes) -> Bytes {
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end.into()
}

/// The first key of the answer to the operation `at`.
fn first_of(response: &TxnResponse, at: usize) -> Option<&KeyValue> {
    match response.responses.get(at)?.response.as_ref()? {
        Answer::ResponseRange(range) => range.kvs.first(),
        _ => None,
    }
}

fn header_of(response: &TxnResponse) -> Result<ResponseHeader, Error> {
    response.header.ok_or_else(odd_answer)
}

fn odd_answer() -> Error {
    Error::Internal("an answer of the store to itself lacks what every answer has".into())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::prefix_end;

    #[test]
    fn the_range_of_a_name_ends_before_its_neighbours() {
        assert_eq!(prefix_end(&Bytes::from_static(b"a/")), &b"a0"[..]);
        assert!(prefix_end(&Bytes::new()).is_empty());
    }
}
