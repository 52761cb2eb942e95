//! Starts the clients of a workload, and ends them with the reads that its checker needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base::Tasks;
use proto_etcd::etcdserverpb::kv_client::KvClient;

use super::append::Append;
use super::clients::{Client, Job};
use super::lease::Leases;
use super::lock::Locks;
use super::log;
use super::register::Registers;
use super::rotation::Rotation;
use super::serializable::Serializable;
use super::set::Sets;
use super::watch::Changes;
use super::watcher::Watcher;
use super::wr::Wr;
use crate::check::Workload;
use crate::history::History;
use crate::target::Target;
use crate::wire::{Dial, range, revision};

/// Clients of each member.
const CLIENTS_EACH: usize = 2;
/// Operations that one key sees before another takes its turn: a list of a hundred elements is
/// still quickly read.
const OPS_PER_KEY: u64 = 60;
/// No lease of the workload lives for longer, with its last renewal, elections and slowness.
const LEASES_END: Duration = Duration::from_secs(12);
const END_SECONDS: u64 = 60;

/// A workload that runs.
pub(crate) struct Clients {
    workload: Workload,
    urls: Vec<String>,
    prefix: String,
    seed: u64,
    /// The first revision of the run.
    from: i64,
    keys: Rotation,
    history: History,
    clients: Tasks,
    watchers: Tasks,
    reached: Vec<Arc<AtomicI64>>,
}

/// Starts the clients, and watchers if the workload has them.
pub(crate) async fn start(
    workload: Workload,
    target: &Target,
    seed: u64,
    history: &History,
) -> Result<Clients> {
    let mut running = Clients {
        workload,
        urls: target.urls.clone(),
        prefix: target.prefix.clone(),
        seed,
        from: revision_now(&target.urls).await?.saturating_add(1),
        keys: Rotation::new(OPS_PER_KEY),
        history: history.clone(),
        clients: Tasks::new("clients"),
        watchers: Tasks::new("watchers"),
        reached: Vec::new(),
    };
    if matches!(workload, Workload::Watch | Workload::Lease) {
        running.start_watchers();
    }
    for number in 0..running.urls.len() * CLIENTS_EACH {
        running.start_client(number)?;
    }
    Ok(running)
}

impl Clients {
    fn start_client(&self, number: usize) -> Result<()> {
        let (prefix, keys) = (self.prefix.clone(), self.keys.clone());
        match self.workload {
            Workload::Register | Workload::VersionedRegister => self.spawn(
                number,
                Registers {
                    prefix,
                    keys,
                    last: None,
                },
            ),
            Workload::Set => self.spawn(
                number,
                Sets {
                    prefix,
                    keys,
                    last: None,
                },
            ),
            Workload::Append => self.spawn(
                number,
                Append {
                    prefix,
                    keys,
                    last: None,
                },
            ),
            Workload::Wr => self.spawn(
                number,
                Wr {
                    prefix,
                    keys,
                    last: None,
                },
            ),
            Workload::Watch => self.spawn(
                number,
                Changes {
                    prefix,
                    values: keys,
                },
            ),
            Workload::Serializable => self.spawn(
                number,
                Serializable {
                    prefix,
                    values: keys,
                },
            ),
            Workload::Lease => self.spawn(
                number,
                Leases {
                    prefix,
                    names: keys,
                    held: None,
                },
            ),
            Workload::Lock => self.spawn(
                number,
                Locks {
                    prefix,
                    values: keys,
                    held: None,
                },
            ),
            Workload::Puts => bail!("the workload puts is recorded by scenarios of its own alone"),
        }
        Ok(())
    }

    fn spawn<J: Job>(&self, number: usize, job: J) {
        let client = self.client(number);
        self.clients
            .spawn_infallible("client", client.run(job, false));
    }

    fn client(&self, number: usize) -> Client {
        Client {
            url: self.urls[number % self.urls.len()].clone(),
            seed: self.seed.wrapping_add(number as u64 + 1),
            history: self.history.clone(),
            stop: self.clients.stop().clone(),
        }
    }

    fn start_watchers(&mut self) {
        for number in 0..self.urls.len() {
            let reached = Arc::new(AtomicI64::new(0));
            self.reached.push(reached.clone());
            let watcher = Watcher {
                name: format!("watcher-{}", number + 1),
                urls: self.urls.clone(),
                at: number,
                prefix: self.prefix.clone(),
                from: self.from,
                seed: self.seed.wrapping_sub(number as u64 + 1),
                history: self.history.clone(),
                stop: self.watchers.stop().clone(),
                reached,
            };
            self.watchers.spawn_infallible("watcher", watcher.run());
        }
    }

    /// Ends the clients and reads what the checker needs.
    /// `urls` are those that do.
    pub(crate) async fn finish(mut self, urls: Vec<String>) -> Result<()> {
        self.urls = urls;
        let ended = self.clients.shutdown(Duration::from_secs(15)).await;
        ensure!(ended, "clients did not end");
        let (prefix, keys) = (self.prefix.clone(), self.keys.clone());
        // Counted down from the end: the last key is read first.
        let last = Some(keys.used().collect());
        match self.workload {
            Workload::Register | Workload::VersionedRegister => {
                self.read_last(Registers { prefix, keys, last }).await
            }
            Workload::Set => self.read_last(Sets { prefix, keys, last }).await,
            Workload::Append => self.read_last(Append { prefix, keys, last }).await,
            Workload::Wr => self.read_last(Wr { prefix, keys, last }).await,
            Workload::Lease => {
                tokio::time::sleep(LEASES_END).await;
                self.read_logs().await
            }
            _ => self.read_logs().await,
        }
    }

    async fn read_last<J: Job>(&self, job: J) -> Result<()> {
        let reader = Client {
            // The clients' own has been cancelled.
            stop: tokio_util::sync::CancellationToken::new(),
            ..self.client(0)
        };
        let time = Duration::from_secs(END_SECONDS);
        let read = tokio::time::timeout(time, reader.run(job, true)).await;
        read.context("the last reads took too long")
    }

    async fn read_logs(&self) -> Result<()> {
        let first = self.urls.first().context("no member")?;
        let end = log::mark_end(first, &self.prefix).await?;
        // A watcher that never gets there missed something: its checker says what.
        let _ = testkit::poll(30, "watchers to see the end", async || {
            let is_there = |reached: &Arc<AtomicI64>| reached.load(Ordering::Relaxed) >= end;
            if self.reached.iter().all(is_there) {
                return Ok(());
            }
            Err("some have not".to_owned())
        })
        .await;
        self.watchers.shutdown(Duration::from_secs(5)).await;
        for url in &self.urls {
            log::record(&self.history, url, &self.prefix, (self.from, end)).await?;
        }
        Ok(())
    }
}

async fn revision_now(urls: &[String]) -> Result<i64> {
    let url = urls.first().context("no member")?;
    let channel = Dial::new(url).channel().await;
    let channel = channel.with_context(|| format!("nobody answers at {url}"))?;
    let answer = KvClient::new(channel).range(range("jepsen-probe")).await;
    let answer = answer.with_context(|| format!("ask {url} for its revision"))?;
    Ok(revision(answer.into_inner().header.as_ref()))
}
