//! What a request must be before it may cost anything: the checks of etcd's own door, in its order,
//! so that the same bad request gets the same answer.

use std::collections::BTreeSet;

use proto_etcd::etcdserverpb::range_request::{SortOrder, SortTarget};
use proto_etcd::etcdserverpb::request_op::Request;
use proto_etcd::etcdserverpb::{
    DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};

use super::status::Error;

/// A range.
pub(super) fn range(request: &RangeRequest) -> Result<(), Error> {
    if request.key.is_empty() {
        return Err(Error::EmptyKey);
    }
    let order = SortOrder::try_from(request.sort_order);
    let target = SortTarget::try_from(request.sort_target);
    if order.is_err() || target.is_err() {
        Err(Error::InvalidSortOption)
    } else {
        Ok(())
    }
}

/// A range to be streamed.
pub(super) fn range_stream(request: &RangeRequest) -> Result<(), Error> {
    range(request)?;
    // As keys come: without an order, or ascending by key.
    let plain = match request.sort_order() {
        SortOrder::None => true,
        SortOrder::Ascend => request.sort_target() == SortTarget::Key,
        SortOrder::Descend => false,
    };
    if !plain {
        return Err(Error::StreamSort);
    }
    let filters = [
        request.min_mod_revision,
        request.max_mod_revision,
        request.min_create_revision,
        request.max_create_revision,
    ];
    if filters.iter().any(|filter| *filter != 0) {
        Err(Error::StreamFilters)
    } else {
        Ok(())
    }
}

/// A put.
pub(super) fn put(request: &PutRequest) -> Result<(), Error> {
    if request.key.is_empty() {
        Err(Error::EmptyKey)
    } else if request.ignore_value && !request.value.is_empty() {
        Err(Error::ValueProvided)
    } else if request.ignore_lease && request.lease != 0 {
        Err(Error::LeaseProvided)
    } else {
        Ok(())
    }
}

/// A delete.
pub(super) fn delete(request: &DeleteRangeRequest) -> Result<(), Error> {
    if request.key.is_empty() {
        Err(Error::EmptyKey)
    } else {
        Ok(())
    }
}

/// A transaction, with everything nested in it.
pub(super) fn txn(request: &TxnRequest, ops_max: usize) -> Result<(), Error> {
    txn_form(request, ops_max)?;
    // Only now: the number of operations bounds what this costs.
    writes(&request.success)?;
    writes(&request.failure)?;
    Ok(())
}

fn txn_form(request: &TxnRequest, ops_max: usize) -> Result<(), Error> {
    let ops = request
        .compare
        .len()
        .max(request.success.len())
        .max(request.failure.len());
    let Some(ops_left) = ops_max.checked_sub(ops) else {
        return Err(Error::TooManyOps);
    };
    if request.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(Error::EmptyKey);
    }
    for op in request.success.iter().chain(&request.failure) {
        match &op.request {
            Some(Request::RequestRange(request)) => range(request)?,
            Some(Request::RequestPut(request)) => put(request)?,
            Some(Request::RequestDeleteRange(request)) => delete(request)?,
            Some(Request::RequestTxn(request)) => txn_form(request, ops_left)?,
            // etcd's answer to an operation that says nothing.
            None => return Err(Error::KeyNotFound),
        }
    }
    Ok(())
}

/// What one branch writes.
#[derive(Default)]
struct Writes<'a> {
    puts: BTreeSet<&'a [u8]>,
    deletes: Vec<&'a DeleteRangeRequest>,
}

impl<'a> Writes<'a> {
    /// Refuses a key that is written already; `unless` holds keys of the other branch, of which only
    /// one runs.
    fn put(&mut self, key: &'a [u8], unless: Option<&BTreeSet<&[u8]>>) -> Result<(), Error> {
        let twice = self.puts.contains(key) && !unless.is_some_and(|other| other.contains(key));
        if twice || self.deletes.iter().any(|delete| deletes(delete, key)) {
            return Err(Error::DuplicateKey);
        }
        self.puts.insert(key);
        Ok(())
    }
}

/// Finds keys that a branch would write twice.
fn writes(ops: &[RequestOp]) -> Result<Writes<'_>, Error> {
    let mut all = Writes::default();
    for op in ops {
        if let Some(Request::RequestDeleteRange(delete)) = &op.request {
            all.deletes.push(delete);
        }
    }
    for op in ops {
        let Some(Request::RequestTxn(nested)) = &op.request else {
            continue;
        };
        let then = writes(&nested.success)?;
        let otherwise = writes(&nested.failure)?;
        for key in &then.puts {
            all.put(key, None)?;
        }
        for key in &otherwise.puts {
            all.put(key, Some(&then.puts))?;
        }
        all.deletes.extend(then.deletes);
        all.deletes.extend(otherwise.deletes);
    }
    for op in ops {
        if let Some(Request::RequestPut(put)) = &op.request {
            all.put(&put.key, None)?;
        }
    }
    Ok(all)
}

/// Whether etcd's interval tree sees `key` in the range. Its end is taken as it is written, so that
/// "\0", from the key on, hits nothing, nor does one that is not after the key: clients rely on what
/// etcd lets pass.
fn deletes(delete: &DeleteRangeRequest, key: &[u8]) -> bool {
    let begin: &[u8] = &delete.key;
    if delete.range_end.is_empty() {
        return begin == key;
    }
    begin <= key && key < &delete.range_end[..]
}

#[cfg(test)]
mod tests {
    use proto_etcd::etcdserverpb::request_op::Request;
    use proto_etcd::etcdserverpb::{
        DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
    };

    use super::super::status::Error;
    use super::{range, range_stream, txn};

    fn op(request: Request) -> RequestOp {
        RequestOp {
            request: Some(request),
        }
    }

    fn put(key: &'static str) -> RequestOp {
        op(Request::RequestPut(PutRequest {
            key: key.into(),
            ..Default::default()
        }))
    }

    fn delete(key: &'static str, range_end: &'static str) -> RequestOp {
        let request = DeleteRangeRequest {
            key: key.into(),
            range_end: range_end.into(),
            prev_kv: false,
        };
        op(Request::RequestDeleteRange(request))
    }

    fn branch(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> TxnRequest {
        TxnRequest {
            compare: Vec::new(),
            success,
            failure,
        }
    }

    fn nested(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> RequestOp {
        op(Request::RequestTxn(branch(success, failure)))
    }

    #[test]
    fn a_branch_writes_a_key_once() {
        let twice = Err(Error::DuplicateKey);
        let cases = [
            (vec![put("a"), put("b")], Ok(())),
            (vec![put("a"), put("a")], twice.clone()),
            (vec![put("b"), delete("a", "c")], twice.clone()),
            (vec![put("c"), delete("a", "c")], Ok(())),
            (vec![put("a"), delete("a", "")], twice.clone()),
            (vec![delete("a", "c"), delete("b", "d")], Ok(())),
            (vec![nested(vec![put("a")], vec![put("a")])], Ok(())),
            (
                vec![put("a"), nested(vec![], vec![put("a")])],
                twice.clone(),
            ),
            (
                vec![
                    nested(vec![put("a")], vec![]),
                    nested(vec![], vec![put("a")]),
                ],
                twice.clone(),
            ),
            (
                vec![nested(vec![delete("a", "c")], vec![]), put("b")],
                twice,
            ),
            (vec![put("b"), delete("a", "\0")], Ok(())),
            (vec![put("a"), delete("a", "\0")], Ok(())),
            (vec![put("b"), delete("b", "a")], Ok(())),
            (vec![put("b"), delete("b", "b")], Ok(())),
        ];
        for (number, (ops, expected)) in cases.into_iter().enumerate() {
            assert_eq!(
                txn(&branch(ops.clone(), vec![]), 128),
                expected,
                "case {number}, then"
            );
            assert_eq!(
                txn(&branch(vec![], ops), 128),
                expected,
                "case {number}, else"
            );
        }
    }

    #[test]
    fn a_transaction_has_so_many_operations() {
        let keys: Vec<RequestOp> = ["a", "b", "c"].into_iter().map(put).collect();
        assert_eq!(txn(&branch(keys.clone(), vec![]), 3), Ok(()));
        assert_eq!(
            txn(&branch(keys.clone(), vec![]), 2),
            Err(Error::TooManyOps)
        );
        // One for the nesting itself, three for what is nested.
        assert_eq!(
            txn(&branch(vec![nested(keys.clone(), vec![])], vec![]), 4),
            Ok(())
        );
        assert_eq!(
            txn(&branch(vec![nested(keys, vec![])], vec![]), 3),
            Err(Error::TooManyOps)
        );
        assert_eq!(
            txn(&branch(vec![RequestOp::default()], vec![]), 3),
            Err(Error::KeyNotFound)
        );
        assert_eq!(txn(&branch(vec![put("")], vec![]), 3), Err(Error::EmptyKey));
    }

    #[test]
    fn a_range_has_a_key_and_a_known_order() {
        let request = |sort_order, sort_target| RangeRequest {
            key: "a".into(),
            sort_order,
            sort_target,
            ..Default::default()
        };
        assert_eq!(range(&RangeRequest::default()), Err(Error::EmptyKey));
        assert_eq!(range(&request(3, 0)), Err(Error::InvalidSortOption));
        assert_eq!(range(&request(0, 5)), Err(Error::InvalidSortOption));
        assert_eq!(range_stream(&request(1, 0)), Ok(()));
        assert_eq!(range_stream(&request(2, 0)), Err(Error::StreamSort));
        assert_eq!(range_stream(&request(0, 1)), Ok(()));
        assert_eq!(range_stream(&request(1, 1)), Err(Error::StreamSort));
        let filtered = RangeRequest {
            min_mod_revision: 1,
            ..request(0, 0)
        };
        assert_eq!(range_stream(&filtered), Err(Error::StreamFilters));
    }
}
