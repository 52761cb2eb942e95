//! How a read proves that it is not stale: it learns the store's revision and waits for the cache
//! to reach it.
//!
//! A request may share only a read of the store that started after it arrived: one is in flight,
//! one is forming. Requests that wait are bounded by the server's limit on requests in flight.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::Cache;
use super::kind_cache::KindCache;
use super::position::TooFarBehind;
use crate::storage::{Error, Etcd};

/// How long a read waits for the cache, as upstream does.
pub const WAIT_MAX: Duration = Duration::from_secs(3);

/// Why a fresh read is not possible now.
#[derive(Debug, thiserror::Error)]
pub enum NotFresh {
    /// The store does not answer.
    #[error("learn the store's revision")]
    Store(#[source] Arc<Error>),
    /// The cache did not get there in time.
    #[error("the cache is at revision {current}, not yet at {wanted}")]
    Behind {
        /// Where the cache is.
        current: u64,
        /// Where it had to be.
        wanted: u64,
    },
}

type Learnt = Option<Result<u64, Arc<Error>>>;

/// Shares the reads of the store's revision.
#[derive(Debug)]
pub struct Freshness {
    etcd: Etcd,
    rounds: Mutex<Rounds>,
    in_flight: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Rounds {
    /// The read that has not started yet; whoever arrives now shares it.
    forming: Option<watch::Receiver<Learnt>>,
}

impl Freshness {
    /// Reads from this store.
    pub fn new(etcd: Etcd) -> Self {
        Self {
            etcd,
            rounds: Mutex::default(),
            in_flight: tokio::sync::Mutex::new(()),
        }
    }

    /// The store's revision, learnt by a linearizable read that started after this call.
    // Cancel-safe: the one who reads may be dropped; then its followers see the channel close and
    // begin anew.
    pub async fn revision(&self) -> Result<u64, Arc<Error>> {
        loop {
            let (sender, mut receiver) = {
                let mut rounds = self.rounds.lock();
                match &rounds.forming {
                    // A closed channel without a value was left by a caller that was dropped.
                    Some(forming) if forming.has_changed().is_ok() => (None, forming.clone()),
                    _ => {
                        let (sender, receiver) = watch::channel(None);
                        rounds.forming = Some(receiver.clone());
                        (Some(sender), receiver)
                    }
                }
            };
            if let Some(sender) = sender {
                let _turn = self.in_flight.lock().await;
                // From here on newcomers need a read of their own.
                self.rounds.lock().forming = None;
                let learnt = self.etcd.current_revision().await.map_err(Arc::new);
                sender.send_replace(Some(learnt.clone()));
                return learnt;
            }
            if let Ok(learnt) = receiver.wait_for(Option::is_some).await
                && let Some(learnt) = learnt.clone()
            {
                return learnt;
            }
        }
    }

    /// Waits until `kind` shows everything that had been written when this was called.
    pub async fn fresh(&self, cache: &Cache, kind: &KindCache) -> Result<u64, NotFresh> {
        let wanted = self.revision().await.map_err(NotFresh::Store)?;
        reach(cache, kind, wanted).await?;
        Ok(wanted)
    }
}

/// Waits until `kind` has reached `revision`.
pub async fn reach(cache: &Cache, kind: &KindCache, wanted: u64) -> Result<(), NotFresh> {
    let reached = cache.positions().reach(kind.lane(), wanted, WAIT_MAX).await;
    reached.map_err(|TooFarBehind { current }| NotFresh::Behind { current, wanted })
}
