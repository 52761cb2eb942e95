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

/// Fewer than clients, so that some wait; enough that one whose holder was lost stops not all.
const LOCKS: i64 = 4;
/// The least: what a lost holder leaves behind ends soon.
pub(super) const TTL: i64 = 2;
/// A lock is waited for.
pub(super) const ACQUIRE_TIME_MAX: Duration = Duration::from_secs(5);
/// Most holders write at once; under faults whoever waits loses the lock.
const HELD_MS: std::ops::Range<u64> = 0..100;
/// Some write when the lease's time may be over.
const HELD_LONG_MS: std::ops::Range<u64> = 1_500..3_000;
/// One of so many holders does.
const LONG_ONE_IN: u32 = 5;

pub(crate) struct Locks {
    pub(crate) prefix: String,
    /// Gives unique values.
    pub(crate) values: Rotation,
    pub(crate) held: Option<Held>,
}

pub(crate) struct Held {
    lock: i64,
    key: String,
    until: Instant,
    has_written: bool,
}

pub(crate) enum Plan {
    Acquire(i64),
    Write {
        resource: String,
        key: String,
        value: i64,
    },
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
}

/// Writes `value` to the resource under the condition that `key` is still there. The answer as
/// histories have it.
pub(super) async fn fenced_write(
    channel: Channel,
    resource: &str,
    key: &str,
    value: i64,
) -> Result<Value, Failure> {
    let mut client = KvClient::new(channel);
    let refused = |status| Failure::Refused(format!("while nothing was written yet: {status}"));
    let lock = client.range(range(key)).await.map_err(refused)?;
    let lock = lock.into_inner();
    let token = lock.kvs.first().map(|kv| kv.create_revision);
    let token = token.ok_or_else(|| Failure::Refused("the lock has ended".to_owned()))?;
    let before = client.range(range(resource)).await.map_err(refused)?;
    let seen = before.into_inner().kvs.seen().pop();
    let base = seen.map_or(0, |seen| new_of(&seen.value));
    let request = TxnRequest {
        compare: vec![Compare {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Create.into(),
            key: key.to_owned().into(),
            target_union: Some(TargetUnion::CreateRevision(token)),
            ..Compare::default()
        }],
        success: vec![put_op(resource, &format!("{value} on {base} by {key}"))],
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

/// How long a holder waits before it writes.
pub(super) fn held_for(chance: &mut StdRng) -> Duration {
    let ms = match chance.random_range(0..LONG_ONE_IN) {
        0 => HELD_LONG_MS,
        _ => HELD_MS,
    };
    Duration::from_millis(chance.random_range(ms))
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
            held.until = Instant::now() + held_for(chance);
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
        let resource = format!("{}resource/{}", self.prefix, held.lock);
        let asked = Value::Vector(vec![Value::text(&resource), value.into()]);
        let plan = Plan::Write {
            resource,
            key: held.key.clone(),
            value,
        };
        Some(Asked::write("fenced-write", asked, plan))
    }

    async fn act(&mut self, channel: Channel, plan: &Plan) -> Result<Value, Failure> {
        match plan {
            Plan::Acquire(lock) => self.acquire(channel, *lock).await,
            Plan::Write {
                resource,
                key,
                value,
            } => fenced_write(channel, resource, key, *value).await,
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
