//! Ends the clients of a workload, with the reads that its checker needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio_util::sync::CancellationToken;

use super::append::Append;
use super::clients::{Client, Job};
use super::quota;
use super::register::Registers;
use super::serializable::Serializable;
use super::set::Sets;
use super::start::Clients;
use super::wr::Wr;
use super::{administer, flood, log};
use crate::check::Workload;
use crate::edn::Value;
use crate::history::Kind;
use crate::target::{Cluster, Target};
use crate::wire::{self, Dial};

/// No lease of the workload lives for longer, with its last renewal, elections and slowness.
const LEASES_END: Duration = Duration::from_secs(12);
const END_SECONDS: u64 = 60;
const CLIENTS_END: Duration = Duration::from_secs(25);
/// A survivor is alone for so long before it is helped.
const LOST_FOR: Duration = Duration::from_secs(2);
/// It is written to for so long.
const ALONE_FOR: Duration = Duration::from_secs(4);
/// A member that takes more than this is not bounded by what it is asked.
const MEMORY_BYTES_MAX: u64 = 2 << 30;

impl Clients {
    /// Ends the clients and reads what the checker needs. `urls` are those that answer; returned
    /// are those that do afterwards.
    pub(crate) async fn finish(
        mut self,
        target: &Target,
        urls: Vec<String>,
    ) -> Result<Vec<String>> {
        self.urls = urls;
        if self.workload == Workload::QuorumLoss {
            let cluster = target.cluster.as_deref();
            return self.lose_quorum(cluster.context("not ours")?).await;
        }
        ensure!(
            self.clients.shutdown(CLIENTS_END).await,
            "clients did not end"
        );
        let (prefix, keys) = (self.prefix.clone(), self.keys.clone());
        // Counted down from the end: the last key is read first.
        let last = Some(keys.used().collect());
        match self.workload {
            Workload::Register | Workload::VersionedRegister => {
                let tells_versions = self.workload == Workload::VersionedRegister;
                let registers = Registers {
                    prefix,
                    keys,
                    tells_versions,
                    last,
                };
                self.read_last(registers).await?;
            }
            Workload::Set => self.read_last(Sets { prefix, keys, last }).await?,
            Workload::Append => self.read_last(Append { prefix, keys, last }).await?,
            Workload::Wr => self.read_last(Wr { prefix, keys, last }).await?,
            Workload::Lease => {
                tokio::time::sleep(LEASES_END).await;
                self.read_logs().await?;
            }
            Workload::LeaseMass => {
                let first = self.urls.first().context("no member")?;
                flood::record_left(first, &self.flooded, &self.history).await?;
                self.read_logs().await?;
            }
            Workload::Auth => {
                administer::disable(&self.urls).await?;
                self.read_logs().await?;
            }
            Workload::Quota => {
                self.make_room().await?;
                self.read_logs().await?;
            }
            Workload::Restore => {
                self.read_logs().await?;
                let (saver, program) = (self.saver.as_ref(), target.program.as_ref());
                let (saver, program) = saver.zip(program).context("nothing to restore by")?;
                saver.restore(program, &self.prefix, &self.history).await?;
            }
            // Its clients read nothing that is written.
            Workload::Tls => {}
            Workload::Overload => {
                if let Some(cluster) = &target.cluster {
                    self.note_memory(cluster)?;
                }
                self.read_logs().await?;
            }
            _ => self.read_logs().await?,
        }
        Ok(self.urls)
    }

    async fn read_last<J: Job>(&self, job: J) -> Result<()> {
        let reader = Client {
            // The clients' own has been cancelled.
            stop: CancellationToken::new(),
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
        self.record_logs(end).await
    }

    async fn record_logs(&self, end: i64) -> Result<()> {
        for url in &self.urls {
            log::record(&self.history, url, &self.prefix, (self.from, end)).await?;
        }
        Ok(())
    }

    /// Ends the alarm, if it stands.
    async fn make_room(&self) -> Result<()> {
        let url = self.urls.first().context("no member")?;
        testkit::poll(END_SECONDS, "the alarm's end", async || {
            let channel = Dial::new(url).channel().await.ok_or("nobody answers")?;
            let made = quota::make_room(channel, &self.prefix, &self.urls).await;
            made.map_err(|failure| format!("{failure:?}"))
        })
        .await
    }

    /// Loses all members but one for ever while clients write, and lets that one go on alone.
    async fn lose_quorum(mut self, cluster: &Cluster) -> Result<Vec<String>> {
        let first = self.urls.first().context("no member")?;
        let end = log::mark_end(first, &self.prefix).await?;
        self.record_logs(end).await?;
        let count = cluster.members().len();
        let kept = usize::try_from(self.seed % count as u64).unwrap_or(0);
        let survivor = &cluster.members()[kept];
        let lost = cluster.members().iter().enumerate();
        for (_, member) in lost.filter(|(at, _)| *at != kept) {
            member.leave();
        }
        self.history
            .nemesis("quorum-loss", format!("{} is left alone", survivor.name));
        tokio::time::sleep(LOST_FOR).await;
        ensure!(
            self.clients.shutdown(CLIENTS_END).await,
            "clients did not end"
        );
        survivor.kill();
        let process = self.history.new_process();
        let op = self
            .history
            .invoke(process, "forced", Value::text(&survivor.name));
        survivor.start_with(vec!["--force-new-cluster".to_owned()])?;
        testkit::poll(END_SECONDS, "an answer of the survivor", async || {
            wire::probe(&survivor.url).await
        })
        .await?;
        self.history
            .complete(op, Kind::Ok, Value::text(&survivor.name), None);
        self.urls = vec![survivor.url.clone()];
        let stop = CancellationToken::new();
        let client = Client {
            stop: stop.clone(),
            ..self.client(0)
        };
        let job = Serializable {
            prefix: self.prefix.clone(),
            values: self.keys.clone(),
        };
        let enough = async {
            tokio::time::sleep(ALONE_FOR).await;
            stop.cancel();
        };
        tokio::join!(client.run(job, false), enough);
        self.read_logs().await?;
        Ok(self.urls)
    }

    /// The most that each member ever took.
    fn note_memory(&self, cluster: &Cluster) -> Result<()> {
        for member in cluster.members() {
            let Some(bytes) = member.memory_bytes_max() else {
                continue;
            };
            let told = vec![
                Value::text(&member.name),
                i64::try_from(bytes).unwrap_or(i64::MAX).into(),
            ];
            self.history.note("harness", "memory", Value::Vector(told));
            ensure!(
                bytes <= MEMORY_BYTES_MAX,
                "{} took {} MiB of memory",
                member.name,
                bytes >> 20
            );
        }
        Ok(())
    }
}
