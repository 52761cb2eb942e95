//! Writers of a few keys, and readers that ask any member for what it has, without consensus.

use proto_etcd::etcdserverpb::RangeRequest;
use proto_etcd::etcdserverpb::kv_client::KvClient;
use rand::Rng;
use rand::rngs::StdRng;
use tonic::transport::Channel;

use super::clients::{Asked, Job};
use super::rotation::Rotation;
use crate::edn::Value;
use crate::wire::{Failure, Kv, end_of, put, revision};

const KEYS: i64 = 12;

pub(crate) struct Serializable {
    pub(crate) prefix: String,
    /// Gives unique values.
    pub(crate) values: Rotation,
}

pub(crate) enum Plan {
    Assign(String, i64),
    Read,
}

impl Job for Serializable {
    type Plan = Plan;

    fn next(&mut self, chance: &mut StdRng) -> Option<Asked<Plan>> {
        if chance.random() {
            return Some(Asked::read("read-at", Value::Nil, Plan::Read));
        }
        let key = format!("{}assign/{:02}", self.prefix, chance.random_range(0..KEYS));
        let value = self.values.value();
        let asked = Value::Vector(vec![Value::text(&key), Value::text(value.to_string())]);
        Some(Asked::write("assign", asked, Plan::Assign(key, value)))
    }

    async fn act(&mut self, channel: Channel, plan: &Plan) -> Result<Value, Failure> {
        let mut client = KvClient::new(channel);
        match plan {
            Plan::Assign(key, value) => {
                let answer = client.put(put(key, &value.to_string())).await?.into_inner();
                let at = revision(answer.header.as_ref());
                let value = Value::text(value.to_string());
                Ok(Value::Vector(vec![Value::text(key), value, at.into()]))
            }
            Plan::Read => {
                let all = format!("{}assign/", self.prefix);
                let request = RangeRequest {
                    key: all.clone().into(),
                    range_end: end_of(&all).into(),
                    serializable: true,
                    ..RangeRequest::default()
                };
                let answer = client.range(request).await?.into_inner();
                let seen = answer.kvs.seen().into_iter().map(|seen| {
                    Value::Vector(vec![
                        Value::text(seen.key),
                        Value::text(seen.value),
                        seen.revision.into(),
                    ])
                });
                let seen = Value::Vector(seen.collect());
                Ok(Value::Vector(vec![
                    revision(answer.header.as_ref()).into(),
                    seen,
                ]))
            }
        }
    }
}
