//! Members as processes of one machine, with a proxy before each for its peers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base::{Tasks, ports};
use tempfile::TempDir;
use tokio::sync::watch;

use super::link::{Pids, Proxy, Rules};
use super::logs;
use super::member::{Member, Recipe};
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
}

/// The members. Dropping it ends them and removes their state.
pub(crate) struct Cluster {
    members: Arc<Vec<Member>>,
    rules: watch::Sender<Rules>,
    tasks: Tasks,
    // After the members: they must have ended when their folder goes.
    _dir: TempDir,
}

impl Cluster {
    /// Starts `count` members and waits until each answers.
    pub(crate) async fn start(program: Program, count: usize) -> Result<Self> {
        ensure!(
            matches!(count, 1 | 3 | 5 | 7),
            "a cluster of {count} members: choose 1, 3, 5 or 7"
        );
        let dir = tempfile::tempdir().context("make a folder for the members")?;
        let ports = Ports::find(count)?;
        let recipes = (0..count).map(|number| {
            let recipe = Recipe {
                program: program.path.clone(),
                args: [program.first.clone(), flags(&ports, number, dir.path())].concat(),
            };
            let url = format!("http://127.0.0.1:{}", ports.client[number]);
            Member::new(name(number), url, dir.path(), recipe)
        });
        let members: Arc<Vec<Member>> = Arc::new(recipes.collect());
        let cluster = Self {
            rules: watch::Sender::new(Rules::default()),
            tasks: Tasks::new("links"),
            members,
            _dir: dir,
        };
        cluster.open_links(&ports).await?;
        for member in cluster.members.iter() {
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

    /// Lets every link go, and starts every member that does not run or is paused.
    pub(crate) fn mend(&self) -> Result<()> {
        self.set_links(|rules| *rules = Rules::default());
        for member in self.members.iter() {
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

/// The name of the member with this number.
fn name(number: usize) -> String {
    format!("n{}", number + 1)
}

struct Ports {
    client: Vec<u16>,
    peer: Vec<u16>,
    proxy: Vec<u16>,
}

impl Ports {
    fn find(count: usize) -> Result<Self> {
        let all = ports::free(3 * count).context("find ports")?;
        let mut parts = all.chunks_exact(count).map(<[u16]>::to_vec);
        let mut part = || parts.next().unwrap_or_default();
        Ok(Self {
            client: part(),
            peer: part(),
            proxy: part(),
        })
    }
}

/// The flags of one member: etcd's own. Peers are told of the proxy's address alone.
fn flags(ports: &Ports, number: usize, dir: &std::path::Path) -> Vec<String> {
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let peers = ports.proxy.iter().enumerate();
    let peers: Vec<String> = peers
        .map(|(number, port)| format!("{}={}", name(number), url(*port)))
        .collect();
    let pairs = [
        ("name", name(number)),
        ("data-dir", dir.join(name(number)).display().to_string()),
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
