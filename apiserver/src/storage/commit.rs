//! Writes guarded by the revisions they were made from.
//!
//! Each write names the revision its key must still have (0: the key must not exist), so it can
//! happen once at most. That is what makes it safe to send it again after an unknown outcome, as
//! long as the keys still have those revisions; it is never sent blindly. An outcome that is not
//! known is never told as a failure.

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
    /// Makes all steps at once if every key has its expected revision. The first step is the one
    /// that tells whose transaction was carried out, see [`created_by_us`].
    pub async fn commit(&self, writes: &[Guarded]) -> Result<Outcome, Error> {
        let mut attempt = Attempt::new(writes);
        loop {
            let settled = match attempt.next {
                Next::Send => {
                    let answer = self.txn(request(writes)).await;
                    attempt.sent(answer)
                }
                Next::Look => {
                    let found = self.look(writes).await;
                    attempt.looked(found)
                }
            };
            if let Some(outcome) = settled {
                return outcome;
            }
        }
    }

    /// The keys as they are now, each by a read of its own.
    async fn look(&self, writes: &[Guarded]) -> Result<Vec<Option<KeyValue>>, Error> {
        let mut found = Vec::with_capacity(writes.len());
        for write in writes {
            found.push(self.get(&write.key).await?.kv);
        }
        Ok(found)
    }
}

/// What is to be done next for a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Send it.
    Send,
    /// Read its keys: its outcome is unknown.
    Look,
}

/// The tries of one transaction. Decides only; [`Etcd::commit`] sends and reads.
#[derive(Debug)]
struct Attempt<'a> {
    writes: &'a [Guarded],
    next: Next,
    tries: usize,
    /// An earlier try may have been carried out, or may still be, however late.
    // Invariant: from then on nothing but our own bytes in the store settles the outcome. Every
    // other answer, a refusal of a later try included, says nothing about the earlier one.
    is_ambiguous: bool,
}

impl<'a> Attempt<'a> {
    fn new(writes: &'a [Guarded]) -> Self {
        Self {
            writes,
            next: Next::Send,
            tries: 0,
            is_ambiguous: false,
        }
    }

    /// Takes the answer to a transaction that was sent. The outcome, if that settles it.
    fn sent(&mut self, answer: Result<TxnResponse, Error>) -> Option<Result<Outcome, Error>> {
        self.tries += 1;
        match answer.and_then(|answer| outcome(answer, self.writes.len())) {
            Ok(Outcome::Conflict(found)) if self.is_ambiguous => Some(self.ours_or_unknown(&found)),
            Ok(settled) => Some(Ok(settled)),
            Err(Error::Unknown) => {
                self.is_ambiguous = true;
                self.next = Next::Look;
                None
            }
            Err(error) => Some(Err(self.unless_ambiguous(error))),
        }
    }

    /// Takes the keys as they are after an unknown outcome.
    fn looked(
        &mut self,
        found: Result<Vec<Option<KeyValue>>, Error>,
    ) -> Option<Result<Outcome, Error>> {
        let found = match found {
            Ok(found) => found,
            Err(error) => return Some(Err(self.unless_ambiguous(error))),
        };
        let revision = |kv: &Option<KeyValue>| kv.as_ref().map_or(0, |kv| kv.mod_revision);
        let mut pairs = self.writes.iter().zip(&found);
        let is_untouched = pairs.all(|(write, kv)| revision(kv) == write.expected);
        if is_untouched && self.tries < TRIES_MAX {
            self.next = Next::Send;
            return None;
        }
        Some(self.ours_or_unknown(&found))
    }

    fn ours_or_unknown(&self, found: &[Option<KeyValue>]) -> Result<Outcome, Error> {
        created_by_us(self.writes, found)
            .map(Outcome::Committed)
            .ok_or(Error::Unknown)
    }

    fn unless_ambiguous(&self, error: Error) -> Error {
        if !self.is_ambiguous {
            return error;
        }
        tracing::warn!(error = %base::report(&error), "a write's outcome stays unknown");
        Error::Unknown
    }
}

/// The revision at which our transaction was carried out, if the keys prove that it was.
///
/// Equal bytes alone prove nothing for an update, since another writer may have made the same change
/// from the same base. A created object carries a uid of its own, and what goes with it was written
/// in the same transaction.
fn created_by_us(writes: &[Guarded], found: &[Option<KeyValue>]) -> Option<u64> {
    let (first, kv) = (writes.first()?, found.first()?.as_ref()?);
    match &first.step {
        Step::Put { value, .. } if first.expected == 0 && kv.value == *value => {
            u64::try_from(kv.mod_revision).ok()
        }
        _ => None,
    }
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

#[cfg(test)]
mod tests;
