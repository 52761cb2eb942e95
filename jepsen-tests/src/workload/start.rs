//! Starts the clients of a workload, with whoever watches or saves beside them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64};

use anyhow::{Context, Result, bail};
use base::Tasks;
use proto_etcd::etcdserverpb::kv_client::KvClient;

use super::administer;
use super::ahead::Ahead;
use super::append::Append;
use super::auth::{Administrator, Users, Worker};
use super::clients::{Client, Job, PACE_MS_MAX};
use super::election::{self, Candidates};
use super::flood::{Asks, Flood};
use super::lease::Leases;
use super::lock::Locks;
use super::observer::Observer;
use super::overload::Overload;
use super::quota::Filler;
use super::register::Registers;
use super::rotation::Rotation;
use super::saver::Saver;
use super::serializable::Serializable;
use super::set::Sets;
use super::tls::Tls;
use super::watch::Changes;
use super::watcher::{Habit, Watcher};
use super::wr::Wr;
use crate::check::Workload;
use crate::history::History;
use crate::target::{Pki, Target};
use crate::wire::{Dial, range, revision};

/// Clients of each member.
const CLIENTS_EACH: usize = 2;
/// Of each member that is to be given too much.
const CROWD_EACH: usize = 40;
/// Operations that one key sees before another takes its turn: a list of a hundred elements is
/// still quickly read.
const OPS_PER_KEY: u64 = 60;

/// A workload that runs.
pub(crate) struct Clients {
    pub(super) workload: Workload,
    pub(super) urls: Vec<String>,
    pub(super) prefix: String,
    pub(super) seed: u64,
    /// The first revision of the run.
    pub(super) from: i64,
    pub(super) keys: Rotation,
    pub(super) history: History,
    pub(super) clients: Tasks,
    pub(super) watchers: Tasks,
    pub(super) reached: Vec<Arc<AtomicI64>>,
    pub(super) saver: Option<Arc<Saver>>,
    pub(super) flooded: Asks,
    users: Users,
    is_full: Arc<AtomicBool>,
    /// Certificates, and where members ask for them.
    tls: Option<(Arc<Pki>, Vec<SocketAddr>)>,
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
        saver: None,
        flooded: Asks::default(),
        users: Users::default(),
        is_full: Arc::default(),
        tls: tls(target),
    };
    running.start_others().await?;
    let each = match workload {
        Workload::Overload => CROWD_EACH,
        _ => CLIENTS_EACH,
    };
    for number in 0..running.urls.len() * each {
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
                    tells_versions: self.workload == Workload::VersionedRegister,
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
            Workload::Watch | Workload::WatchStarved | Workload::WatchFuture => self.spawn(
                number,
                Changes {
                    prefix,
                    values: keys,
                },
            ),
            Workload::Serializable | Workload::Restore | Workload::QuorumLoss => self.spawn(
                number,
                Serializable {
                    prefix,
                    values: keys,
                },
            ),
            Workload::Puts => bail!("the workload puts is recorded by scenarios of its own alone"),
            _ => self.start_other(number)?,
        }
        Ok(())
    }

    /// Those that hold something, or are not all alike.
    fn start_other(&self, number: usize) -> Result<()> {
        let (prefix, keys) = (self.prefix.clone(), self.keys.clone());
        match self.workload {
            // One client of each member floods it.
            Workload::LeaseMass if number < self.urls.len() => self.spawn(
                number,
                Flood {
                    asked: self.flooded.clone(),
                },
            ),
            Workload::Lease | Workload::LeaseMass => self.spawn(
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
            Workload::Election => self.spawn(
                number,
                Candidates {
                    prefix,
                    values: keys,
                    led: None,
                },
            ),
            Workload::Overload => self.spawn(
                number,
                Overload {
                    prefix,
                    values: keys,
                },
            ),
            Workload::Quota => self.spawn(
                number,
                Filler {
                    prefix,
                    values: keys,
                    is_full: self.is_full.clone(),
                    janitor: (number == 0).then(|| self.urls.clone()),
                    has_deleted: false,
                },
            ),
            Workload::Auth => self.start_user(number),
            Workload::Tls => {
                let (pki, all) = self.tls.clone().context("members have no certificates")?;
                let address = all[number % all.len()];
                let tls = Tls {
                    pki,
                    url: format!("https://{address}"),
                    old: None,
                    keeps: number < all.len(),
                };
                self.spawn(number, tls);
            }
            _ => bail!("the workload {} has no clients", self.workload.name()),
        }
        Ok(())
    }

    fn start_user(&self, number: usize) {
        let (prefix, keys, users) = (self.prefix.clone(), self.keys.clone(), self.users.clone());
        if number == 0 {
            return self.spawn(
                number,
                Administrator {
                    prefix,
                    names: keys,
                    users,
                    token: None,
                },
            );
        }
        self.spawn(
            number,
            Worker {
                prefix,
                values: keys,
                users,
                tokens: BTreeMap::new(),
            },
        );
    }

    fn spawn<J: Job>(&self, number: usize, job: J) {
        let client = self.client(number);
        self.clients
            .spawn_infallible("client", client.run(job, false));
    }

    pub(super) fn client(&self, number: usize) -> Client {
        Client {
            url: self.urls[number % self.urls.len()].clone(),
            seed: self.seed.wrapping_add(number as u64 + 1),
            pace_ms_max: match self.workload {
                Workload::Overload => 1,
                _ => PACE_MS_MAX,
            },
            history: self.history.clone(),
            stop: self.clients.stop().clone(),
        }
    }

    /// Those who are no clients: watchers, observers, and who saves snapshots.
    async fn start_others(&mut self) -> Result<()> {
        match self.workload {
            Workload::Watch | Workload::Lease | Workload::LeaseMass => {
                self.start_watchers(Habit::Reads);
            }
            Workload::WatchStarved => self.start_watchers(Habit::Stalls),
            Workload::WatchFuture => {
                self.start_watchers(Habit::Reads);
                self.start_ahead();
            }
            Workload::Election => self.start_observers(),
            Workload::Auth => {
                let first = self.urls.first().context("no member")?;
                let enabled = administer::enable(first).await;
                enabled.context("make the cluster ask who somebody is")?;
            }
            Workload::Restore => {
                let saver = Saver::new()?;
                self.saver = Some(saver.clone());
                let stop = self.clients.stop().clone();
                let saving = saver.run(self.urls.clone(), self.history.clone(), stop);
                self.clients.spawn_infallible("saver", saving);
            }
            _ => {}
        }
        Ok(())
    }

    fn start_watchers(&mut self, habit: Habit) {
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
                habit,
                history: self.history.clone(),
                stop: self.watchers.stop().clone(),
                reached,
            };
            self.watchers.spawn_infallible("watcher", watcher.run());
        }
    }

    fn start_ahead(&self) {
        for number in 0..self.urls.len() {
            let ahead = Ahead {
                number: number + 1,
                urls: self.urls.clone(),
                prefix: self.prefix.clone(),
                seed: self.seed.wrapping_sub(number as u64 + 101),
                history: self.history.clone(),
                stop: self.watchers.stop().clone(),
            };
            self.watchers.spawn_infallible("watcher", ahead.run());
        }
    }

    fn start_observers(&self) {
        for election in 0..election::ELECTIONS {
            for number in 0..self.urls.len() {
                let observer = Observer {
                    name: format!("observer-{election}-{}", number + 1),
                    election: election::name_of(&self.prefix, election),
                    urls: self.urls.clone(),
                    at: number,
                    seed: self.seed.wrapping_sub(number as u64 + 201),
                    history: self.history.clone(),
                    stop: self.watchers.stop().clone(),
                };
                self.watchers.spawn_infallible("observer", observer.run());
            }
        }
    }
}

fn tls(target: &Target) -> Option<(Arc<Pki>, Vec<SocketAddr>)> {
    let cluster = target.cluster.as_ref()?;
    Some((cluster.pki()?.clone(), cluster.tls().to_vec()))
}

async fn revision_now(urls: &[String]) -> Result<i64> {
    let url = urls.first().context("no member")?;
    let channel = Dial::new(url).channel().await;
    let channel = channel.with_context(|| format!("nobody answers at {url}"))?;
    let answer = KvClient::new(channel).range(range("jepsen-probe")).await;
    let answer = answer.with_context(|| format!("ask {url} for its revision"))?;
    Ok(revision(answer.into_inner().header.as_ref()))
}
