//! A model of etcd's key-value store that keeps every state whole and does everything the slow way.
//! Shares no code with what it judges.

use std::collections::BTreeMap;

use bytes::Bytes;
use proto_etcd::etcdserverpb::compare::TargetUnion;
use proto_etcd::etcdserverpb::request_op::Request;
use proto_etcd::etcdserverpb::response_op::Response;
use proto_etcd::etcdserverpb::{
    Compare, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, RangeRequest,
    RangeResponse, ResponseHeader, ResponseOp, TxnRequest, TxnResponse,
};
use proto_etcd::mvccpb::{Event, KeyValue};

use crate::command::ApplyError;

type Pairs = BTreeMap<Bytes, KeyValue>;

/// Every state by revision, from 1.
#[derive(Clone, Default)]
pub(crate) struct Model {
    states: Vec<Pairs>,
    /// The events of each revision.
    pub(crate) events: BTreeMap<i64, Vec<Event>>,
    pub(crate) compacted: i64,
    pub(crate) leases: BTreeMap<i64, i64>,
}

/// One revision in the making.
struct Draft<'m> {
    model: &'m Model,
    pairs: Pairs,
    events: Vec<Event>,
}

impl Model {
    pub(crate) fn new() -> Self {
        Self {
            states: vec![Pairs::new()],
            compacted: -1,
            ..Self::default()
        }
    }

    pub(crate) fn revision(&self) -> i64 {
        i64::try_from(self.states.len()).unwrap()
    }

    pub(crate) fn now(&self) -> &Pairs {
        self.states.last().unwrap()
    }

    fn at(&self, revision: i64) -> &Pairs {
        &self.states[usize::try_from(revision - 1).unwrap()]
    }

    fn draft(&self) -> Draft<'_> {
        Draft {
            model: self,
            pairs: self.now().clone(),
            events: Vec::new(),
        }
    }

    fn commit(&mut self, pairs: Pairs, events: Vec<Event>) {
        if !events.is_empty() {
            self.states.push(pairs);
            self.events.insert(self.revision(), events);
        }
    }

    pub(crate) fn range(&self, request: &RangeRequest) -> Result<RangeResponse, ApplyError> {
        self.draft().range(request)
    }

    pub(crate) fn put(&mut self, request: &PutRequest) -> Result<PutResponse, ApplyError> {
        let mut draft = self.draft();
        draft.check_put(request)?;
        let response = draft.put(request);
        let Draft { pairs, events, .. } = draft;
        self.commit(pairs, events);
        Ok(response)
    }

    pub(crate) fn delete(&mut self, request: &DeleteRangeRequest) -> DeleteRangeResponse {
        let mut draft = self.draft();
        let response = draft.delete(request);
        let Draft { pairs, events, .. } = draft;
        self.commit(pairs, events);
        response
    }

    pub(crate) fn txn(&mut self, request: &TxnRequest) -> Result<TxnResponse, ApplyError> {
        let mut draft = self.draft();
        draft.check(request)?;
        let mut response = draft.run(request)?;
        response.header = draft.header();
        let Draft { pairs, events, .. } = draft;
        self.commit(pairs, events);
        Ok(response)
    }

    pub(crate) fn compact(&mut self, revision: i64) -> Result<(), ApplyError> {
        if revision <= self.compacted {
            return Err(ApplyError::Compacted);
        }
        if revision > self.revision() {
            return Err(ApplyError::FutureRev);
        }
        self.compacted = revision;
        Ok(())
    }

    pub(crate) fn grant(&mut self, id: i64, ttl: i64) -> Result<(), ApplyError> {
        if self.leases.contains_key(&id) {
            return Err(ApplyError::LeaseExists);
        }
        self.leases.insert(id, ttl);
        Ok(())
    }

    pub(crate) fn revoke(&mut self, id: i64) -> Result<(), ApplyError> {
        self.leases.remove(&id).ok_or(ApplyError::LeaseNotFound)?;
        let keys = self.keys_of(id);
        let mut draft = self.draft();
        for key in keys {
            draft.delete(&DeleteRangeRequest {
                key,
                ..Default::default()
            });
        }
        let Draft { pairs, events, .. } = draft;
        self.commit(pairs, events);
        Ok(())
    }

    pub(crate) fn keys_of(&self, lease: i64) -> Vec<Bytes> {
        let pairs = self.now().values().filter(|kv| kv.lease == lease);
        pairs.map(|kv| kv.key.clone()).collect()
    }
}

pub(crate) fn is_in(key: &[u8], start: &[u8], end: &[u8]) -> bool {
    match end {
        [] => key == start,
        [0] => key >= start,
        end => key >= start && key < end,
    }
}

impl Draft<'_> {
    fn revision(&self) -> i64 {
        self.model.revision() + i64::from(!self.events.is_empty())
    }

    fn header(&self) -> Option<ResponseHeader> {
        Some(ResponseHeader {
            revision: self.revision(),
            ..Default::default()
        })
    }

    fn range(&self, request: &RangeRequest) -> Result<RangeResponse, ApplyError> {
        if request.revision > self.revision() {
            return Err(ApplyError::FutureRev);
        }
        let pairs = match request.revision {
            at if at <= 0 || at > self.model.revision() => &self.pairs,
            at if at < self.model.compacted => return Err(ApplyError::Compacted),
            at => self.model.at(at),
        };
        let in_range = pairs
            .values()
            .filter(|kv| is_in(&kv.key, &request.key, &request.range_end));
        let mut kvs: Vec<KeyValue> = in_range.cloned().collect();
        let count = i64::try_from(kvs.len()).unwrap();
        if request.count_only {
            kvs.clear();
        }
        let (target, order) = (request.sort_target, request.sort_order);
        let has_filter = [
            request.min_mod_revision,
            request.max_mod_revision,
            request.min_create_revision,
            request.max_create_revision,
        ] != [0; 4];
        let limit = usize::try_from(request.limit).unwrap();
        // Without an order etcd cuts before it sorts.
        if limit > 0 && !has_filter && order == 0 {
            kvs.truncate(limit + 1);
        }
        kvs.retain(|kv| {
            (request.max_mod_revision == 0 || kv.mod_revision <= request.max_mod_revision)
                && (request.min_mod_revision == 0 || kv.mod_revision >= request.min_mod_revision)
                && (request.max_create_revision == 0
                    || kv.create_revision <= request.max_create_revision)
                && (request.min_create_revision == 0
                    || kv.create_revision >= request.min_create_revision)
        });
        sort(&mut kvs, target, order);
        let more = limit > 0 && kvs.len() > limit;
        if more {
            kvs.truncate(limit);
        }
        if request.keys_only {
            for kv in &mut kvs {
                kv.value = Bytes::new();
                if target != 4 {
                    kv.lease = 0;
                }
            }
        }
        Ok(RangeResponse {
            header: self.header(),
            kvs,
            more,
            count,
        })
    }

    fn check_put(&self, request: &PutRequest) -> Result<(), ApplyError> {
        if request.lease != 0 && !self.model.leases.contains_key(&request.lease) {
            return Err(ApplyError::LeaseNotFound);
        }
        let keeps = request.ignore_value || request.ignore_lease;
        if keeps && !self.pairs.contains_key(&request.key) {
            return Err(ApplyError::KeyNotFound);
        }
        Ok(())
    }

    fn put(&mut self, request: &PutRequest) -> PutResponse {
        let revision = self.model.revision() + 1;
        let old = self.pairs.get(&request.key).cloned();
        let mut kv = KeyValue {
            key: request.key.clone(),
            value: request.value.clone(),
            lease: request.lease,
            create_revision: revision,
            mod_revision: revision,
            version: 1,
        };
        if let Some(old) = &old {
            kv.create_revision = old.create_revision;
            kv.version = old.version + 1;
            if request.ignore_value {
                kv.value = old.value.clone();
            }
            if request.ignore_lease {
                kv.lease = old.lease;
            }
        }
        self.pairs.insert(request.key.clone(), kv.clone());
        // What etcd shows as replaced is the state before the revision.
        let before = self.model.now().get(&request.key).cloned();
        self.events.push(Event {
            r#type: 0,
            kv: Some(kv),
            prev_kv: before,
        });
        PutResponse {
            header: self.header(),
            prev_kv: old.filter(|_| request.prev_kv),
        }
    }

    fn delete(&mut self, request: &DeleteRangeRequest) -> DeleteRangeResponse {
        let doomed: Vec<KeyValue> = self
            .pairs
            .values()
            .filter(|kv| is_in(&kv.key, &request.key, &request.range_end))
            .cloned()
            .collect();
        for kv in &doomed {
            self.pairs.remove(&kv.key);
            let mod_revision = self.model.revision() + 1;
            let gone = KeyValue {
                key: kv.key.clone(),
                mod_revision,
                ..Default::default()
            };
            let prev_kv = self.model.now().get(&kv.key).cloned();
            self.events.push(Event {
                r#type: 1,
                kv: Some(gone),
                prev_kv,
            });
        }
        DeleteRangeResponse {
            header: self.header(),
            deleted: i64::try_from(doomed.len()).unwrap(),
            prev_kvs: if request.prev_kv { doomed } else { Vec::new() },
        }
    }

    fn check(&self, request: &TxnRequest) -> Result<(), ApplyError> {
        for op in self.branch(request) {
            match op.request.as_ref().unwrap() {
                Request::RequestRange(range) if range.revision == 0 => {}
                Request::RequestRange(range) if range.revision > self.model.revision() => {
                    return Err(ApplyError::FutureRev);
                }
                Request::RequestRange(range) if range.revision < self.model.compacted => {
                    return Err(ApplyError::Compacted);
                }
                Request::RequestPut(put) => self.check_put(put)?,
                Request::RequestTxn(inner) => self.check(inner)?,
                Request::RequestRange(_) | Request::RequestDeleteRange(_) => {}
            }
        }
        Ok(())
    }

    fn run(&mut self, request: &TxnRequest) -> Result<TxnResponse, ApplyError> {
        let succeeded = self.holds(request);
        let ops = if succeeded {
            &request.success
        } else {
            &request.failure
        };
        let mut responses = Vec::new();
        for op in ops {
            let response = match op.request.as_ref().unwrap() {
                Request::RequestRange(range) => Response::ResponseRange(self.range(range)?),
                Request::RequestPut(put) => Response::ResponsePut(self.put(put)),
                Request::RequestDeleteRange(delete) => {
                    Response::ResponseDeleteRange(self.delete(delete))
                }
                Request::RequestTxn(inner) => Response::ResponseTxn(self.run(inner)?),
            };
            responses.push(ResponseOp {
                response: Some(response),
            });
        }
        Ok(TxnResponse {
            header: Some(ResponseHeader::default()),
            succeeded,
            responses,
        })
    }

    fn branch<'r>(&self, request: &'r TxnRequest) -> &'r [proto_etcd::etcdserverpb::RequestOp] {
        if self.holds(request) {
            &request.success
        } else {
            &request.failure
        }
    }

    fn holds(&self, request: &TxnRequest) -> bool {
        request.compare.iter().all(|compare| {
            let mut kvs: Vec<KeyValue> = self
                .model
                .now()
                .values()
                .filter(|kv| is_in(&kv.key, &compare.key, &compare.range_end))
                .cloned()
                .collect();
            if kvs.is_empty() {
                if matches!(compare.target_union, Some(TargetUnion::Value(_))) {
                    return false;
                }
                kvs.push(KeyValue::default());
            }
            kvs.iter().all(|kv| compares(compare, kv))
        })
    }
}

fn sort(kvs: &mut [KeyValue], target: i32, order: i32) {
    let number = |kv: &KeyValue| match target {
        1 => kv.version,
        2 => kv.create_revision,
        3 => kv.mod_revision,
        _ => 0,
    };
    let value = |kv: &KeyValue| {
        if target == 4 {
            kv.value.clone()
        } else {
            Bytes::new()
        }
    };
    match (order, target) {
        (2, 0) => kvs.reverse(),
        (2, _) => {
            kvs.sort_by_key(|kv| std::cmp::Reverse((number(kv), value(kv))));
        }
        _ => kvs.sort_by_key(|kv| (number(kv), value(kv))),
    }
}

fn compares(compare: &Compare, kv: &KeyValue) -> bool {
    let order = match compare.target_union.as_ref().unwrap() {
        TargetUnion::Version(wanted) => kv.version.cmp(wanted),
        TargetUnion::CreateRevision(wanted) => kv.create_revision.cmp(wanted),
        TargetUnion::ModRevision(wanted) => kv.mod_revision.cmp(wanted),
        TargetUnion::Value(wanted) => kv.value.cmp(wanted),
        TargetUnion::Lease(wanted) => kv.lease.cmp(wanted),
    };
    match compare.result {
        0 => order.is_eq(),
        1 => order.is_gt(),
        2 => order.is_lt(),
        _ => order.is_ne(),
    }
}
