//! Transactions: compare, check, then do; all of it or nothing.
//!
//! Every comparison, also of nested transactions, sees the state before the first operation. Every
//! operation on the chosen branches is checked before the first write, on every member, so that all
//! members refuse the same transactions.

use bytes::Bytes;
use proto_etcd::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto_etcd::etcdserverpb::request_op::Request;
use proto_etcd::etcdserverpb::response_op::Response;
use proto_etcd::etcdserverpb::{
    Compare, RangeRequest, RequestOp, ResponseHeader, ResponseOp, TxnRequest, TxnResponse,
};

use super::{Error, KeyRange, Live, Load, Source, Writer, range};

/// Which branch each transaction takes, nested ones in order of appearance.
struct Path {
    succeeded: bool,
    nested: Vec<Path>,
}

/// True if a transaction can change nothing. A nested transaction counts as a write, as in etcd.
pub fn is_read_only(request: &TxnRequest) -> bool {
    let mut ops = request.success.iter().chain(&request.failure);
    ops.all(|op| matches!(op.request, Some(Request::RequestRange(_))))
}

impl Writer<'_> {
    /// Does a transaction. On an error this writer must be dropped.
    pub fn txn(&mut self, request: &TxnRequest) -> Result<TxnResponse, Error> {
        let path = self.decide(request)?;
        self.check(request, &path)?;
        let mut response = self.run(request, &path)?;
        let revision = self.revision();
        response.header = Some(ResponseHeader {
            revision,
            ..ResponseHeader::default()
        });
        Ok(response)
    }

    fn decide(&self, request: &TxnRequest) -> Result<Path, Error> {
        let mut succeeded = true;
        for compare in &request.compare {
            if !self.compare(compare)? {
                succeeded = false;
                break;
            }
        }
        let mut nested = Vec::new();
        for op in branch(request, succeeded) {
            if let Some(Request::RequestTxn(inner)) = &op.request {
                nested.push(self.decide(inner)?);
            }
        }
        Ok(Path { succeeded, nested })
    }

    fn check(&self, request: &TxnRequest, path: &Path) -> Result<(), Error> {
        let mut nested = path.nested.iter();
        for op in branch(request, path.succeeded) {
            match &op.request {
                Some(Request::RequestRange(range)) => self.check_range(range)?,
                Some(Request::RequestPut(put)) => self.check_put(put)?,
                Some(Request::RequestTxn(inner)) => {
                    if let Some(path) = nested.next() {
                        self.check(inner, path)?;
                    }
                }
                Some(Request::RequestDeleteRange(_)) | None => {}
            }
        }
        Ok(())
    }

    /// As etcd: here, unlike in a plain range, a negative revision is a compacted one.
    fn check_range(&self, request: &RangeRequest) -> Result<(), Error> {
        let base = self.base();
        match request.revision {
            0 => Ok(()),
            revision if revision > base.revision => Err(Error::FutureRev),
            revision if revision < base.compact_revision => Err(Error::Compacted),
            _ => Ok(()),
        }
    }

    fn run(&mut self, request: &TxnRequest, path: &Path) -> Result<TxnResponse, Error> {
        let mut nested = path.nested.iter();
        let mut responses = Vec::new();
        for op in branch(request, path.succeeded) {
            let response = match &op.request {
                Some(Request::RequestRange(range)) => {
                    self.calls.ranges += 1;
                    let selected = range::select(range, self)?;
                    Some(Response::ResponseRange(range::respond(
                        range, selected, self,
                    )?))
                }
                Some(Request::RequestPut(put)) => Some(Response::ResponsePut(self.put(put)?)),
                Some(Request::RequestDeleteRange(delete)) => {
                    Some(Response::ResponseDeleteRange(self.delete_range(delete)?))
                }
                Some(Request::RequestTxn(inner)) => match nested.next() {
                    Some(path) => Some(Response::ResponseTxn(self.run(inner, path)?)),
                    None => None,
                },
                None => None,
            };
            responses.push(ResponseOp { response });
        }
        // A nested answer has an empty header, as etcd's has; the outermost gets its revision later.
        let header = Some(ResponseHeader::default());
        Ok(TxnResponse {
            header,
            succeeded: path.succeeded,
            responses,
        })
    }

    /// True if every key of the range compares; a range without keys compares as one absent key,
    /// whose numbers are all 0 and whose value equals nothing.
    fn compare(&self, compare: &Compare) -> Result<bool, Error> {
        let range = KeyRange::new(&compare.key, &compare.range_end);
        let is_value = compare.target == CompareTarget::Value as i32;
        let mut found: Vec<Live> = Vec::new();
        let mut holds = true;
        self.base()
            .walk(&range, self.base().revision, &mut |_, live| {
                found.push(*live);
                holds = is_value || numbers_compare(compare, live);
                holds
            });
        if found.is_empty() {
            return Ok(!is_value && numbers_compare(compare, &Live::default()));
        }
        if !is_value || !holds {
            return Ok(holds);
        }
        for live in found {
            let pairs = self.load(&[live.at])?;
            if !pairs.iter().all(|kv| value_compares(compare, &kv.value)) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn branch(request: &TxnRequest, succeeded: bool) -> &[RequestOp] {
    if succeeded {
        &request.success
    } else {
        &request.failure
    }
}

/// A target value of another kind than the target counts as 0, as in etcd.
fn numbers_compare(compare: &Compare, live: &Live) -> bool {
    let wanted = compare.target_union.as_ref();
    let (actual, wanted) = match CompareTarget::try_from(compare.target) {
        Ok(CompareTarget::Version) => (
            live.version,
            match wanted {
                Some(TargetUnion::Version(wanted)) => *wanted,
                _ => 0,
            },
        ),
        Ok(CompareTarget::Create) => (
            live.create_revision,
            match wanted {
                Some(TargetUnion::CreateRevision(wanted)) => *wanted,
                _ => 0,
            },
        ),
        Ok(CompareTarget::Mod) => (
            live.at.main,
            match wanted {
                Some(TargetUnion::ModRevision(wanted)) => *wanted,
                _ => 0,
            },
        ),
        Ok(CompareTarget::Lease) => (
            live.lease,
            match wanted {
                Some(TargetUnion::Lease(wanted)) => *wanted,
                _ => 0,
            },
        ),
        // A target that nobody knows compares as equal, as in etcd.
        Ok(CompareTarget::Value) | Err(_) => (0, 0),
    };
    holds(compare, actual.cmp(&wanted))
}

fn value_compares(compare: &Compare, actual: &Bytes) -> bool {
    let wanted = match &compare.target_union {
        Some(TargetUnion::Value(wanted)) => wanted.clone(),
        _ => Bytes::new(),
    };
    holds(compare, actual.cmp(&wanted))
}

fn holds(compare: &Compare, order: std::cmp::Ordering) -> bool {
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => order.is_eq(),
        Ok(CompareResult::NotEqual) => order.is_ne(),
        Ok(CompareResult::Greater) => order.is_gt(),
        Ok(CompareResult::Less) => order.is_lt(),
        // A result that nobody knows holds, as in etcd.
        Err(_) => true,
    }
}
