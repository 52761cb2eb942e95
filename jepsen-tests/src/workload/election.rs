//! Candidates: each campaigns on a lease that nobody renews, and as a leader proclaims, writes under
//! the condition that its key is still there, and resigns. Others ask who leads.

use std::time::Instant;

use proto_etcd::etcdserverpb::LeaseGrantRequest;
use proto_etcd::etcdserverpb::lease_client::LeaseClient;
use proto_etcd::v3electionpb::election_client::ElectionClient;
use proto_etcd::v3electionpb::{
    CampaignRequest, LeaderKey, LeaderRequest, ProclaimRequest, ResignRequest,
};
use rand::Rng;
use rand::rngs::StdRng;
use tonic::transport::Channel;

use super::clients::{Asked, Job};
use super::lock::{ACQUIRE_TIME_MAX, TTL, fenced_write, held_for};
use super::rotation::Rotation;
use crate::edn::Value;
use crate::wire::{Failure, revision, text};

/// Fewer than candidates, so that some wait.
pub(super) const ELECTIONS: i64 = 2;

/// The name of the election with this number.
pub(super) fn name_of(prefix: &str, election: i64) -> String {
    format!("{prefix}election/{election}")
}

pub(crate) struct Candidates {
    pub(crate) prefix: String,
    /// Gives unique values.
    pub(crate) values: Rotation,
    pub(crate) led: Option<Led>,
}

/// What a candidate that was told to lead has.
pub(crate) struct Led {
    election: i64,
    leader: LeaderKey,
    until: Option<Instant>,
}

pub(crate) enum Plan {
    Campaign(i64, String),
    Leader(i64),
    Proclaim(LeaderKey, String),
    Write {
        resource: String,
        key: String,
        value: i64,
    },
    Resign(LeaderKey),
}

impl Candidates {
    async fn campaign(
        &mut self,
        channel: Channel,
        election: i64,
        value: &str,
    ) -> Result<Value, Failure> {
        let lease = LeaseGrantRequest { ttl: TTL, id: 0 };
        let lease = LeaseClient::new(channel.clone()).lease_grant(lease).await?;
        let name = name_of(&self.prefix, election);
        let request = CampaignRequest {
            name: name.clone().into(),
            lease: lease.into_inner().id,
            value: value.to_owned().into(),
        };
        let mut client = ElectionClient::new(channel);
        let answer = client.campaign(request).await?.into_inner();
        let leader = answer
            .leader
            .ok_or_else(|| Failure::Unknown("an answer without a leader".to_owned()))?;
        let told = vec![
            Value::text(name),
            Value::text(text(&leader.key)),
            leader.rev.into(),
        ];
        self.led = Some(Led {
            election,
            leader,
            until: None,
        });
        Ok(Value::Vector(told))
    }

    async fn leader(&self, channel: Channel, election: i64) -> Result<Value, Failure> {
        let name = name_of(&self.prefix, election);
        let request = LeaderRequest {
            name: name.clone().into(),
        };
        let answer = ElectionClient::new(channel).leader(request).await?;
        let answer = answer.into_inner();
        let at = revision(answer.header.as_ref());
        let kv = answer
            .kv
            .ok_or_else(|| Failure::Unknown("an answer without a key".to_owned()))?;
        Ok(Value::Vector(vec![
            Value::text(name),
            Value::text(text(&kv.key)),
            Value::text(text(&kv.value)),
            kv.mod_revision.into(),
            at.into(),
        ]))
    }

    /// What a leader does next; nothing while it waits.
    fn reign(&mut self, chance: &mut StdRng) -> Option<Asked<Plan>> {
        let led = self.led.as_mut()?;
        let until = *led
            .until
            .get_or_insert_with(|| Instant::now() + held_for(chance));
        if Instant::now() < until {
            return None;
        }
        let (leader, key) = (led.leader.clone(), text(&led.leader.key));
        let resource = format!("{}resource/{}", self.prefix, led.election);
        let value = self.values.value();
        Some(match chance.random_range(0..4) {
            0 => {
                self.led = None;
                Asked::write("resign", Value::text(key), Plan::Resign(leader))
            }
            1 => {
                let value = format!("proclaimed-{value}");
                let asked = Value::Vector(vec![Value::text(key), Value::text(&value)]);
                Asked::write("proclaim", asked, Plan::Proclaim(leader, value))
            }
            _ => {
                let asked = Value::Vector(vec![Value::text(&resource), value.into()]);
                let plan = Plan::Write {
                    resource,
                    key,
                    value,
                };
                Asked::write("fenced-write", asked, plan)
            }
        })
    }
}

impl Job for Candidates {
    type Plan = Plan;

    fn next(&mut self, chance: &mut StdRng) -> Option<Asked<Plan>> {
        if self.led.is_some() {
            return self.reign(chance);
        }
        let election = chance.random_range(0..ELECTIONS);
        let name = Value::text(name_of(&self.prefix, election));
        if chance.random_range(0..3) == 0 {
            return Some(Asked::read("leader", name, Plan::Leader(election)));
        }
        let value = format!("candidate-{}", self.values.value());
        let asked = Asked::write("campaign", name, Plan::Campaign(election, value));
        Some(Asked {
            time_max: ACQUIRE_TIME_MAX,
            ..asked
        })
    }

    async fn act(&mut self, channel: Channel, plan: &Plan) -> Result<Value, Failure> {
        match plan {
            Plan::Campaign(election, value) => self.campaign(channel, *election, value).await,
            Plan::Leader(election) => self.leader(channel, *election).await,
            Plan::Write {
                resource,
                key,
                value,
            } => fenced_write(channel, resource, key, *value).await,
            Plan::Proclaim(leader, value) => {
                let request = ProclaimRequest {
                    leader: Some(leader.clone()),
                    value: value.clone().into(),
                };
                let answer = ElectionClient::new(channel).proclaim(request).await?;
                let at = revision(answer.into_inner().header.as_ref());
                Ok(Value::Vector(vec![
                    Value::text(text(&leader.key)),
                    Value::text(value),
                    at.into(),
                ]))
            }
            Plan::Resign(leader) => {
                let request = ResignRequest {
                    leader: Some(leader.clone()),
                };
                ElectionClient::new(channel).resign(request).await?;
                Ok(Value::text(text(&leader.key)))
            }
        }
    }

    /// What is not known to hold is left to end by itself; who asked who leads has nothing to leave.
    fn failed(&mut self, plan: &Plan) {
        if !matches!(plan, Plan::Leader(_)) {
            self.led = None;
        }
    }
}
