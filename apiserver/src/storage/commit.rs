//! Writes guarded by the revisions they were made from.
//!
//! Each write names the revision its key must still have (0: the key must not exist), so it can
//! happen once at most. That is what makes it safe to send it again after an unknown outcome, as
//! long as the keys still have those revisions; it is never sent blindly.

use bytes::Bytes;
use proto_etcd::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, TxnResponse,
    compare::{CompareResult, CompareTarget, TargetUnion},
    request_op::Request,
    response_op::Response,
};
use proto_etcd::mvccpb::KeyValue;

use super::{Error, Etcd};

/// How often one write is sent after unknown outcomes before its caller is told so.
const TRIES_MAX: usize = 3;

/// What happens to a key.
#[derive(Clone, Debug)]
pub enum Step {
    /// It gets a value, and a lease unless that is 0.
    Put {
        /// The value.
        value: Bytes,
        /// The lease.
        lease: i64,
    },
    /// It goes.
    Delete,
    /// Nothing: its revision is a condition only.
    Keep,
}

/// One key of a transaction.
#[derive(Clone, Debug)]
pub struct Guarded {
    /// The key.
    pub key: Bytes,
    /// The revision it must have; 0 if it must not exist.
    pub expected: i64,
    /// What happens to it.
    pub step: Step,
}

/// What became of a transaction.
#[derive(Debug)]
pub enum Outcome {
    /// All steps were made, at this revision.
    Committed(u64),
    /// None was made. The keys in the order of the steps, as they are now.
    Conflict(Vec<Option<KeyValue>>),
}

impl Etcd {
    /// Makes all steps at once if every key has its expected revision.
    pub async fn commit(&self, writes: &[Guarded]) -> Result<Outcome, Error> {
        for _ in 0..TRIES_MAX {
            match self.txn(request(writes)).await {
                Ok(answer) => return outcome(answer, writes.len()),
                Err(Error::Unknown) => {}
                Err(error) => return Err(error),
            }
            match self.look_again(writes).await? {
                Seen::Untouched => {}
                Seen::Ours(revision) => return Ok(Outcome::Committed(revision)),
                Seen::Changed => return Err(Error::Unknown),
            }
        }
        Err(Error::Unknown)
    }

    /// After an unknown outcome: what do the keys say?
    async fn look_again(&self, writes: &[Guarded]) -> Result<Seen, Error> {
        let mut ours = None;
        for write in writes {
            // The write may be done, so a failing read must not be reported as "nothing written".
            let kv = match self.get(&write.key).await {
                Ok(read) => read.kv,
                Err(Error::Unavailable(_)) => return Err(Error::Unknown),
                Err(error) => return Err(error),
            };
            let revision = kv.as_ref().map_or(0, |kv| kv.mod_revision);
            if revision == write.expected {
                continue;
            }
            // Equal bytes alone prove nothing for an update, since another writer may have made
            // the same change from the same base. A created object carries a uid of its own.
            let created_by_us = match (&write.step, &kv) {
                (Step::Put { value, .. }, Some(kv)) => write.expected == 0 && kv.value == *value,
                _ => false,
            };
            if !created_by_us {
                return Ok(Seen::Changed);
            }
            ours = u64::try_from(revision).ok();
        }
        Ok(ours.map_or(Seen::Untouched, Seen::Ours))
    }
}

enum Seen {
    Untouched,
    Ours(u64),
    Changed,
}

fn request(writes: &[Guarded]) -> TxnRequest {
    let compare = writes
        .iter()
        .map(|write| Compare {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Mod.into(),
            key: write.key.clone(),
            target_union: Some(TargetUnion::ModRevision(write.expected)),
            range_end: Bytes::new(),
        })
        .collect();
    let success = writes.iter().filter_map(success_step).collect();
    let failure = writes
        .iter()
        .map(|write| {
            let range = RangeRequest {
                key: write.key.clone(),
                ..RangeRequest::default()
            };
            RequestOp {
                request: Some(Request::RequestRange(range)),
            }
        })
        .collect();
    TxnRequest {
        compare,
        success,
        failure,
    }
}

fn success_step(write: &Guarded) -> Option<RequestOp> {
    let request = match &write.step {
        Step::Put { value, lease } => Request::RequestPut(PutRequest {
            key: write.key.clone(),
            value: value.clone(),
            lease: *lease,
            ..PutRequest::default()
        }),
        Step::Delete => Request::RequestDeleteRange(DeleteRangeRequest {
            key: write.key.clone(),
            ..DeleteRangeRequest::default()
        }),
        Step::Keep => return None,
    };
    Some(RequestOp {
        request: Some(request),
    })
}

fn outcome(answer: TxnResponse, keys: usize) -> Result<Outcome, Error> {
    if answer.succeeded {
        let revision = answer.header.ok_or(Error::Protocol("no header"))?.revision;
        let revision = u64::try_from(revision).map_err(|_| Error::Protocol("negative revision"))?;
        return Ok(Outcome::Committed(revision));
    }
    let mut current = Vec::with_capacity(keys);
    for response in answer.responses {
        match response.response {
            Some(Response::ResponseRange(range)) => current.push(range.kvs.into_iter().next()),
            _ => return Err(Error::Protocol("a transaction's answer is not a range")),
        }
    }
    if current.len() != keys {
        return Err(Error::Protocol("a transaction's answer is too short"));
    }
    Ok(Outcome::Conflict(current))
}
