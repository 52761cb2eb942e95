//! Clients that show certificates: good ones on connections that stay, and on new ones all kinds.

use std::sync::Arc;
use std::time::Duration;

use proto_etcd::etcdserverpb::kv_client::KvClient;
use rand::Rng;
use rand::rngs::StdRng;
use tonic::transport::{Channel, Endpoint};

use super::clients::{Asked, Job};
use crate::edn::Value;
use crate::target::{Pki, REVOCABLE, Validity};
use crate::wire::{Failure, range};

/// A new connection is waited for; a listener that stalls takes longer.
const DIAL_TIME_MAX: Duration = Duration::from_secs(5);

pub(crate) struct Tls {
    pub(crate) pki: Arc<Pki>,
    /// Where the member speaks TLS.
    pub(crate) url: String,
    pub(crate) old: Option<Channel>,
    /// Whether it keeps one connection.
    pub(crate) keeps: bool,
}

pub(crate) enum Plan {
    Keep,
    Old(Channel),
    Dial(Who),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Who {
    Good,
    Expired,
    Stranger,
    Nobody,
    Client(usize),
}

impl Who {
    fn name(self) -> String {
        match self {
            Self::Good => "good".to_owned(),
            Self::Expired => "expired".to_owned(),
            Self::Stranger => "stranger".to_owned(),
            Self::Nobody => "nobody".to_owned(),
            Self::Client(number) => format!("client-{number}"),
        }
    }
}

impl Tls {
    async fn dial(&self, who: Who) -> Result<Channel, Failure> {
        let shown = match who {
            Who::Expired => self.pki.client("expired", Validity::Expired),
            Who::Stranger => self.pki.stranger(),
            Who::Nobody => Ok(self.pki.nobody()),
            Who::Good => self.pki.client("good", Validity::Good),
            Who::Client(number) => self.pki.revocable(number),
        };
        let refused = |why: String| Failure::Refused(why);
        let shown = shown.map_err(|error| refused(format!("{error:#}")))?;
        let endpoint =
            Endpoint::from_shared(self.url.clone()).and_then(|endpoint| endpoint.tls_config(shown));
        let endpoint = endpoint.map_err(|error| refused(error.to_string()))?;
        let connected = endpoint.connect().await;
        connected.map_err(|error| refused(base::report(&error).to_string()))
    }
}

async fn ask(channel: Channel) -> Result<(), Failure> {
    KvClient::new(channel).range(range("jepsen-probe")).await?;
    Ok(())
}

impl Job for Tls {
    type Plan = Plan;

    fn next(&mut self, chance: &mut StdRng) -> Option<Asked<Plan>> {
        if self.keeps {
            return Some(match &self.old {
                None => Asked::read("dial", Value::text("good"), Plan::Keep),
                Some(old) => Asked::read("old", Value::Nil, Plan::Old(old.clone())),
            });
        }
        let who = match chance.random_range(0..10) {
            0 => Who::Expired,
            1 => Who::Stranger,
            2 => Who::Nobody,
            3..6 => Who::Good,
            _ => Who::Client(chance.random_range(0..REVOCABLE)),
        };
        let asked = Asked::read("dial", Value::text(who.name()), Plan::Dial(who));
        Some(Asked {
            time_max: DIAL_TIME_MAX,
            ..asked
        })
    }

    async fn act(&mut self, _plain: Channel, plan: &Plan) -> Result<Value, Failure> {
        match plan {
            Plan::Keep => {
                let channel = self.dial(Who::Good).await?;
                ask(channel.clone()).await?;
                self.old = Some(channel);
                Ok(Value::text("good"))
            }
            Plan::Old(channel) => {
                ask(channel.clone()).await?;
                Ok(Value::Nil)
            }
            Plan::Dial(who) => {
                let channel = self.dial(*who).await?;
                ask(channel).await?;
                Ok(Value::text(who.name()))
            }
        }
    }

    fn failed(&mut self, _plan: &Plan) {
        self.old = None;
    }
}
