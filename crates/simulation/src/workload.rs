//! What clients do: versioned registers, or transactions that append to lists, in the forms that the
//! checkers read.

use std::collections::BTreeMap;

use jepsen_tests::{Value, Workload};
use proto_etcd::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto_etcd::etcdserverpb::request_op::Request;
use proto_etcd::etcdserverpb::response_op::Response;
use proto_etcd::etcdserverpb::{
    Compare, InternalRaftRequest, PutRequest, PutResponse, RangeRequest, RequestOp, ResponseOp,
    TxnRequest, TxnResponse,
};
use proto_etcd::mvccpb::KeyValue;
use rand::Rng;
use rand::rngs::StdRng;
use store::command::Reply;

use crate::ask::{Client, Refusal};

/// Few values, so that a compare-and-swap often finds the one that it looks for.
const VALUES: i64 = 4;

/// One operation of a client.
pub(crate) enum Plan {
    Read(i64),
    Write(i64, i64),
    Cas(i64, i64, i64),
    Txn(Vec<Step>),
}

/// A step of a transaction.
pub(crate) enum Step {
    Read(i64),
    Append(i64, i64),
}

fn key(key: i64) -> String {
    format!("k{key}")
}

fn keyed(key: i64, value: Value) -> Value {
    Value::Tuple(Box::new((Value::Int(key), value)))
}

/// A plan by chance. `fresh` gives values that nobody else appends.
pub(crate) fn plan(
    workload: Workload,
    keys: i64,
    chance: &mut StdRng,
    fresh: &mut impl FnMut() -> i64,
) -> Plan {
    let any = chance.random_range(0..keys);
    if workload == Workload::Append {
        let mut steps: Vec<Step> = Vec::new();
        for _ in 0..chance.random_range(1..=3) {
            let key = chance.random_range(0..keys);
            // A transaction writes no key twice.
            let is_written = |step: &Step| matches!(step, Step::Append(at, _) if *at == key);
            match chance.random_bool(0.5) || steps.iter().any(is_written) {
                true => steps.push(Step::Read(key)),
                false => steps.push(Step::Append(key, fresh())),
            }
        }
        return Plan::Txn(steps);
    }
    let (old, new) = (
        chance.random_range(0..VALUES),
        chance.random_range(0..VALUES),
    );
    match chance.random_range(0..5) {
        0 | 1 => Plan::Read(any),
        2 | 3 => Plan::Write(any, new),
        _ => Plan::Cas(any, old, new),
    }
}

/// A plan that reads a key at the end.
pub(crate) fn last_read(workload: Workload, key: i64) -> Plan {
    match workload {
        Workload::Append => Plan::Txn(vec![Step::Read(key)]),
        _ => Plan::Read(key),
    }
}

impl Plan {
    /// Its name and what is asked, as the history has them.
    pub(crate) fn asked(&self) -> (&'static str, Value) {
        let versioned = |value| Value::Vector(vec![Value::Nil, value]);
        match self {
            Self::Read(key) => ("read", keyed(*key, Value::Nil)),
            Self::Write(key, value) => ("write", keyed(*key, versioned(Value::Int(*value)))),
            Self::Cas(key, old, new) => {
                let pair = Value::Vector(vec![Value::Int(*old), Value::Int(*new)]);
                ("cas", keyed(*key, versioned(pair)))
            }
            Self::Txn(steps) => {
                let steps = steps.iter().map(|step| step.value(Value::Nil));
                ("txn", Value::Vector(steps.collect()))
            }
        }
    }

    /// Whether it changes nothing.
    pub(crate) fn is_read(&self) -> bool {
        match self {
            Self::Read(_) => true,
            Self::Write(..) | Self::Cas(..) => false,
            Self::Txn(steps) => steps.iter().all(|step| matches!(step, Step::Read(_))),
        }
    }

    /// Does it; what was answered.
    pub(crate) async fn act(&self, client: &Client<'_>) -> Result<Value, Refusal> {
        match self {
            Self::Read(at) => {
                let answer = client.range(&range(*at)).await?;
                let told = answer.kvs.first().map(|kv| {
                    let value = Value::Int(number(&kv.value));
                    Value::Vector(vec![
                        Value::Int(kv.version),
                        value,
                        Value::Int(kv.mod_revision),
                    ])
                });
                Ok(keyed(*at, told.unwrap_or(Value::Nil)))
            }
            Self::Write(at, value) => {
                let request = InternalRaftRequest {
                    put: Some(put(*at, &value.to_string())),
                    ..InternalRaftRequest::default()
                };
                let reply = client.write(&request).await?;
                let revision = reply.revision;
                let done = response::<PutResponse>(reply)?;
                Ok(keyed(
                    *at,
                    told(done.prev_kv.as_ref(), Value::Int(*value), revision),
                ))
            }
            Self::Cas(at, old, new) => cas(client, *at, *old, *new).await,
            Self::Txn(steps) => transact(client, steps, self.is_read()).await,
        }
    }
}

impl Step {
    fn key(&self) -> i64 {
        match self {
            Self::Read(key) | Self::Append(key, _) => *key,
        }
    }

    fn value(&self, read: Value) -> Value {
        let (name, key, value) = match self {
            Self::Read(key) => ("r", *key, read),
            Self::Append(key, value) => ("append", *key, Value::Int(*value)),
        };
        Value::Vector(vec![Value::keyword(name), Value::Int(key), value])
    }
}

fn range(at: i64) -> RangeRequest {
    RangeRequest {
        key: key(at).into(),
        ..RangeRequest::default()
    }
}

fn put(at: i64, value: &str) -> PutRequest {
    PutRequest {
        key: key(at).into(),
        value: value.to_owned().into(),
        prev_kv: true,
        ..PutRequest::default()
    }
}

fn op(request: Request) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

/// Only this program writes these values; what cannot be read is none of them.
fn number(value: &[u8]) -> i64 {
    let text = std::str::from_utf8(value).unwrap_or_default();
    text.parse().unwrap_or(i64::MIN)
}

fn response<M: prost::Message + Default>(reply: Reply) -> Result<M, Refusal> {
    match reply.response::<M>() {
        Ok(Ok(message)) => Ok(message),
        Ok(Err(refused)) => Err(Refusal::Fail(refused.to_string())),
        Err(error) => Err(Refusal::Info(error.to_string())),
    }
}

/// `[version value revision]` of a put that found `before`.
fn told(before: Option<&KeyValue>, value: Value, revision: i64) -> Value {
    let version = before.map_or(0, |before| before.version) + 1;
    Value::Vector(vec![Value::Int(version), value, Value::Int(revision)])
}

async fn cas(client: &Client<'_>, at: i64, old: i64, new: i64) -> Result<Value, Refusal> {
    let txn = TxnRequest {
        compare: vec![Compare {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Value.into(),
            key: key(at).into(),
            target_union: Some(TargetUnion::Value(old.to_string().into())),
            ..Compare::default()
        }],
        success: vec![op(Request::RequestPut(put(at, &new.to_string())))],
        failure: Vec::new(),
    };
    let (answer, revision) = write_txn(client, txn).await?;
    if !answer.succeeded {
        return Err(Refusal::Fail("another value is there".to_owned()));
    }
    let first = answer.responses.into_iter().next();
    let Some(Response::ResponsePut(done)) = first.and_then(|first| first.response) else {
        return Err(Refusal::Info("an answer without its put".to_owned()));
    };
    let pair = Value::Vector(vec![Value::Int(old), Value::Int(new)]);
    Ok(keyed(at, told(done.prev_kv.as_ref(), pair, revision)))
}

async fn write_txn(client: &Client<'_>, txn: TxnRequest) -> Result<(TxnResponse, i64), Refusal> {
    let request = InternalRaftRequest {
        txn: Some(txn),
        ..InternalRaftRequest::default()
    };
    let reply = client.write(&request).await?;
    let revision = reply.revision;
    Ok((response::<TxnResponse>(reply)?, revision))
}

/// There is no append: the lists are read first, and written if none of them has changed since.
async fn transact(client: &Client<'_>, steps: &[Step], is_read: bool) -> Result<Value, Refusal> {
    let mut before: BTreeMap<i64, Option<KeyValue>> = BTreeMap::new();
    if !is_read {
        before = steps.iter().map(|step| (step.key(), None)).collect();
        let reads = before
            .keys()
            .map(|at| op(Request::RequestRange(range(*at))));
        let request = TxnRequest {
            success: reads.collect(),
            ..TxnRequest::default()
        };
        // Nothing was written yet, however it ended.
        let answer = client
            .read(&request)
            .await
            .map_err(|refusal| match refusal {
                Refusal::Fail(text) | Refusal::Info(text) => Refusal::Fail(text),
            })?;
        for (slot, seen) in before.values_mut().zip(reads_of(answer.responses)) {
            *slot = seen;
        }
    }
    let compare = before.iter().map(|(at, seen)| Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        key: key(*at).into(),
        target_union: Some(TargetUnion::ModRevision(
            seen.as_ref().map_or(0, |seen| seen.mod_revision),
        )),
        ..Compare::default()
    });
    let mut lists: BTreeMap<i64, String> = BTreeMap::new();
    let mut ops = Vec::with_capacity(steps.len());
    for step in steps {
        ops.push(match step {
            Step::Read(at) => op(Request::RequestRange(range(*at))),
            Step::Append(at, value) => {
                let seen = before.get(at).and_then(Option::as_ref);
                let seen = seen.map(|seen| String::from_utf8_lossy(&seen.value).into_owned());
                let list = lists.entry(*at).or_insert_with(|| seen.unwrap_or_default());
                if !list.is_empty() {
                    list.push(',');
                }
                list.push_str(&value.to_string());
                op(Request::RequestPut(put(*at, list)))
            }
        });
    }
    let txn = TxnRequest {
        compare: compare.collect(),
        success: ops,
        failure: Vec::new(),
    };
    let answer = match is_read {
        true => client.read(&txn).await?,
        false => write_txn(client, txn).await?.0,
    };
    if !answer.succeeded {
        return Err(Refusal::Fail("a list has changed".to_owned()));
    }
    let mut reads = reads_of(answer.responses).into_iter();
    let mut told = Vec::with_capacity(steps.len());
    for step in steps {
        let seen = match step {
            Step::Append(..) => None,
            Step::Read(_) => reads.next().flatten(),
        };
        told.push(step.value(list(seen.as_ref())));
    }
    Ok(Value::Vector(told))
}

fn reads_of(responses: Vec<ResponseOp>) -> Vec<Option<KeyValue>> {
    let mut seen = Vec::new();
    for response in responses {
        if let Some(Response::ResponseRange(range)) = response.response {
            seen.push(range.kvs.into_iter().next());
        }
    }
    seen
}

fn list(seen: Option<&KeyValue>) -> Value {
    let Some(seen) = seen else { return Value::Nil };
    let text = String::from_utf8_lossy(&seen.value);
    let elements = text
        .split(',')
        .map(|text| text.parse().map_or(Value::text(text), Value::Int));
    Value::Vector(elements.collect())
}
