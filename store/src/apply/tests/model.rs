//! Random requests, small enough to meet each other often.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proto_etcd::etcdserverpb::compare::TargetUnion;
use proto_etcd::etcdserverpb::request_op::Request;
use proto_etcd::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};

/// One step of a random history.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Put(PutRequest),
    Delete(DeleteRangeRequest),
    Txn(TxnRequest),
    /// At this many revisions before the newest.
    Compact(i64),
    Grant(i64),
    Revoke(i64),
    /// Makes everything durable.
    Flush,
    /// Loses what is not durable and starts again.
    Crash,
    /// Waits until old rows are gone.
    Collect,
}

pub(crate) fn key() -> impl Strategy<Value = Bytes> {
    prop::sample::select(vec!["a", "aa", "ab", "b", "ba", "c"])
        .prop_map(|key| Bytes::from_static(key.as_bytes()))
}

pub(crate) fn range_end() -> impl Strategy<Value = Bytes> {
    prop::sample::select(vec!["", "", "", "\0", "b", "ab", "bz", "d", "a"])
        .prop_map(|end| Bytes::from_static(end.as_bytes()))
}

fn value() -> impl Strategy<Value = Bytes> {
    prop::sample::select(vec!["", "x", "y", "z"])
        .prop_map(|value| Bytes::from_static(value.as_bytes()))
}

fn lease() -> impl Strategy<Value = i64> {
    prop::sample::select(vec![0_i64, 0, 0, 1, 2, 3])
}

fn put() -> impl Strategy<Value = PutRequest> {
    (
        key(),
        value(),
        lease(),
        any::<bool>(),
        prop::bool::weighted(0.15),
        prop::bool::weighted(0.15),
    )
        .prop_map(
            |(key, value, lease, prev_kv, ignore_value, ignore_lease)| PutRequest {
                key,
                value: if ignore_value { Bytes::new() } else { value },
                lease: if ignore_lease { 0 } else { lease },
                prev_kv,
                ignore_value,
                ignore_lease,
            },
        )
}

fn delete() -> impl Strategy<Value = DeleteRangeRequest> {
    (key(), range_end(), any::<bool>()).prop_map(|(key, range_end, prev_kv)| DeleteRangeRequest {
        key,
        range_end,
        prev_kv,
    })
}

/// `revision` counts back from the newest; [`settle`] turns it into a real one.
pub(crate) fn range() -> impl Strategy<Value = RangeRequest> {
    let shape = (key(), range_end(), -2_i64..9, 0_i64..4);
    let order = (
        0_i32..3,
        0_i32..5,
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.1),
    );
    let limits = prop::option::weighted(0.2, (0_i64..20, 0_i64..20, 0_i64..20, 0_i64..20));
    (shape, order, limits).prop_map(|(shape, order, limits)| {
        let (key, range_end, revision, limit) = shape;
        let (sort_order, sort_target, keys_only, count_only) = order;
        let (min_mod, max_mod, min_create, max_create) = limits.unwrap_or_default();
        RangeRequest {
            key,
            range_end,
            limit,
            revision,
            sort_order,
            sort_target,
            serializable: false,
            keys_only,
            count_only,
            min_mod_revision: min_mod,
            max_mod_revision: max_mod,
            min_create_revision: min_create,
            max_create_revision: max_create,
        }
    })
}

/// Makes the revision of a [`range`] real: 0 stays the newest.
pub(crate) fn settle(mut range: RangeRequest, newest: i64) -> RangeRequest {
    if range.revision != 0 {
        range.revision = newest + 1 - range.revision;
    }
    range.revision = range.revision.max(0);
    range
}

fn compare() -> impl Strategy<Value = Compare> {
    let target = prop_oneof![
        (0_i64..4).prop_map(|n| (0, TargetUnion::Version(n))),
        (0_i64..12).prop_map(|n| (1, TargetUnion::CreateRevision(n))),
        (0_i64..12).prop_map(|n| (2, TargetUnion::ModRevision(n))),
        value().prop_map(|value| (3, TargetUnion::Value(value))),
        (0_i64..3).prop_map(|n| (4, TargetUnion::Lease(n))),
    ];
    (key(), range_end(), target, 0_i32..4).prop_map(|(key, range_end, (target, union), result)| {
        Compare {
            result,
            target,
            key,
            range_end,
            target_union: Some(union),
        }
    })
}

fn op(request: Request) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

/// Operations of one branch. The door lets no key be written twice, so neither does this.
fn branch(depth: u32) -> BoxedStrategy<Vec<RequestOp>> {
    let leaf = prop_oneof![
        4 => put().prop_map(|put| op(Request::RequestPut(put))),
        2 => delete().prop_map(|delete| op(Request::RequestDeleteRange(delete))),
        3 => range().prop_map(|range| op(Request::RequestRange(range))),
    ];
    if depth == 0 {
        return vec(leaf, 0..4).prop_map(without_overlap).boxed();
    }
    let nested = txn(depth - 1).prop_map(|txn| op(Request::RequestTxn(txn)));
    vec(prop_oneof![6 => leaf, 1 => nested], 0..4)
        .prop_map(without_overlap)
        .boxed()
}

fn txn(depth: u32) -> BoxedStrategy<TxnRequest> {
    (vec(compare(), 0..3), branch(depth), branch(depth))
        .prop_map(|(compare, success, failure)| TxnRequest {
            compare,
            success,
            failure,
        })
        .boxed()
}

/// Leaves the first of what writes the same keys; nested transactions count with all their keys.
fn without_overlap(ops: Vec<RequestOp>) -> Vec<RequestOp> {
    let mut taken = Vec::new();
    ops.into_iter()
        .filter(|op| {
            let mut own = Vec::new();
            written(op, &mut own);
            let meets = |(start, end): &(Bytes, Bytes)| {
                let keys = ["a", "aa", "ab", "b", "ba", "c"];
                let is_in = |key: &&str| super::reference::is_in(key.as_bytes(), start, end);
                keys.iter().filter(|key| is_in(key)).any(|key| {
                    taken.iter().any(|(start, end): &(Bytes, Bytes)| {
                        super::reference::is_in(key.as_bytes(), start, end)
                    })
                })
            };
            if own.iter().any(meets) {
                return false;
            }
            taken.extend(own);
            true
        })
        .collect()
}

fn written(op: &RequestOp, out: &mut Vec<(Bytes, Bytes)>) {
    match op.request.as_ref().unwrap() {
        Request::RequestPut(put) => out.push((put.key.clone(), Bytes::new())),
        Request::RequestDeleteRange(delete) => {
            out.push((delete.key.clone(), delete.range_end.clone()));
        }
        Request::RequestTxn(txn) => {
            txn.success
                .iter()
                .chain(&txn.failure)
                .for_each(|op| written(op, out));
        }
        Request::RequestRange(_) => {}
    }
}

/// Makes the revisions of a transaction's ranges real.
pub(crate) fn settle_txn(mut txn: TxnRequest, newest: i64) -> TxnRequest {
    for op in txn.success.iter_mut().chain(&mut txn.failure) {
        match op.request.as_mut().unwrap() {
            Request::RequestRange(range) => *range = settle(range.clone(), newest),
            Request::RequestTxn(inner) => *inner = settle_txn(inner.clone(), newest),
            Request::RequestPut(_) | Request::RequestDeleteRange(_) => {}
        }
    }
    txn
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => put().prop_map(Step::Put),
        5 => delete().prop_map(Step::Delete),
        8 => txn(2).prop_map(Step::Txn),
        3 => (-1_i64..6).prop_map(Step::Compact),
        2 => (1_i64..4).prop_map(Step::Grant),
        1 => (1_i64..4).prop_map(Step::Revoke),
        1 => Just(Step::Flush),
        1 => Just(Step::Crash),
        1 => Just(Step::Collect),
    ]
}
