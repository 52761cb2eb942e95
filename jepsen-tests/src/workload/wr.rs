//! Transactions that read and write registers, each value unique; some are nested in part.

use proto_etcd::etcdserverpb::TxnRequest;
use proto_etcd::etcdserverpb::kv_client::KvClient;
use rand::Rng;
use rand::rngs::StdRng;
use tonic::transport::Channel;

use super::clients::{Asked, Job};
use super::rotation::Rotation;
use super::txn::{self, Step};
use crate::edn::Value;
use crate::wire::Failure;

pub(crate) struct Wr {
    pub(crate) prefix: String,
    pub(crate) keys: Rotation,
    /// Keys that are still to be read once, and nothing else is to be done.
    pub(crate) last: Option<Vec<i64>>,
}

pub(crate) struct Plan {
    steps: Vec<Step>,
    /// From here on the steps are in a nested transaction.
    nested_from: usize,
}

impl Job for Wr {
    type Plan = Plan;

    fn next(&mut self, chance: &mut StdRng) -> Option<Asked<Plan>> {
        let steps = match &mut self.last {
            Some(last) => txn::last_reads(last)?,
            None => txn::steps(&self.keys, chance),
        };
        let asked = steps.iter().map(|step| step.value("w", Value::Nil));
        let asked = Value::Vector(asked.collect());
        let is_read = steps.iter().all(|step| matches!(step, Step::Read(_)));
        let nested_from = match chance.random_range(0..3) {
            0 => chance.random_range(0..steps.len()),
            _ => steps.len(),
        };
        let plan = Plan { steps, nested_from };
        Some(Asked {
            is_read,
            ..Asked::write("txn", asked, plan)
        })
    }

    async fn act(&mut self, channel: Channel, plan: &Plan) -> Result<Value, Failure> {
        let key = |key: i64| format!("{}wr/{key:06}", self.prefix);
        let each = plan.steps.iter().map(|step| match *step {
            Step::Read(number) => txn::read_op(&key(number)),
            Step::Write(number, value) => txn::put_op(&key(number), &value.to_string()),
        });
        let mut ops: Vec<_> = each.collect();
        let inner = ops.split_off(plan.nested_from);
        if !inner.is_empty() {
            ops.push(txn::nested(inner));
        }
        let request = TxnRequest {
            success: ops,
            ..TxnRequest::default()
        };
        let answer = KvClient::new(channel).txn(request).await?.into_inner();
        let mut reads = txn::reads(answer.responses).into_iter();
        let mut told = Vec::with_capacity(plan.steps.len());
        for step in &plan.steps {
            let seen = match step {
                Step::Write(..) => None,
                Step::Read(_) => reads
                    .next()
                    .ok_or_else(|| Failure::Unknown("an answer without a read".to_owned()))?,
            };
            let seen = seen.map_or(Value::Nil, |seen| {
                seen.value
                    .parse()
                    .map_or(Value::text(seen.value), Value::Int)
            });
            told.push(step.value("w", seen));
        }
        Ok(Value::Vector(told))
    }
}
