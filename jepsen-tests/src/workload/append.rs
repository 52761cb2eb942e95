//! Transactions that append to lists and read them. etcd has no append: the lists are read first,
//! and written under the condition that none of them has changed since.

use std::collections::BTreeMap;

use proto_etcd::etcdserverpb::TxnRequest;
use proto_etcd::etcdserverpb::kv_client::KvClient;
use rand::rngs::StdRng;
use tonic::transport::Channel;

use super::clients::{Asked, Job};
use super::rotation::Rotation;
use super::txn::{self, Step};
use crate::edn::Value;
use crate::wire::{Failure, Seen};

pub(crate) struct Append {
    pub(crate) prefix: String,
    pub(crate) keys: Rotation,
    /// Keys that are still to be read once, and nothing else is to be done.
    pub(crate) last: Option<Vec<i64>>,
}

impl Append {
    fn key(&self, key: i64) -> String {
        format!("{}append/{key:06}", self.prefix)
    }

    /// What is there now, of every key that the transaction names. Nothing has happened if this
    /// fails.
    async fn before(
        &self,
        channel: Channel,
        steps: &[Step],
    ) -> Result<BTreeMap<i64, Option<Seen>>, Failure> {
        let keys: BTreeMap<i64, Option<Seen>> =
            steps.iter().map(|step| (step.key(), None)).collect();
        let request = TxnRequest {
            success: keys
                .keys()
                .map(|key| txn::read_op(&self.key(*key)))
                .collect(),
            ..TxnRequest::default()
        };
        let answer = KvClient::new(channel)
            .txn(request)
            .await
            .map_err(|status| {
                Failure::Refused(format!("while nothing was written yet: {status}"))
            })?;
        let reads = txn::reads(answer.into_inner().responses);
        if reads.len() != keys.len() {
            return Err(Failure::Refused("an answer without a read".to_owned()));
        }
        Ok(keys.into_keys().zip(reads).collect())
    }
}

impl Job for Append {
    type Plan = Vec<Step>;

    fn next(&mut self, chance: &mut StdRng) -> Option<Asked<Vec<Step>>> {
        let steps = match &mut self.last {
            Some(last) => txn::last_reads(last)?,
            None => txn::steps(&self.keys, chance),
        };
        let asked = steps.iter().map(|step| step.value("append", Value::Nil));
        let asked = Value::Vector(asked.collect());
        let is_read = steps.iter().all(|step| matches!(step, Step::Read(_)));
        Some(Asked {
            is_read,
            ..Asked::write("txn", asked, steps)
        })
    }

    async fn act(&mut self, channel: Channel, steps: &Vec<Step>) -> Result<Value, Failure> {
        let is_read = steps.iter().all(|step| matches!(step, Step::Read(_)));
        let before = if is_read {
            BTreeMap::new()
        } else {
            self.before(channel.clone(), steps).await?
        };
        let compare = before.iter().map(|(key, seen)| {
            let at = seen.as_ref().map_or(0, |seen| seen.revision);
            txn::at_revision(&self.key(*key), at)
        });
        let ops = steps.iter().map(|step| match *step {
            Step::Read(key) => txn::read_op(&self.key(key)),
            Step::Write(key, value) => {
                let list = match before.get(&key).and_then(Option::as_ref) {
                    Some(seen) => format!("{},{value}", seen.value),
                    None => value.to_string(),
                };
                txn::put_op(&self.key(key), &list)
            }
        });
        let request = TxnRequest {
            compare: compare.collect(),
            success: ops.collect(),
            failure: Vec::new(),
        };
        let answer = KvClient::new(channel).txn(request).await?.into_inner();
        if !answer.succeeded {
            return Err(Failure::Refused("a list has changed".to_owned()));
        }
        let mut reads = txn::reads(answer.responses).into_iter();
        let mut told = Vec::with_capacity(steps.len());
        for step in steps {
            let seen = match step {
                Step::Write(..) => None,
                Step::Read(_) => reads
                    .next()
                    .ok_or_else(|| Failure::Unknown("an answer without a read".to_owned()))?,
            };
            told.push(step.value("append", list(seen)));
        }
        Ok(Value::Vector(told))
    }
}

fn list(seen: Option<Seen>) -> Value {
    let Some(seen) = seen else { return Value::Nil };
    let element = |text: &str| text.parse().map_or(Value::text(text), Value::Int);
    Value::Vector(seen.value.split(',').map(element).collect())
}
