//! Writers for watchers to follow: puts and deletes of a few keys, some of them several at once.

use proto_etcd::etcdserverpb::kv_client::KvClient;
use proto_etcd::etcdserverpb::request_op::Request;
use proto_etcd::etcdserverpb::{DeleteRangeRequest, RequestOp, TxnRequest};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use tonic::transport::Channel;

use super::clients::{Asked, Job};
use super::rotation::Rotation;
use super::txn::put_op;
use crate::edn::Value;
use crate::wire::{Failure, revision};

/// Few, so that keys are deleted and made again.
const KEYS: usize = 12;
const AT_ONCE_MAX: usize = 3;

pub(crate) struct Changes {
    pub(crate) prefix: String,
    /// Gives unique values.
    pub(crate) values: Rotation,
}

/// Keys with their new values; none deletes.
pub(crate) type Plan = Vec<(String, Option<i64>)>;

impl Job for Changes {
    type Plan = Plan;

    fn next(&mut self, chance: &mut StdRng) -> Option<Asked<Plan>> {
        let mut keys: Vec<usize> = (0..KEYS).collect();
        keys.shuffle(chance);
        let count = chance.random_range(1..=AT_ONCE_MAX);
        let change = |key: usize, chance: &mut StdRng| {
            let is_put = chance.random_range(0..4) > 0;
            let key = format!("{}watch/{key:02}", self.prefix);
            (key, is_put.then(|| self.values.value()))
        };
        let plan: Plan = keys
            .into_iter()
            .take(count)
            .map(|key| change(key, chance))
            .collect();
        let value = |(key, value): &(String, Option<i64>)| {
            let value = value.map_or(Value::Nil, |value| Value::text(value.to_string()));
            Value::Vector(vec![Value::text(key), value])
        };
        let asked = Value::Vector(plan.iter().map(value).collect());
        Some(Asked::write("change", asked, plan))
    }

    async fn act(&mut self, channel: Channel, plan: &Plan) -> Result<Value, Failure> {
        let op = |(key, value): &(String, Option<i64>)| match value {
            Some(value) => put_op(key, &value.to_string()),
            None => RequestOp {
                request: Some(Request::RequestDeleteRange(DeleteRangeRequest {
                    key: key.clone().into(),
                    ..DeleteRangeRequest::default()
                })),
            },
        };
        let request = TxnRequest {
            success: plan.iter().map(op).collect(),
            ..TxnRequest::default()
        };
        let answer = KvClient::new(channel).txn(request).await?.into_inner();
        let value = |(key, value): &(String, Option<i64>)| {
            let value = value.map_or(Value::Nil, |value| Value::text(value.to_string()));
            Value::Vector(vec![Value::text(key), value])
        };
        let told = Value::Vector(plan.iter().map(value).collect());
        let at = revision(answer.header.as_ref());
        Ok(Value::Vector(vec![told, at.into()]))
    }
}
