//! Members as processes of one machine: each in a network namespace of its own, or all on the loopback
//! with a proxy before each for its peers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base::Tasks;
use tempfile::TempDir;
use tokio::sync::watch;

use super::clock::{self, Wrong};
use super::kind::Network;
use super::link::{Pids, Proxy, Rules};
use super::logs;
use super::member::{self, Member, Recipe};
use super::net::Namespaces;
use super::place::{self, Place};
use super::tls::Pki;
use crate::disk::{self, Faults, Mounted};
use crate::wire;

/// A member that starts on a slow machine.
const READY_SECONDS: u64 = 60;

/// What members are processes of.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// The file.
    pub(crate) path: PathBuf,
    /// Arguments before etcd's flags.
    pub(crate) first: Vec<String>,
    /// Flags after the usual ones, the last of which count.
    pub(crate) flags: Vec<String>,
    /// A library that gives each member a wall clock of its own.
    pub(crate) clock: Option<PathBuf>,
    /// What the beginnings of the clocks that only run forward follow from, if each start has its own.
    pub(crate) boots: Option<u64>,
    /// Certificates, if members speak TLS too.
    pub(crate) pki: Option<Arc<Pki>>,
}

impl Program {
    /// The tool for snapshots that belongs to it, and its first arguments.
    pub(crate) fn tool(&self) -> (PathBuf, &'static [&'static str]) {
        if self.first.is_empty() {
            return (self.path.with_file_name("etcdutl"), &[]);
        }
        (self.path.clone(), &["etcdutl"])
    }
}

/// Where members keep their state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disks {
    /// In a folder each, on this machine's disk.
    Shared,
    /// On a disk of ours each, which can be broken.
    Own,
}

/// The members. Dropping it ends them and removes their state.
pub(crate) struct Cluster {
    members: Arc<Vec<Member>>,
    rules: watch::Sender<Rules>,
    pki: Option<Arc<Pki>>,
    tls: Vec<SocketAddr>,
    tasks: Tasks,
    /// Where members have addresses of their own.
    namespaces: Option<Arc<Namespaces>>,
    // After the members: they must have ended when their folder goes.
    dir: TempDir,
}

impl Cluster {
    /// Starts `count` members, each on a disk of its own if `on` says so, and waits until each answers.
    pub(crate) async fn start(
        program: Program,
        count: usize,
        on: Disks,
        network: Network,
    ) -> Result<Self> {
        ensure!(
            matches!(count, 1 | 3 | 5 | 7),
            "a cluster of {count} members: choose 1, 3, 5 or 7"
        );
        let dir = tempfile::tempdir().context("make a folder for the members")?;
        let (namespaces, places) = match network {
            Network::Proxies => (None, Place::on_loopback(count)?),
            Network::Namespaces => {
                let made = Namespaces::new(count).context("make a network for the members")?;
                let places = made.addresses().iter().copied().map(Place::at).collect();
                (Some(Arc::new(made)), places)
            }
        };
        if on == Disks::Own {
            disk::remove_stale();
        }
        let members: Result<Vec<Member>> = (0..count)
            .map(|number| {
                let inside = namespaces.as_ref().map(|all| all.enter(number));
                let inside = inside.unwrap_or_default();
                make(&program, (&places, number), inside, (dir.path(), on))
            })
            .collect();
        let members = Arc::new(members?);
        let cluster = Self {
            rules: watch::Sender::new(Rules::default()),
            pki: program.pki.clone(),
            tls: places.iter().map(Place::tls).collect(),
            tasks: Tasks::new("links"),
            namespaces,
            members,
            dir,
        };
        if cluster.namespaces.is_none() {
            cluster.open_links(&places).await?;
        }
        for (number, member) in cluster.members.iter().enumerate() {
            cluster.set_clock(number, Wrong::default())?;
            member.start()?;
        }
        let ready = cluster.wait_ready().await;
        ready.with_context(|| format!("start a cluster\n{}", cluster.last_words()))?;
        Ok(cluster)
    }

    async fn open_links(&self, places: &[Place]) -> Result<()> {
        let weak: Weak<Vec<Member>> = Arc::downgrade(&self.members);
        let pids: Pids = Arc::new(move || {
            let members = weak.upgrade();
            let members = members.iter().flat_map(|members| members.iter());
            let pid = |(number, member): (usize, &Member)| Some((number, member.pid()?));
            members.enumerate().filter_map(pid).collect()
        });
        for (member, place) in places.iter().enumerate() {
            let proxy = Proxy {
                member,
                listener: Proxy::bind(place.advertised).await?,
                to: place.peer,
                pids: pids.clone(),
                rules: self.rules.subscribe(),
            };
            let tasks = self.tasks.clone();
            self.tasks.spawn_infallible("proxy", proxy.run(tasks));
        }
        Ok(())
    }

    /// Says how wrong the wall clock of the member with this number is from now on.
    pub(crate) fn set_clock(&self, number: usize, wrong: Wrong) -> Result<()> {
        clock::set(&clock_file(self.dir.path(), number), wrong)
    }

    /// Waits until each member answers a linearizable read.
    pub(crate) async fn wait_ready(&self) -> Result<()> {
        for member in self.members.iter() {
            let what = format!("an answer of {}", member.name);
            testkit::poll(READY_SECONDS, &what, async || {
                member.look();
                if !member.is_started() {
                    return Err(format!("it does not run: {:?}", member.deaths()));
                }
                wire::probe(&member.url).await
            })
            .await?;
        }
        Ok(())
    }

    /// Mends disks, lets every link go, and starts every member that does not run or is paused.
    pub(crate) async fn mend(&self) -> Result<()> {
        self.change_links(|rules| *rules = Rules::default()).await?;
        for member in self.members.iter() {
            if let Ok(disk) = member.disk() {
                disk.set_faults(|faults| *faults = Faults::default());
            }
            member.resume();
            member.start()?;
        }
        Ok(())
    }

    /// The members.
    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    /// The number of the member that leads, as far as anybody who answers knows.
    pub(crate) async fn leader(&self) -> Option<usize> {
        let mut found: BTreeMap<u64, usize> = BTreeMap::new();
        for (number, member) in self.members.iter().enumerate() {
            if let Some((term, true)) = wire::leads(&member.url).await {
                found.insert(term, number);
            }
        }
        found.into_values().next_back()
    }

    /// Changes what links do, and waits until they do.
    // Cancel-safe: what was changed comes about all the same.
    pub(crate) async fn change_links(&self, change: impl FnOnce(&mut Rules)) -> Result<()> {
        self.rules.send_modify(change);
        let Some(namespaces) = self.namespaces.clone() else {
            return Ok(());
        };
        let rules = self.rules.subscribe();
        let applied = move || namespaces.apply(|| rules.borrow().clone());
        tokio::task::spawn_blocking(applied).await?
    }

    /// The certificates, if members have some.
    pub(crate) fn pki(&self) -> Option<&Arc<Pki>> {
        self.pki.as_ref()
    }

    /// Where members speak TLS, if they have certificates.
    pub(crate) fn tls(&self) -> &[SocketAddr] {
        &self.tls
    }

    /// Where clients reach the members.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.members
            .iter()
            .map(|member| member.url.clone())
            .collect()
    }

    /// What all members said, by time.
    pub(crate) fn logs(&self) -> String {
        logs::merged(&self.members)
    }

    fn last_words(&self) -> String {
        logs::ends(&self.members)
    }

    /// Ends every member and link.
    pub(crate) async fn end(&self) {
        for member in self.members.iter() {
            member.kill();
        }
        self.tasks.shutdown(Duration::from_secs(5)).await;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in self.members.iter() {
            member.kill();
        }
        self.tasks.stop().cancel();
    }
}

/// Where the wall clock of a member is kept.
fn clock_file(dir: &std::path::Path, number: usize) -> PathBuf {
    dir.join(format!("{}.clock", place::name(number)))
}

fn make(
    program: &Program,
    (places, number): (&[Place], usize),
    inside: Vec<String>,
    (dir, on): (&Path, Disks),
) -> Result<Member> {
    let name = place::name(number);
    let data = member::data(dir, &name, on == Disks::Own);
    let usual = place::flags(program, places, number, &data);
    let place = &places[number];
    let recipe = Recipe {
        program: program.path.clone(),
        args: [program.first.clone(), usual, program.flags.clone()].concat(),
        env: clock::environment(program, &clock_file(dir, number)),
        orders: place.orders(),
        inside,
        boots: program.boots.map(|seed| seed ^ number as u64),
    };
    let disk = match (on, data.parent()) {
        (Disks::Own, Some(at)) => Some(Mounted::new(at)?),
        _ => None,
    };
    let who = (name, place.url(), place.peer_url());
    Ok(Member::new(who, dir, recipe, disk))
}
