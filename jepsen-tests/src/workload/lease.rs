//! Holders of leases: each takes one, hangs two keys on it, renews it some times, and leaves it to
//! end by itself. Watchers see when the keys go.

use std::time::{Duration, Instant};

use proto_etcd::etcdserverpb::kv_client::KvClient;
use proto_etcd::etcdserverpb::lease_client::LeaseClient;
use proto_etcd::etcdserverpb::{LeaseGrantRequest, LeaseKeepAliveRequest, PutRequest};
use rand::Rng;
use rand::rngs::StdRng;
use tonic::transport::Channel;

use super::clients::{Asked, Job};
use super::rotation::Rotation;
use crate::edn::Value;
use crate::wire::{Failure, put, revision};

/// Seconds. Not less than etcd's least: one and a half elections, rounded up.
const TTL: std::ops::Range<i64> = 2..5;
const KEYS_EACH: u32 = 2;
const RENEWALS_MAX: u32 = 3;

pub(crate) struct Leases {
    pub(crate) prefix: String,
    /// Gives unique names.
    pub(crate) names: Rotation,
    pub(crate) held: Option<Held>,
}

pub(crate) struct Held {
    lease: i64,
    ttl: i64,
    keys: u32,
    renewals: u32,
    renewal_at: Instant,
}

pub(crate) enum Plan {
    Grant(i64),
    Attach(i64, String),
    KeepAlive(i64),
}

impl Held {
    fn new(lease: i64, ttl: i64) -> Self {
        Self {
            lease,
            ttl,
            keys: 0,
            renewals: 0,
            renewal_at: Instant::now(),
        }
    }

    /// The next renewal comes after a part of the lease's time.
    fn wait(&mut self, chance: &mut StdRng) {
        let seconds = self.ttl as f64 * chance.random_range(0.1..0.8);
        self.renewal_at = Instant::now() + Duration::from_secs_f64(seconds);
    }
}

impl Job for Leases {
    type Plan = Plan;

    fn next(&mut self, chance: &mut StdRng) -> Option<Asked<Plan>> {
        let Some(held) = &mut self.held else {
            let ttl = chance.random_range(TTL);
            return Some(Asked::write("grant", ttl.into(), Plan::Grant(ttl)));
        };
        let lease = held.lease;
        if held.keys < KEYS_EACH {
            held.keys += 1;
            held.wait(chance);
            let key = format!("{}lease/{:06}", self.prefix, self.names.value());
            let asked = Value::Vector(vec![lease.into(), Value::text(&key)]);
            return Some(Asked::write("attach", asked, Plan::Attach(lease, key)));
        }
        if Instant::now() < held.renewal_at {
            return None;
        }
        if held.renewals >= RENEWALS_MAX || chance.random_range(0..4) == 0 {
            self.held = None;
            return None;
        }
        held.renewals += 1;
        held.wait(chance);
        Some(Asked::write(
            "keepalive",
            lease.into(),
            Plan::KeepAlive(lease),
        ))
    }

    async fn act(&mut self, channel: Channel, plan: &Plan) -> Result<Value, Failure> {
        match plan {
            Plan::Grant(ttl) => {
                let request = LeaseGrantRequest { ttl: *ttl, id: 0 };
                let answer = LeaseClient::new(channel)
                    .lease_grant(request)
                    .await?
                    .into_inner();
                self.held = Some(Held::new(answer.id, answer.ttl));
                Ok(Value::Vector(vec![answer.id.into(), answer.ttl.into()]))
            }
            Plan::Attach(lease, key) => {
                let request = PutRequest {
                    lease: *lease,
                    ..put(key, "")
                };
                let answer = KvClient::new(channel).put(request).await?.into_inner();
                let at = revision(answer.header.as_ref());
                Ok(Value::Vector(vec![
                    (*lease).into(),
                    Value::text(key),
                    at.into(),
                ]))
            }
            Plan::KeepAlive(lease) => {
                let request = LeaseKeepAliveRequest { id: *lease };
                let requests = futures::StreamExt::chain(
                    futures::stream::iter([request]),
                    futures::stream::pending(),
                );
                let answers = LeaseClient::new(channel).lease_keep_alive(requests).await?;
                let answer = answers.into_inner().message().await?;
                let answer =
                    answer.ok_or_else(|| Failure::Unknown("the stream has ended".to_owned()))?;
                if answer.ttl <= 0 {
                    self.held = None;
                }
                Ok(Value::Vector(vec![(*lease).into(), answer.ttl.into()]))
            }
        }
    }

    /// What is not known to hold is left.
    fn failed(&mut self, _plan: &Plan) {
        self.held = None;
    }
}
