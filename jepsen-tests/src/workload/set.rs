//! Sets: each element is a key of its own, and a set is read as a range.

use proto_etcd::etcdserverpb::RangeRequest;
use proto_etcd::etcdserverpb::kv_client::KvClient;
use rand::Rng;
use rand::rngs::StdRng;
use tonic::transport::Channel;

use super::clients::{Asked, Job};
use super::rotation::Rotation;
use crate::edn::Value;
use crate::wire::{Failure, end_of, put, text};

pub(crate) struct Sets {
    pub(crate) prefix: String,
    pub(crate) keys: Rotation,
    /// Sets that are still to be read once, and nothing else is to be done.
    pub(crate) last: Option<Vec<i64>>,
}

pub(crate) enum Plan {
    Add(i64, i64),
    Read(i64),
}

impl Sets {
    /// What the keys of a set's elements begin with.
    fn all(&self, set: i64) -> String {
        format!("{}set/{set:06}/", self.prefix)
    }
}

fn keyed(set: i64, value: Value) -> Value {
    Value::Tuple(Box::new((set.into(), value)))
}

impl Job for Sets {
    type Plan = Plan;

    fn next(&mut self, chance: &mut StdRng) -> Option<Asked<Plan>> {
        if let Some(last) = &mut self.last {
            let set = last.pop()?;
            return Some(Asked::read("read", keyed(set, Value::Nil), Plan::Read(set)));
        }
        let set = self.keys.key(chance);
        if chance.random_range(0..4) == 0 {
            return Some(Asked::read("read", keyed(set, Value::Nil), Plan::Read(set)));
        }
        let element = self.keys.value();
        let asked = keyed(set, element.into());
        Some(Asked::write("add", asked, Plan::Add(set, element)))
    }

    async fn act(&mut self, channel: Channel, plan: &Plan) -> Result<Value, Failure> {
        let mut client = KvClient::new(channel).max_decoding_message_size(usize::MAX);
        match *plan {
            Plan::Add(set, element) => {
                let key = format!("{}{element:08}", self.all(set));
                client.put(put(&key, "")).await?;
                Ok(keyed(set, element.into()))
            }
            Plan::Read(set) => {
                let all = self.all(set);
                let request = RangeRequest {
                    key: all.clone().into(),
                    range_end: end_of(&all).into(),
                    ..RangeRequest::default()
                };
                let answer = client.range(request).await?.into_inner();
                let element = |key: &[u8]| {
                    let key = text(key);
                    let name = key.strip_prefix(&all).unwrap_or(&key);
                    name.parse().map_or(Value::text(name), Value::Int)
                };
                let seen = answer.kvs.iter().map(|kv| element(&kv.key));
                Ok(keyed(set, Value::Set(seen.collect())))
            }
        }
    }
}
