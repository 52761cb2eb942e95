//! How much space a request takes, as etcd counts it. The quota decides what the requester is told
//! and never what an entry changes: the alarm that closes the store is itself an entry.

use proto_etcd::etcdserverpb::request_op::Request;
use proto_etcd::etcdserverpb::{PutRequest, RequestOp, TxnRequest};

/// etcd's estimate for what is stored around a pair.
const PUT_OVERHEAD_BYTES: u64 = 256;

/// etcd's estimate for a lease.
pub(super) const LEASE_COST_BYTES: u64 = 64;

/// What a put costs, in bytes.
pub fn put_cost(request: &PutRequest) -> u64 {
    PUT_OVERHEAD_BYTES + (request.key.len() + request.value.len()) as u64
}

/// What a transaction costs, in bytes: its dearer branch. 0 if it puts nothing.
pub fn txn_cost(request: &TxnRequest) -> u64 {
    let branch = |ops: &[RequestOp]| ops.iter().map(op_cost).sum::<u64>();
    branch(&request.success).max(branch(&request.failure))
}

fn op_cost(op: &RequestOp) -> u64 {
    match &op.request {
        Some(Request::RequestPut(put)) => put_cost(put),
        Some(Request::RequestTxn(txn)) => txn_cost(txn),
        Some(Request::RequestRange(_) | Request::RequestDeleteRange(_)) | None => 0,
    }
}
