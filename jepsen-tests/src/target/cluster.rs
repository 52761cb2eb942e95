//! Members as processes of one machine, with a proxy before each for its peers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base::{Tasks, ports};
use tempfile::TempDir;
use tokio::sync::watch;

use super::clock::{self, Wrong};
use super::link::{Pids, Proxy, Rules};
use super::logs;
use super::member::{self, Member, Recipe};
use super::tls::Pki;
use crate::disk::{self, Faults, Mounted};
use crate::wire;

/// What etcd has by default.
const ELECTION_MS: u64 = 1_000;
const HEARTBEAT_MS: u64 = 100;
/// Few enough that a member which was cut off for a while is sent a snapshot.
const SNAPSHOT_ENTRIES: u64 = 2_000;
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
    tls_ports: Vec<u16>,
    tasks: Tasks,
    // After the members: they must have ended when their folder goes.
    dir: TempDir,
}

impl Cluster {
    /// Starts `count` members, each on a disk of its own if `on` says so, and waits until each answers.
    pub(crate) async fn start(program: Program, count: usize, on: Disks) -> Result<Self> {
        ensure!(
            matches!(count, 1 | 3 | 5 | 7),
            "a cluster of {count} members: choose 1, 3, 5 or 7"
        );
        let dir = tempfile::tempdir().context("make a folder for the members")?;
        let ports = Ports::find(count)?;
        if on == Disks::Own {
            disk::remove_stale();
        }
        let members: Result<Vec<Member>> = (0..count)
            .map(|number| make(&program, &ports, number, (dir.path(), on)))
            .collect();
        let members = Arc::new(members?);
        let cluster = Self {
            rules: watch::Sender::new(Rules::default()),
            pki: program.pki.clone(),
            tls_ports: ports.tls.clone(),
            tasks: Tasks::new("links"),
            members,
            dir,
        };
        cluster.open_links(&ports).await?;
        for (number, member) in cluster.members.iter().enumerate() {
            cluster.set_clock(number, Wrong::default())?;
            member.start()?;
        }
        let ready = cluster.wait_ready().await;
        ready.with_context(|| format!("start a cluster\n{}", cluster.last_words()))?;
        Ok(cluster)
    }

    async fn open_links(&self, ports: &Ports) -> Result<()> {
        let weak: Weak<Vec<Member>> = Arc::downgrade(&self.members);
        let pids: Pids = Arc::new(move || {
            let members = weak.upgrade();
            let members = members.iter().flat_map(|members| members.iter());
            let pid = |(number, member): (usize, &Member)| Some((number, member.pid()?));
            members.enumerate().filter_map(pid).collect()
        });
        for member in 0..self.members.len() {
            let proxy = Proxy {
                member,
                listener: Proxy::bind(ports.proxy[member]).await?,
                to: ports.peer[member],
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
    pub(crate) fn mend(&self) -> Result<()> {
        self.set_links(|rules| *rules = Rules::default());
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

    /// Changes what links do.
    pub(crate) fn set_links(&self, change: impl FnOnce(&mut Rules)) {
        self.rules.send_modify(change);
    }

    /// The certificates, if members have some.
    pub(crate) fn pki(&self) -> Option<&Arc<Pki>> {
        self.pki.as_ref()
    }

    /// Where members speak TLS, if they have certificates.
    pub(crate) fn tls_ports(&self) -> &[u16] {
        &self.tls_ports
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
    dir.join(format!("{}.clock", name(number)))
}

fn make(
    program: &Program,
    ports: &Ports,
    number: usize,
    (dir, on): (&Path, Disks),
) -> Result<Member> {
    let name = name(number);
    let data = member::data(dir, &name, on == Disks::Own);
    let usual = [
        flags(ports, number, &data),
        tls_flags(program, ports, number),
    ]
    .concat();
    let recipe = Recipe {
        program: program.path.clone(),
        args: [program.first.clone(), usual, program.flags.clone()].concat(),
        env: clock::environment(program, &clock_file(dir, number)),
        orders: ports.orders[number],
        boots: program.boots.map(|seed| seed ^ number as u64),
    };
    let disk = match (on, data.parent()) {
        (Disks::Own, Some(at)) => Some(Mounted::new(at)?),
        _ => None,
    };
    let url = format!("http://127.0.0.1:{}", ports.client[number]);
    let peer_url = format!("http://127.0.0.1:{}", ports.proxy[number]);
    Ok(Member::new((name, url, peer_url), dir, recipe, disk))
}

/// The name of the member with this number.
fn name(number: usize) -> String {
    format!("n{}", number + 1)
}

struct Ports {
    client: Vec<u16>,
    peer: Vec<u16>,
    proxy: Vec<u16>,
    tls: Vec<u16>,
    orders: Vec<u16>,
}

impl Ports {
    fn find(count: usize) -> Result<Self> {
        let all = ports::free(5 * count).context("find ports")?;
        let mut parts = all.chunks_exact(count).map(<[u16]>::to_vec);
        let mut part = || parts.next().unwrap_or_default();
        Ok(Self {
            client: part(),
            peer: part(),
            proxy: part(),
            tls: part(),
            orders: part(),
        })
    }
}

/// Flags of a member that speaks TLS on another port too.
fn tls_flags(program: &Program, ports: &Ports, number: usize) -> Vec<String> {
    let Some(pki) = &program.pki else {
        return Vec::new();
    };
    let (plain, tls) = (ports.client[number], ports.tls[number]);
    let both = format!("http://127.0.0.1:{plain},https://127.0.0.1:{tls}");
    let mut flags = vec![format!("--listen-client-urls={both}")];
    flags.extend(pki.flags());
    flags
}

/// The flags of one member: etcd's own. Peers are told of the proxy's address alone.
fn flags(ports: &Ports, number: usize, data: &Path) -> Vec<String> {
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let peers = ports.proxy.iter().enumerate();
    let peers: Vec<String> = peers
        .map(|(number, port)| format!("{}={}", name(number), url(*port)))
        .collect();
    let pairs = [
        ("name", name(number)),
        ("data-dir", data.display().to_string()),
        ("listen-client-urls", url(ports.client[number])),
        ("advertise-client-urls", url(ports.client[number])),
        ("listen-peer-urls", url(ports.peer[number])),
        ("initial-advertise-peer-urls", url(ports.proxy[number])),
        ("initial-cluster", peers.join(",")),
        ("initial-cluster-state", "new".to_owned()),
        ("initial-cluster-token", "jepsen".to_owned()),
        ("heartbeat-interval", HEARTBEAT_MS.to_string()),
        ("election-timeout", ELECTION_MS.to_string()),
        ("snapshot-count", SNAPSHOT_ENTRIES.to_string()),
    ];
    pairs
        .map(|(flag, value)| format!("--{flag}={value}"))
        .to_vec()
}
