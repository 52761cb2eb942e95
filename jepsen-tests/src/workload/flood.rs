//! Leases by the hundred, which nobody renews and nothing hangs on: they end together.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::join_all;
use proto_etcd::etcdserverpb::lease_client::LeaseClient;
use proto_etcd::etcdserverpb::{LeaseGrantRequest, LeaseLeasesRequest};
use rand::Rng;
use rand::rngs::StdRng;
use tonic::transport::Channel;

use super::clients::{Asked, Job};
use crate::edn::Value;
use crate::history::{History, Kind};
use crate::wire::{Dial, Failure};

/// Asked for at once, by each client.
const AT_ONCE: i64 = 500;
/// Of one run.
const LEASES_MAX: i64 = 200_000;
/// Seconds.
const TTL: std::ops::Range<i64> = 10..20;
const GRANT_TIME_MAX: Duration = Duration::from_secs(15);
/// So many end in a second at least; etcd ends a thousand.
const ENDS_PER_SECOND: i64 = 500;
const END_SECONDS: i64 = 40;

/// How many were asked for, by all clients.
pub(crate) type Asks = Arc<AtomicI64>;

pub(crate) struct Flood {
    pub(crate) asked: Asks,
}

impl Job for Flood {
    type Plan = i64;

    fn next(&mut self, chance: &mut StdRng) -> Option<Asked<i64>> {
        if self.asked.load(Ordering::Relaxed) >= LEASES_MAX {
            return None;
        }
        let ttl = chance.random_range(TTL);
        let asked = Asked::write("flood", ttl.into(), ttl);
        Some(Asked {
            time_max: GRANT_TIME_MAX,
            ..asked
        })
    }

    async fn act(&mut self, channel: Channel, ttl: &i64) -> Result<Value, Failure> {
        self.asked.fetch_add(AT_ONCE, Ordering::Relaxed);
        let grant = |_| {
            let mut client = LeaseClient::new(channel.clone());
            async move {
                client
                    .lease_grant(LeaseGrantRequest { ttl: *ttl, id: 0 })
                    .await
            }
        };
        let answers = join_all((0..AT_ONCE).map(grant)).await;
        let granted = answers.iter().filter(|answer| answer.is_ok()).count();
        if granted == 0 {
            return Err(Failure::Unknown("none was acknowledged".to_owned()));
        }
        let granted = i64::try_from(granted).unwrap_or(i64::MAX);
        Ok(Value::Vector(vec![granted.into(), (*ttl).into()]))
    }
}

/// Waits as long as the last of them may take to end, and records how many are left.
pub(super) async fn record_left(url: &str, asked: &Asks, history: &History) -> Result<()> {
    let seconds = END_SECONDS + asked.load(Ordering::Relaxed) / ENDS_PER_SECOND;
    let process = history.new_process();
    let op = history.invoke(process, "left", Value::Nil);
    let mut left = None;
    let seconds = u64::try_from(seconds).unwrap_or(0);
    // What is left then is the checker's business.
    let _ = testkit::poll(seconds, "no lease", async || {
        let count = count(url).await.map_err(|error| format!("{error:#}"))?;
        left = Some(count);
        match count {
            0 => Ok(()),
            count => Err(format!("{count} leases")),
        }
    })
    .await;
    let left = left.context("nobody told how many leases are left")?;
    history.complete(op, Kind::Ok, left.into(), None);
    Ok(())
}

async fn count(url: &str) -> Result<i64> {
    let channel = Dial::new(url).channel().await.context("nobody answers")?;
    let mut client = LeaseClient::new(channel).max_decoding_message_size(usize::MAX);
    let answer = client.lease_leases(LeaseLeasesRequest {}).await?;
    let count = answer.into_inner().leases.len();
    Ok(i64::try_from(count).unwrap_or(i64::MAX))
}
