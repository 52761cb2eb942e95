//! Members over real sockets in one process, that tests start, stop and start again.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::Tasks;
use parking_lot::Mutex;
use tokio::net::TcpListener;

use super::machine::{State, TestMachine};
use crate::consensus::{
    Consensus, ConsensusConfig, LeaderCalls, Member, ProposeError, RaftConsensus, ReadError,
    Status, membership, start,
};
use crate::log::{Log, Options};

pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// Polls until `check` gives something.
pub(super) async fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let until = soon();
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < until, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Answers a leader's calls with the member's id.
struct Echo(u64);

#[async_trait::async_trait]
impl LeaderCalls for Echo {
    async fn call(&self, request: bytes::Bytes) -> Result<bytes::Bytes, ReadError> {
        Ok(format!("{} from {:x}", String::from_utf8_lossy(&request), self.0).into())
    }
}

/// A member that runs.
pub(super) struct Running {
    pub(super) consensus: Arc<RaftConsensus>,
    pub(super) state: Arc<Mutex<State>>,
    tasks: Tasks,
}

/// A member, running or not, with its folder.
pub(super) struct Place {
    pub(super) member: Member,
    address: SocketAddr,
    dir: tempfile::TempDir,
    pub(super) running: Option<Running>,
}

/// Some members and what they have in common.
pub(super) struct Cluster {
    pub(super) id: u64,
    pub(super) places: Vec<Place>,
    first: Vec<Member>,
    pub(super) tune: fn(&mut ConsensusConfig),
}

impl Place {
    fn new(name: &str) -> Self {
        // Not one that another test's connection may take before the member listens.
        let port = base::ports::free_one().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let peer_urls = vec![format!("http://{address}")];
        let id = membership::member_id(&peer_urls, "test", None);
        let member = Member {
            id,
            name: name.to_owned(),
            peer_urls,
            ..Member::default()
        };
        Self {
            member,
            address,
            dir: tempfile::tempdir().unwrap(),
            running: None,
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn get(&self) -> &Running {
        self.running.as_ref().expect("the member runs")
    }

    pub(super) async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.consensus.shutdown().await;
            assert!(running.tasks.shutdown(PATIENCE).await);
        }
    }

    /// Lets go of the member without ending it in order.
    pub(super) async fn abandon(&mut self) {
        if let Some(running) = self.running.take() {
            drop(running.consensus);
            // Its files are closed at once, whatever its tasks still hold.
            let log = Log::open(Options::new(self.dir.path().join("log"))).unwrap();
            log.close();
            assert!(running.tasks.shutdown(PATIENCE).await);
        }
    }

    async fn start(
        &mut self,
        cluster: u64,
        initial: Option<Vec<Member>>,
        tune: fn(&mut ConsensusConfig),
    ) {
        let machine = TestMachine::open(&self.dir.path().join("state"));
        let state = machine.state.clone();
        let tasks = Tasks::new("test");
        let mut config = ConsensusConfig {
            member_id: self.member.id,
            cluster_id: cluster,
            dir: self.dir.path().join("log"),
            staging_dir: self.dir.path().join("staging"),
            heartbeat_ms: 50,
            election_ms: 500,
            initial_members: initial,
            ..ConsensusConfig::default()
        };
        tune(&mut config);
        let consensus = start(config, Box::new(machine), &tasks).await.unwrap();
        consensus.set_leader_calls(Arc::new(Echo(self.member.id)));
        let listener = TcpListener::bind(self.address).await.unwrap();
        let serve = tonic::transport::Server::builder()
            .add_service(consensus.peer_service())
            .serve_with_incoming_shutdown(
                tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true)),
                tasks.stop().clone().cancelled_owned(),
            );
        tasks.spawn("peers", base::OnError::Log, serve);
        self.running = Some(Running {
            consensus,
            state,
            tasks,
        });
    }
}

impl Cluster {
    /// `count` members that begin a cluster.
    pub(super) async fn new(count: usize, tune: fn(&mut ConsensusConfig)) -> Self {
        let mut places = Vec::new();
        for nth in 0..count {
            places.push(Place::new(&format!("m{nth}")));
        }
        let first: Vec<Member> = places.iter().map(|place| place.member.clone()).collect();
        let ids: Vec<u64> = first.iter().map(|member| member.id).collect();
        let mut cluster = Self {
            id: membership::cluster_id(&ids),
            places,
            first,
            tune,
        };
        for nth in 0..count {
            cluster.start(nth).await;
        }
        cluster
    }

    /// A place for one more member, which is not started.
    pub(super) fn add_place(&mut self) -> Member {
        let place = Place::new(&format!("m{}", self.places.len()));
        let member = place.member.clone();
        self.places.push(place);
        member
    }

    pub(super) async fn start(&mut self, nth: usize) {
        let place = &mut self.places[nth];
        let initial = self
            .first
            .contains(&place.member)
            .then(|| self.first.clone());
        place.start(self.id, initial, self.tune).await;
    }

    pub(super) async fn stop(&mut self, nth: usize) {
        self.places[nth].stop().await;
    }

    pub(super) async fn stop_all(&mut self) {
        for place in &mut self.places {
            place.stop().await;
        }
    }

    pub(super) fn status(&self, nth: usize) -> Status {
        self.places[nth].get().consensus.status()
    }

    /// The member that all running ones take for the leader.
    pub(super) async fn leader(&self) -> usize {
        eventually("a leader", || {
            let mut running = self
                .places
                .iter()
                .filter_map(|place| place.running.as_ref());
            let leader = running
                .clone()
                .find_map(|running| running.consensus.status().leader)?;
            running
                .all(|running| running.consensus.status().leader == Some(leader))
                .then_some(())?;
            self.places
                .iter()
                .position(|place| place.member.id == leader && place.running.is_some())
        })
        .await
    }

    pub(super) async fn follower(&self) -> usize {
        let leader = self.leader().await;
        (0..self.places.len())
            .find(|nth| *nth != leader && self.places[*nth].running.is_some())
            .unwrap()
    }

    pub(super) async fn set(
        &self,
        nth: usize,
        key: &str,
        value: &str,
    ) -> Result<String, ProposeError> {
        let command = format!("set {key} {value}").into();
        let reply = self.places[nth]
            .get()
            .consensus
            .propose(command, soon())
            .await?;
        Ok(String::from_utf8(reply.to_vec()).unwrap())
    }

    pub(super) fn value(&self, nth: usize, key: &str) -> Option<String> {
        self.places[nth].get().state.lock().values.get(key).cloned()
    }

    /// Waits until every running member holds the same.
    pub(super) async fn converge(&self) -> State {
        eventually("equal states", || {
            let states: Vec<State> = self
                .places
                .iter()
                .filter_map(|place| Some(place.running.as_ref()?.state.lock().clone()))
                .collect();
            let same = states.windows(2).all(|pair| {
                (&pair[0].values, pair[0].log_id, &pair[0].membership)
                    == (&pair[1].values, pair[1].log_id, &pair[1].membership)
            });
            same.then(|| states[0].clone())
        })
        .await
    }
}
