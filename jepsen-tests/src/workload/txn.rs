//! What workloads of transactions share: steps, and requests made of them.

use proto_etcd::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto_etcd::etcdserverpb::request_op::Request;
use proto_etcd::etcdserverpb::response_op::Response;
use proto_etcd::etcdserverpb::{Compare, RequestOp, ResponseOp, TxnRequest};
use rand::Rng;
use rand::rngs::StdRng;

use super::rotation::Rotation;
use crate::edn::Value;
use crate::wire::{Kv, Seen, put, range};

const STEPS_MAX: usize = 4;

/// One step of a transaction on the key with this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Read(i64),
    Write(i64, i64),
}

impl Step {
    pub(crate) fn key(self) -> i64 {
        match self {
            Self::Read(key) | Self::Write(key, _) => key,
        }
    }

    /// As histories have it; `write` is the name of a write and `seen` what a read saw.
    pub(crate) fn value(self, write: &str, seen: Value) -> Value {
        Value::Vector(match self {
            Self::Read(key) => vec![Value::keyword("r"), key.into(), seen],
            Self::Write(key, value) => vec![Value::keyword(write), key.into(), value.into()],
        })
    }
}

/// Up to four steps; at most one of them writes each key, since etcd refuses two puts of one key.
pub(crate) fn steps(keys: &Rotation, chance: &mut StdRng) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for _ in 0..chance.random_range(1..=STEPS_MAX) {
        let key = keys.key(chance);
        let is_written = |step: &Step| matches!(step, Step::Write(written, _) if *written == key);
        if chance.random() && !steps.iter().any(is_written) {
            steps.push(Step::Write(key, keys.value()));
        } else {
            steps.push(Step::Read(key));
        }
    }
    steps
}

/// Reads of these keys, for the end of a run.
pub(crate) fn last_reads(last: &mut Vec<i64>) -> Option<Vec<Step>> {
    let rest = last.len().saturating_sub(STEPS_MAX);
    let steps: Vec<Step> = last.split_off(rest).into_iter().map(Step::Read).collect();
    (!steps.is_empty()).then_some(steps)
}

/// A read of a key within a transaction.
pub(crate) fn read_op(key: &str) -> RequestOp {
    RequestOp {
        request: Some(Request::RequestRange(range(key))),
    }
}

/// A write of a key within a transaction.
pub(crate) fn put_op(key: &str, value: &str) -> RequestOp {
    RequestOp {
        request: Some(Request::RequestPut(put(key, value))),
    }
}

/// A transaction within a transaction: does the same.
pub(crate) fn nested(ops: Vec<RequestOp>) -> RequestOp {
    RequestOp {
        request: Some(Request::RequestTxn(TxnRequest {
            success: ops,
            ..TxnRequest::default()
        })),
    }
}

/// Holds if the key was last written at `revision`; 0 if it is not there.
pub(crate) fn at_revision(key: &str, revision: i64) -> Compare {
    Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        key: key.to_owned().into(),
        target_union: Some(TargetUnion::ModRevision(revision)),
        ..Compare::default()
    }
}

/// What each read of an answer saw, in their order, those of nested transactions too.
pub(crate) fn reads(responses: Vec<ResponseOp>) -> Vec<Option<Seen>> {
    let mut seen = Vec::new();
    for response in responses {
        match response.response {
            Some(Response::ResponseRange(range)) => seen.push(range.kvs.seen().pop()),
            // Nothing here nests deeper than once; the answer's own depth is the decoder's limit.
            Some(Response::ResponseTxn(txn)) => seen.extend(reads(txn.responses)),
            _ => {}
        }
    }
    seen
}
