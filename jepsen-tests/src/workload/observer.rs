//! An observer of an election: follows who leads, on one member after another, and notes what each
//! stream says.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use proto_etcd::v3electionpb::election_client::ElectionClient;
use proto_etcd::v3electionpb::{LeaderRequest, LeaderResponse};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::edn::Value;
use crate::history::History;
use crate::wire::{Dial, text};

const AFTER_ERROR: Duration = Duration::from_millis(100);
/// A stream is left for another after at most this.
const STREAM_MS: std::ops::Range<u64> = 2_000..8_000;

/// One observer.
pub(crate) struct Observer {
    pub(crate) name: String,
    pub(crate) election: String,
    pub(crate) urls: Vec<String>,
    /// The first of them that it asks.
    pub(crate) at: usize,
    pub(crate) seed: u64,
    pub(crate) history: History,
    pub(crate) stop: CancellationToken,
}

impl Observer {
    /// Observes until it is to stop.
    pub(crate) async fn run(mut self) {
        let mut chance = StdRng::seed_from_u64(self.seed);
        let stop = self.stop.clone();
        while !stop.is_cancelled() {
            let until = Instant::now() + Duration::from_millis(chance.random_range(STREAM_MS));
            tokio::select! { biased;
                () = stop.cancelled() => return,
                _ = self.follow(until) => {}
            }
            self.at += 1;
            tokio::select! { biased;
                () = stop.cancelled() => return,
                () = sleep(AFTER_ERROR) => {}
            }
        }
    }

    /// Follows one stream until `until`, or its end.
    async fn follow(&mut self, until: Instant) -> Result<()> {
        let url = self.urls.get(self.at % self.urls.len());
        let url = url.context("no member")?;
        let channel = Dial::new(url).channel().await.context("nobody answers")?;
        let request = LeaderRequest {
            name: self.election.clone().into(),
        };
        let mut client = ElectionClient::new(channel);
        // While nobody leads not even the headers of an answer come.
        let asked = timeout_at(until, client.observe(request)).await;
        let mut answers = asked.context("nothing came")??.into_inner();
        self.history.note(&self.name, "open", Value::text(url));
        loop {
            match timeout_at(until, answers.message()).await {
                Ok(Ok(Some(answer))) => self.note(&answer),
                Ok(Ok(None)) => bail!("the stream has ended"),
                Ok(Err(status)) => return Err(status.into()),
                Err(_) => return Ok(()),
            }
        }
    }

    fn note(&self, answer: &LeaderResponse) {
        let Some(kv) = &answer.kv else { return };
        let told = vec![
            Value::text(text(&kv.key)),
            Value::text(text(&kv.value)),
            kv.create_revision.into(),
            kv.mod_revision.into(),
        ];
        self.history
            .note(&self.name, "observed", Value::Vector(told));
    }
}
