//! Holders of locks: each takes a lock on a lease that nobody renews, sometimes waits for longer
//! than that holds, and then writes under the condition that the lock is still its own. What it
//! writes says on what it is based.

use std::time::{Duration, Instant};

use proto_etcd::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto_etcd::etcdserverpb::kv_client::KvClient;
use proto_etcd::etcdserverpb::lease_client::LeaseClient;
use proto_etcd::etcdserverpb::{Compare, LeaseGrantRequest, TxnRequest};
use proto_etcd::v3lockpb::lock_client::LockClient;
use proto_etcd::v3lockpb::{LockRequest, UnlockRequest};
use rand::Rng;
use rand::rngs::StdRng;
use tonic::transport::Channel;

use super::clients::{Asked, Job};
use super::rotation::Rotation;
use super::txn::put_op;
use crate::edn::Value;
use crate::wire::{Failure, Kv, range, revision, text};

const LOCKS: i64 = 2;
const TTL: i64 = 2;
/// A lock is waited for.
const ACQUIRE_TIME_MAX: Duration = Duration::from_secs(8);
/// Of some holders longer than the lease's time.
const HELD_MS_MAX: u64 = 3_000;

pub(crate) struct Locks {
    pub(crate) prefix: String,
    /// Gives unique values.
    pub(crate) values: Rotation,
    pub(crate) held: Option<Held>,
}

#[derive(Clone)]
pub(crate) struct Held {
    lock: i64,
    key: String,
    until: Instant,
    has_written: bool,
}

pub(crate) enum Plan {
    Acquire(i64),
    Write { held: Held, value: i64 },
    Release(String),
}

impl Locks {
    async fn acquire(&mut self, channel: Channel, lock: i64) -> Result<Value, Failure> {
        let lease = LeaseGrantRequest { ttl: TTL, id: 0 };
        let lease = LeaseClient::new(channel.clone()).lease_grant(lease).await?;
        let request = LockRequest {
            name: format!("{}lock/{lock}", self.prefix).into(),
            lease: lease.into_inner().id,
        };
        let answer = LockClient::new(channel).lock(request).await?.into_inner();
        let (key, at) = (text(&answer.key), revision(answer.header.as_ref()));
        self.held = Some(Held {
            lock,
            key: key.clone(),
            until: Instant::now(),
            has_written: false,
        });
        Ok(Value::Vector(vec![
            lock.into(),
            Value::text(key),
            at.into(),
        ]))
    }

    async fn write(&self, channel: Channel, held: &Held, value: i64) -> Result<Value, Failure> {
        let resource = format!("{}resource/{}", self.prefix, held.lock);
        let mut client = KvClient::new(channel);
        let refused = |status| Failure::Refused(format!("while nothing was written yet: {status}"));
        let lock = client
            .range(range(&held.key))
            .await
            .map_err(refused)?
            .into_inner();
        let token = lock.kvs.first().map(|kv| kv.create_revision);
        let token = token.ok_or_else(|| Failure::Refused("the lock has ended".to_owned()))?;
        let before = client
            .range(range(&resource))
            .await
            .map_err(refused)?
            .into_inner();
        let base = before
            .kvs
            .seen()
            .pop()
            .map_or(0, |seen| new_of(&seen.value));
        let request = TxnRequest {
            compare: vec![Compare {
                result: CompareResult::Equal.into(),
                target: CompareTarget::Create.into(),
                key: held.key.clone().into(),
                target_union: Some(TargetUnion::CreateRevision(token)),
                ..Compare::default()
            }],
            success: vec![put_op(
                &resource,
                &format!("{value} on {base} by {}", held.key),
            )],
            failure: Vec::new(),
        };
        let answer = client.txn(request).await?.into_inner();
        if !answer.succeeded {
            return Err(Failure::Refused("the lock has ended".to_owned()));
        }
        let at = revision(answer.header.as_ref());
        Ok(Value::Vector(vec![
            Value::text(resource),
            value.into(),
            at.into(),
        ]))
    }
}

/// The value itself, without what it is based on.
fn new_of(text: &str) -> i64 {
    let first = text.split(' ').next();
    first.and_then(|first| first.parse().ok()).unwrap_or(0)
}

impl Job for Locks {
    type Plan = Plan;

    fn next(&mut self, chance: &mut StdRng) -> Option<Asked<Plan>> {
        let Some(held) = &mut self.held else {
            let lock = chance.random_range(0..LOCKS);
            let asked = Asked::write("acquire", lock.into(), Plan::Acquire(lock));
            return Some(Asked {
                time_max: ACQUIRE_TIME_MAX,
                ..asked
            });
        };
        if !held.has_written {
            held.has_written = true;
            held.until =
                Instant::now() + Duration::from_millis(chance.random_range(0..HELD_MS_MAX));
            return None;
        }
        if Instant::now() < held.until {
            return None;
        }
        if chance.random_range(0..3) == 0 {
            let key = held.key.clone();
            self.held = None;
            return Some(Asked::write(
                "release",
                Value::text(&key),
                Plan::Release(key),
            ));
        }
        let value = self.values.value();
        let asked = Value::Vector(vec![
            Value::text(format!("{}resource/{}", self.prefix, held.lock)),
            value.into(),
        ]);
        let plan = Plan::Write {
            held: held.clone(),
            value,
        };
        Some(Asked::write("fenced-write", asked, plan))
    }

    async fn act(&mut self, channel: Channel, plan: &Plan) -> Result<Value, Failure> {
        match plan {
            Plan::Acquire(lock) => self.acquire(channel, *lock).await,
            Plan::Write { held, value } => self.write(channel, held, *value).await,
            Plan::Release(key) => {
                let request = UnlockRequest {
                    key: key.clone().into(),
                };
                LockClient::new(channel).unlock(request).await?;
                Ok(Value::text(key))
            }
        }
    }

    /// What is not known to hold is left to end by itself.
    fn failed(&mut self, _plan: &Plan) {
        self.held = None;
    }
}
