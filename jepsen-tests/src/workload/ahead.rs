//! A watcher that asks ahead: from a revision that is yet to come. It stays with one such revision,
//! across members, until it was told of some revisions from there on; then it leaves and asks again,
//! under another name.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::watcher::{Habit, Watcher};
use crate::history::History;
use crate::wire::{Dial, range, revision};

const AFTER_ERROR: Duration = Duration::from_millis(100);
/// Some of these revisions are there before all members know of the watch.
const AHEAD: std::ops::Range<i64> = 1..300;
/// It leaves when it was told of so many revisions.
const TOLD: i64 = 100;

/// Where it asks, and what its chance follows from.
pub(crate) struct Ahead {
    pub(crate) number: usize,
    pub(crate) urls: Vec<String>,
    pub(crate) prefix: String,
    pub(crate) seed: u64,
    pub(crate) history: History,
    pub(crate) stop: CancellationToken,
}

impl Ahead {
    /// Asks ahead, again and again, until it is to stop.
    pub(crate) async fn run(self) {
        let mut chance = StdRng::seed_from_u64(self.seed);
        let mut round = 0;
        while !self.stop.is_cancelled() {
            round += 1;
            tokio::select! { biased;
                () = self.stop.cancelled() => return,
                outcome = self.once(round, &mut chance) => {
                    if outcome.is_err() {
                        sleep(AFTER_ERROR).await;
                    }
                }
            }
        }
    }

    async fn once(&self, round: usize, chance: &mut StdRng) -> Result<()> {
        let url = &self.urls[chance.random_range(0..self.urls.len())];
        let channel = Dial::new(url).channel().await.context("nobody answers")?;
        let mut client = proto_etcd::etcdserverpb::kv_client::KvClient::new(channel);
        let answer = client.range(range("jepsen-probe")).await?.into_inner();
        let from = revision(answer.header.as_ref()).saturating_add(chance.random_range(AHEAD));
        let reached = Arc::new(AtomicI64::new(0));
        let stop = self.stop.child_token();
        let watcher = Watcher {
            name: format!("watcher-ahead-{}-{round}", self.number),
            urls: self.urls.clone(),
            at: chance.random_range(0..self.urls.len()),
            prefix: self.prefix.clone(),
            from,
            seed: chance.random(),
            habit: Habit::Reads,
            history: self.history.clone(),
            stop: stop.clone(),
            reached: reached.clone(),
        };
        let enough = async {
            while reached.load(Ordering::Relaxed) < from.saturating_add(TOLD) {
                sleep(AFTER_ERROR).await;
            }
        };
        tokio::select! { biased;
            () = enough => {}
            () = watcher.run() => {}
        }
        Ok(())
    }
}
