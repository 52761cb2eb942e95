//! More than members can do: many clients without a pause, some with values as large as a request may
//! be, some reading all that is there.

use proto_etcd::etcdserverpb::RangeRequest;
use proto_etcd::etcdserverpb::kv_client::KvClient;
use rand::Rng;
use rand::rngs::StdRng;
use tonic::transport::Channel;

use super::clients::{Asked, Job};
use super::rotation::Rotation;
use crate::edn::Value;
use crate::wire::{Failure, end_of, put, revision};

const KEYS: i64 = 12;
/// One in so many values is large.
const LARGE_ONE_IN: u32 = 100;
const LARGE_BYTES: usize = 1 << 20;
/// One in so many requests reads all keys.
const READ_ONE_IN: u32 = 30;

pub(crate) struct Overload {
    pub(crate) prefix: String,
    /// Gives unique values.
    pub(crate) values: Rotation,
}

pub(crate) enum Plan {
    Assign(String, i64, bool),
    Read,
}

impl Job for Overload {
    type Plan = Plan;

    fn next(&mut self, chance: &mut StdRng) -> Option<Asked<Plan>> {
        if chance.random_range(0..READ_ONE_IN) == 0 {
            return Some(Asked::read("read-all", Value::Nil, Plan::Read));
        }
        let key = format!("{}assign/{:02}", self.prefix, chance.random_range(0..KEYS));
        let value = self.values.value();
        let asked = Value::Vector(vec![Value::text(&key), Value::text(value.to_string())]);
        let is_large = chance.random_range(0..LARGE_ONE_IN) == 0;
        let plan = Plan::Assign(key, value, is_large);
        Some(Asked::write("assign", asked, plan))
    }

    async fn act(&mut self, channel: Channel, plan: &Plan) -> Result<Value, Failure> {
        let mut client = KvClient::new(channel).max_decoding_message_size(usize::MAX);
        match plan {
            Plan::Assign(key, value, is_large) => {
                let mut text = value.to_string();
                if *is_large {
                    text = format!("{text}:{}", "x".repeat(LARGE_BYTES));
                }
                let answer = client.put(put(key, &text)).await?.into_inner();
                let at = revision(answer.header.as_ref());
                let value = Value::text(value.to_string());
                Ok(Value::Vector(vec![Value::text(key), value, at.into()]))
            }
            Plan::Read => {
                let all = format!("{}assign/", self.prefix);
                let request = RangeRequest {
                    range_end: end_of(&all).into(),
                    key: all.into(),
                    ..RangeRequest::default()
                };
                let answer = client.range(request).await?.into_inner();
                let count = i64::try_from(answer.kvs.len()).unwrap_or(i64::MAX);
                let at = revision(answer.header.as_ref());
                Ok(Value::Vector(vec![count.into(), at.into()]))
            }
        }
    }
}
