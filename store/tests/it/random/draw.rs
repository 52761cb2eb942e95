//! Requests drawn by chance, good and bad ones.

use bytes::Bytes;
use proto_etcd::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto_etcd::etcdserverpb::request_op::Request;
use proto_etcd::etcdserverpb::{
    CompactionRequest, Compare, DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest,
    LeaseTimeToLiveRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, WatchCreateRequest,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

#[derive(Clone, Debug)]
pub(super) enum Step {
    Put(PutRequest),
    Range(RangeRequest),
    Delete(DeleteRangeRequest),
    Txn(TxnRequest),
    Compact(CompactionRequest),
    Grant(LeaseGrantRequest),
    Revoke(LeaseRevokeRequest),
    TimeToLive(LeaseTimeToLiveRequest),
    Leases,
}

/// Draws requests; knows the newest revision, so that it asks around it.
pub(super) struct Draw {
    chance: StdRng,
    pub(super) revision: i64,
    /// The peer is no 3.5.
    pub(super) is_newest: bool,
}

const KEYS: [&str; 9] = [
    "a", "b", "b/", "b/1", "b/2", "b/2/x", "c", "c\u{0}", "\u{7f}z",
];
const ENDS: [&str; 6] = ["", "\0", "b0", "c", "z", "a"];

impl Draw {
    pub(super) fn new(seed: u64, is_newest: bool) -> Self {
        Self {
            chance: StdRng::seed_from_u64(seed),
            revision: 1,
            is_newest,
        }
    }

    fn of(&mut self, limit: i64) -> i64 {
        self.chance.random_range(0..limit)
    }

    fn one_in(&mut self, many: i64) -> bool {
        self.of(many) == 0
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.chance.random_range(0..all.len())]
    }

    fn key(&mut self) -> Bytes {
        match self.one_in(40) {
            true => Bytes::new(),
            false => Bytes::from_static(self.pick(&KEYS).as_bytes()),
        }
    }

    fn end(&mut self) -> Bytes {
        Bytes::from_static(self.pick(&ENDS).as_bytes())
    }

    fn value(&mut self) -> Bytes {
        Bytes::from(self.of(5).to_string())
    }

    /// Mostly none, sometimes one that is there or is not.
    fn lease(&mut self) -> i64 {
        match self.one_in(4) {
            true => self.of(6),
            false => 0,
        }
    }

    /// Mostly the newest, sometimes an older one, rarely one that is yet to come or never was.
    fn at(&mut self) -> i64 {
        match self.of(12) {
            0..6 => 0,
            6 => self.revision + self.of(3),
            7 => -1,
            _ => (self.revision - self.of(40)).max(0),
        }
    }

    fn put(&mut self) -> PutRequest {
        let ignore_value = self.one_in(12);
        let ignore_lease = self.one_in(12);
        let empty = self.chance.random_range(0..8) > 0;
        PutRequest {
            key: self.key(),
            value: if ignore_value && empty {
                Bytes::new()
            } else {
                self.value()
            },
            lease: if ignore_lease && empty {
                0
            } else {
                self.lease()
            },
            prev_kv: self.one_in(2),
            ignore_value,
            ignore_lease,
        }
    }

    fn range(&mut self) -> RangeRequest {
        let bound = |draw: &mut Self| match draw.one_in(5) {
            true => draw.revision - draw.of(30),
            false => 0,
        };
        RangeRequest {
            key: self.key(),
            range_end: self.end(),
            limit: self.pick(&[0, 0, 0, 1, 2, 3, -1]),
            revision: self.at(),
            sort_order: match self.is_newest && self.one_in(20) {
                true => 3,
                false => self.pick(&[0, 0, 1, 2, 2]),
            },
            sort_target: match self.is_newest && self.one_in(20) {
                true => 5,
                false => self.pick(&[0, 1, 2, 3, 4]),
            },
            serializable: self.one_in(3),
            keys_only: self.is_newest && self.one_in(5),
            count_only: self.one_in(8),
            min_mod_revision: bound(self),
            max_mod_revision: bound(self),
            min_create_revision: bound(self),
            max_create_revision: bound(self),
        }
    }

    fn delete(&mut self) -> DeleteRangeRequest {
        let is_one = self.chance.random_range(0..3) > 0;
        DeleteRangeRequest {
            key: self.key(),
            range_end: if is_one { Bytes::new() } else { self.end() },
            prev_kv: self.one_in(2),
        }
    }

    fn compare(&mut self) -> Compare {
        let near = self.revision - self.of(20);
        let (target, union) = match self.of(5) {
            0 => (CompareTarget::Version, TargetUnion::Version(self.of(4))),
            1 => {
                let revision = self.pick(&[0, near]);
                (CompareTarget::Create, TargetUnion::CreateRevision(revision))
            }
            2 => {
                let revision = self.pick(&[0, near]);
                (CompareTarget::Mod, TargetUnion::ModRevision(revision))
            }
            3 => (CompareTarget::Lease, TargetUnion::Lease(self.of(6))),
            _ => (CompareTarget::Value, TargetUnion::Value(self.value())),
        };
        let result = self.pick(&[
            CompareResult::Equal,
            CompareResult::NotEqual,
            CompareResult::Greater,
            CompareResult::Less,
        ]);
        Compare {
            result: result.into(),
            target: target.into(),
            key: self.key(),
            range_end: if self.one_in(5) {
                self.end()
            } else {
                Bytes::new()
            },
            target_union: (!self.one_in(20)).then_some(union),
        }
    }

    fn ops(&mut self, depth: u32) -> Vec<RequestOp> {
        let count = self.of(4);
        let mut ops = Vec::new();
        for _ in 0..count {
            let request = match self.of(10) {
                0..4 => Request::RequestPut(self.put()),
                4..7 => Request::RequestRange(self.range()),
                7..9 => Request::RequestDeleteRange(self.delete()),
                _ if depth < 2 => Request::RequestTxn(self.txn(depth + 1)),
                _ => Request::RequestRange(self.range()),
            };
            ops.push(RequestOp {
                request: (!self.one_in(60)).then_some(request),
            });
        }
        ops
    }

    fn txn(&mut self, depth: u32) -> TxnRequest {
        let compares = self.of(3);
        TxnRequest {
            compare: (0..compares).map(|_| self.compare()).collect(),
            success: self.ops(depth),
            failure: self.ops(depth),
        }
    }

    pub(super) fn step(&mut self) -> Step {
        match self.of(100) {
            0..28 => Step::Put(self.put()),
            28..52 => Step::Range(self.range()),
            52..60 => Step::Delete(self.delete()),
            60..84 => {
                let mut txn = self.txn(0);
                if has_delete(&txn) {
                    name_all(&mut txn);
                }
                Step::Txn(txn)
            }
            84..87 => Step::Compact(CompactionRequest {
                revision: self.pick(&[
                    -1,
                    0,
                    self.revision - 25,
                    self.revision - 5,
                    self.revision + 1,
                ]),
                physical: self.one_in(2),
            }),
            87..92 => Step::Grant(LeaseGrantRequest {
                // Never so short that it could end within the run, as none or a negative one would.
                ttl: self.pick(&[9_000_000_000, 9_000_000_001, 10_000, 20_000]),
                // Zero would let the member choose.
                id: 1 + self.of(5),
            }),
            92..95 => Step::Revoke(LeaseRevokeRequest { id: self.of(7) }),
            95..98 => Step::TimeToLive(LeaseTimeToLiveRequest {
                id: self.of(7),
                keys: self.one_in(2),
            }),
            _ => Step::Leases,
        }
    }

    pub(super) fn watch(&mut self) -> WatchCreateRequest {
        // Its end must be told to each, so each range reaches to the last key.
        let key = Bytes::from_static(self.pick(&KEYS).as_bytes());
        WatchCreateRequest {
            key,
            range_end: Bytes::from_static(b"\0"),
            start_revision: 1 + self.of(self.revision),
            filters: self.pick(&[&[][..], &[], &[1]]).to_vec(),
            prev_kv: self.one_in(2),
            fragment: self.one_in(3),
            ..WatchCreateRequest::default()
        }
    }
}

/// All operations of a transaction, but not those of nested ones.
fn ops_of(txn: &TxnRequest) -> impl Iterator<Item = &Request> {
    let ops = txn.success.iter().chain(&txn.failure);
    ops.filter_map(|op| op.request.as_ref())
}

fn has_delete(txn: &TxnRequest) -> bool {
    ops_of(txn).any(|request| match request {
        Request::RequestDeleteRange(_) => true,
        Request::RequestTxn(inner) => has_delete(inner),
        Request::RequestPut(_) | Request::RequestRange(_) => false,
    })
}

/// Has every put bring its value and its lease. A real etcd looks for what a put leaves to be as it is
/// before the first operation: if another operation deletes the key, it ends by a panic.
fn name_all(txn: &mut TxnRequest) {
    for op in txn.success.iter_mut().chain(&mut txn.failure) {
        match &mut op.request {
            Some(Request::RequestPut(put)) => {
                (put.ignore_value, put.ignore_lease) = (false, false);
            }
            Some(Request::RequestTxn(inner)) => name_all(inner),
            Some(Request::RequestRange(_) | Request::RequestDeleteRange(_)) | None => {}
        }
    }
}
