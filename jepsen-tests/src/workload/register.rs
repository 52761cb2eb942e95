//! Registers, with versions or without: reads, writes, and compare-and-swaps by value.

use proto_etcd::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto_etcd::etcdserverpb::kv_client::KvClient;
use proto_etcd::etcdserverpb::request_op::Request;
use proto_etcd::etcdserverpb::response_op::Response;
use proto_etcd::etcdserverpb::{Compare, PutRequest, PutResponse, RequestOp, TxnRequest};
use rand::Rng;
use rand::rngs::StdRng;
use tonic::transport::Channel;

use super::clients::{Asked, Job};
use super::rotation::Rotation;
use crate::edn::Value;
use crate::wire::{Failure, Kv, Seen, put, range, revision};

/// Few values, so that a compare-and-swap often finds the one that it looks for.
const VALUES: i64 = 5;

pub(crate) struct Registers {
    pub(crate) prefix: String,
    pub(crate) keys: Rotation,
    /// Whether versions and revisions are recorded.
    pub(crate) tells_versions: bool,
    /// Keys that are still to be read once, and nothing else is to be done.
    pub(crate) last: Option<Vec<i64>>,
}

pub(crate) enum Plan {
    Read(i64),
    Write(i64, i64),
    Cas(i64, i64, i64),
}

fn versioned(version: Value, value: Value) -> Value {
    Value::Vector(vec![version, value])
}

impl Registers {
    /// The value of an operation on `key`, of `[version value]`, `[version value revision]`, or, read,
    /// `[version value revision header]`.
    fn keyed(&self, key: i64, value: Value) -> Value {
        let value = match value {
            Value::Vector(all) if !self.tells_versions => {
                all.into_iter().nth(1).unwrap_or(Value::Nil)
            }
            value => value,
        };
        Value::Tuple(Box::new((Value::Int(key), value)))
    }

    fn key(&self, key: i64) -> String {
        format!("{}register/{key:06}", self.prefix)
    }

    async fn read(&self, channel: Channel, key: i64) -> Result<Value, Failure> {
        let answer = KvClient::new(channel).range(range(&self.key(key))).await?;
        let answer = answer.into_inner();
        let header = revision(answer.header.as_ref()).into();
        let told = answer.kvs.seen().pop().map_or(
            [Value::Nil, Value::Nil, Value::Nil],
            |Seen {
                 value,
                 version,
                 revision,
                 ..
             }| {
                let value = value.parse().map_or(Value::text(value), Value::Int);
                [version.into(), value, revision.into()]
            },
        );
        let told = told.into_iter().chain([header]).collect();
        Ok(self.keyed(key, Value::Vector(told)))
    }

    fn put(&self, key: i64, value: i64) -> PutRequest {
        PutRequest {
            prev_kv: true,
            ..put(&self.key(key), &value.to_string())
        }
    }

    async fn write(&self, channel: Channel, key: i64, value: i64) -> Result<Value, Failure> {
        let answer = KvClient::new(channel).put(self.put(key, value)).await?;
        Ok(self.keyed(key, told(&answer.into_inner(), Value::Int(value))))
    }

    async fn cas(&self, channel: Channel, key: i64, old: i64, new: i64) -> Result<Value, Failure> {
        let request = TxnRequest {
            compare: vec![Compare {
                result: CompareResult::Equal.into(),
                target: CompareTarget::Value.into(),
                key: self.key(key).into(),
                target_union: Some(TargetUnion::Value(old.to_string().into())),
                ..Compare::default()
            }],
            success: vec![RequestOp {
                request: Some(Request::RequestPut(self.put(key, new))),
            }],
            failure: Vec::new(),
        };
        let answer = KvClient::new(channel).txn(request).await?.into_inner();
        if !answer.succeeded {
            return Err(Failure::Refused("another value is there".to_owned()));
        }
        let first = answer.responses.into_iter().next();
        let Some(Response::ResponsePut(mut done)) = first.and_then(|first| first.response) else {
            return Err(Failure::Unknown("an answer without its put".to_owned()));
        };
        // Within a transaction the header of its own is the one that counts.
        done.header = answer.header;
        let pair = Value::Vector(vec![old.into(), new.into()]);
        Ok(self.keyed(key, told(&done, pair)))
    }
}

/// `[version value revision]` of a put that was answered with what was there before.
fn told(done: &PutResponse, value: Value) -> Value {
    let before = done.prev_kv.as_ref().map_or(0, |before| before.version);
    let at = revision(done.header.as_ref());
    Value::Vector(vec![before.saturating_add(1).into(), value, at.into()])
}

impl Job for Registers {
    type Plan = Plan;

    fn next(&mut self, chance: &mut StdRng) -> Option<Asked<Plan>> {
        if let Some(last) = &mut self.last {
            let key = last.pop()?;
            let asked = self.keyed(key, Value::Nil);
            return Some(Asked::read("read", asked, Plan::Read(key)));
        }
        let key = self.keys.key(chance);
        let value = chance.random_range(0..VALUES);
        Some(match chance.random_range(0..3) {
            0 => Asked::read("read", self.keyed(key, Value::Nil), Plan::Read(key)),
            1 => {
                let asked = self.keyed(key, versioned(Value::Nil, value.into()));
                Asked::write("write", asked, Plan::Write(key, value))
            }
            _ => {
                let new = chance.random_range(0..VALUES);
                let pair = Value::Vector(vec![value.into(), new.into()]);
                let asked = self.keyed(key, versioned(Value::Nil, pair));
                Asked::write("cas", asked, Plan::Cas(key, value, new))
            }
        })
    }

    async fn act(&mut self, channel: Channel, plan: &Plan) -> Result<Value, Failure> {
        match *plan {
            Plan::Read(key) => self.read(channel, key).await,
            Plan::Write(key, value) => self.write(channel, key, value).await,
            Plan::Cas(key, old, new) => self.cas(channel, key, old, new).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_register_is_recorded_with_its_version_or_without() {
        let answer = || versioned(Value::Int(3), Value::Int(7));
        let recorded = |tells_versions, value| {
            let registers = Registers {
                prefix: String::new(),
                keys: Rotation::new(10),
                tells_versions,
                last: None,
            };
            registers.keyed(1, value).to_string()
        };
        let with = Value::Tuple(Box::new((Value::Int(1), answer()))).to_string();
        assert_eq!(recorded(true, answer()), with);
        let without = Value::Tuple(Box::new((Value::Int(1), Value::Int(7)))).to_string();
        assert_eq!(recorded(false, answer()), without);
        assert_eq!(recorded(false, Value::Nil), recorded(true, Value::Nil));
    }
}
