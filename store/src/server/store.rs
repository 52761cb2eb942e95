//! A member from its settings to its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::{OnError, Tasks};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::corruption::{self, Hashes};
use super::listen::{Bound, Listeners};
use super::serve::{Door, accept};
use super::settings::{
    authenticator, consensus_config, lessor_settings, make_certificates, open_machine, rpc_limits,
    secrets, spans,
};
use super::start::StartError;
use super::{announce, compactor, founding, leaderless, memory, publish, recover};
use crate::apply::View;
use crate::config::{Config, Url};
use crate::consensus::{self, Consensus, Fatal, RaftConsensus, Status};
use crate::data_dir::{DataDir, Identity};
use crate::lease::expiry::Lessor;
use crate::limits;
use crate::metrics::{Measures, Metrics};
use crate::rpc::{self, Context, Ids, Parts};
use crate::tls::ServerTls;
use crate::traces;

mod clients;

/// A member that is ready to run. Its sockets are bound and its folder is taken.
pub struct Store {
    config: Config,
    dir: DataDir,
    identity: Identity,
    listeners: Listeners,
    client_tls: Option<Arc<ServerTls>>,
    peer_tls: Option<Arc<ServerTls>>,
    raft: Arc<RaftConsensus>,
    lessor: Arc<Lessor>,
    hashes: Arc<Hashes>,
    context: Arc<Context>,
    tracer: Option<traces::Tracer>,
    spans: Option<traces::Exporter>,
    lost_leader: watch::Sender<bool>,
    ready: watch::Sender<bool>,
    clients: Connections,
    peers: Connections,
    /// The parts that use consensus; end before it.
    tasks: Tasks,
    /// Consensus and what serves it.
    core: Tasks,
}

/// Listeners and connections of one side. Their tasks are asked to end, finish what they have, and are
/// killed when that takes too long.
struct Connections {
    tasks: Tasks,
    kill: CancellationToken,
}

impl Connections {
    fn new(name: &str) -> Self {
        Self {
            tasks: Tasks::new(name),
            kill: CancellationToken::new(),
        }
    }

    async fn end(&self, patience: Duration) {
        if !self.tasks.shutdown(patience).await {
            self.kill.cancel();
            self.tasks.shutdown(limits::DRAIN_TIMEOUT).await;
        }
    }
}

/// However a member ends, its files are closed when it is gone: a process that exits while RocksDB is
/// open finds RocksDB's own state destroyed under its threads.
impl Drop for Store {
    fn drop(&mut self) {
        for connections in [&self.clients, &self.peers] {
            connections.tasks.stop().cancel();
            connections.kill.cancel();
        }
        self.tasks.stop().cancel();
        self.core.stop().cancel();
        self.raft.halt();
    }
}

/// What a member that was running ended by.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Its disk or its state broke an invariant.
    #[error("the member cannot go on")]
    Fatal(#[source] Arc<Fatal>),
    /// It was removed from its cluster. An orderly end, as in etcd.
    #[error("the member has been permanently removed from the cluster")]
    Removed,
    /// The check before serving found that it holds something else than other members.
    #[error("{0:x} found data inconsistency with peers")]
    Inconsistent(u64),
    /// One of its parts ended without being asked to.
    #[error("a part of the member ended unexpectedly")]
    Part,
}

/// A cheap look at a running member.
#[derive(Clone)]
pub struct Handle {
    context: Arc<Context>,
    client_addrs: Vec<SocketAddr>,
    ready: watch::Receiver<bool>,
}

impl Handle {
    /// Where clients really reach it.
    pub fn client_addrs(&self) -> &[SocketAddr] {
        &self.client_addrs
    }

    /// What it knows of its cluster.
    pub fn status(&self) -> Status {
        self.context.consensus.status()
    }

    /// The newest revision that it has applied.
    pub fn revision(&self) -> i64 {
        self.context.view.revision()
    }

    /// Waits until it serves clients. False if it ended before.
    pub async fn wait_ready(&self) -> bool {
        self.ready.clone().wait_for(|ready| *ready).await.is_ok()
    }
}

impl Store {
    /// Binds the sockets and starts the member's core. Fails early: nothing is served yet.
    pub async fn build(config: Config) -> Result<Self, StartError> {
        let listeners = Listeners::bind(&config).await?;
        Self::build_on(config, listeners).await
    }

    /// As [`Store::build`], on sockets that the caller has bound.
    pub async fn build_on(mut config: Config, listeners: Listeners) -> Result<Self, StartError> {
        if config.lock_memory {
            memory::lock()?;
        }
        make_certificates(&mut config)?;
        let secrets = secrets(&config, &listeners)?;
        let auth = authenticator(&config)?;
        let (tracer, spans) = spans(&config)?;
        let mut dir = DataDir::open(&config.data_dir, config.wal_dir.as_deref())?;
        announce::starting(&config, dir.identity().is_some());
        let peer_client = secrets.peer_client.as_ref();
        let mut identity = founding::identity(&config, &dir, peer_client).await?;
        if dir.identity().is_none() {
            dir.set_identity(identity.clone())?;
        }
        let measures = Measures::default();
        let (mut machine, view) = open_machine(&config, &dir, &measures).await?;
        let lessor = Lessor::new(view.clone(), lessor_settings(&config, &measures));
        let core = Tasks::new("store core");
        let mut settings = if config.force_new_cluster {
            recover::force_alone(&config, &mut dir, &mut identity, &mut machine, peer_client)
                .await?
        } else {
            consensus_config(&config, &dir, &identity, peer_client)
        };
        settings.measures.clone_from(&measures);
        let raft = consensus::start(settings, Box::new(machine), &core)
            .await
            .map_err(StartError::Consensus)?;
        let hashes = Hashes::new(view.clone());
        let consensus = attach(&raft, &lessor, &hashes, &view);
        let (clients, peers) = (
            Connections::new("client connections"),
            Connections::new("peer connections"),
        );
        let (lost_leader, leaderless) = watch::channel(false);
        let context = Context::new(Parts {
            consensus,
            view,
            lessor: lessor.clone(),
            metrics: Arc::new(Metrics::new(config.metrics, measures)),
            ids: ids(&identity),
            limits: rpc_limits(&config),
            auth,
            leaderless,
            tasks: clients.tasks.clone(),
        });
        let (ready, _) = watch::channel(false);
        announce::member(&config, &identity);
        Ok(Self {
            config,
            dir,
            identity,
            listeners,
            client_tls: secrets.client,
            peer_tls: secrets.peer,
            raft,
            lessor,
            hashes,
            context,
            tracer,
            spans,
            lost_leader,
            ready,
            clients,
            peers,
            tasks: Tasks::new("store"),
            core,
        })
    }

    /// A look at the member, also while it runs.
    pub fn handle(&self) -> Handle {
        Handle {
            context: self.context.clone(),
            client_addrs: self
                .listeners
                .client
                .iter()
                .filter_map(Bound::local_addr)
                .collect(),
            ready: self.ready.subscribe(),
        }
    }

    /// Runs the member until `stop`, or until it cannot go on; ends it in order either way.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), RunError> {
        self.serve_peers();
        self.spawn_parts();
        let early = stop.child_token();
        let (fatal, removed) = (self.raft.fatal(), self.raft.removed());
        let (core, tasks) = (self.core.stop().clone(), self.tasks.stop().clone());
        let result = tokio::select! { biased;
            () = stop.cancelled() => Ok(()),
            fatal = fatal.wait() => Err(RunError::Fatal(fatal)),
            () = removed.cancelled() => Err(RunError::Removed),
            () = core.cancelled() => Err(RunError::Part),
            () = tasks.cancelled() => Err(RunError::Part),
            result = async {
                if self.config.gates.initial_corrupt_check
                    && corruption::initial(&self.context, &self.hashes).await.is_err()
                {
                    return Err(RunError::Inconsistent(self.identity.member_id));
                }
                let urls = self.config.advertise_client_urls.iter().map(Url::to_string).collect();
                if publish::member(&self.context, &self.config.name, urls, &early).await {
                    self.mark_initialized();
                    self.serve_clients().await;
                }
                std::future::pending().await
            } => result,
        };
        self.shut_down(result.is_ok()).await;
        result
    }

    /// The log has entries now; from here on an empty one is a lost one.
    fn mark_initialized(&mut self) {
        if !self.identity.initialized {
            self.identity.initialized = true;
            if let Err(error) = self.dir.set_identity(self.identity.clone()) {
                tracing::warn!(error = %base::report(&error), "cannot note that the member has started");
            }
        }
    }

    fn serve_peers(&mut self) {
        let router = tonic::service::Routes::new(self.raft.peer_service())
            .into_axum_router()
            .merge(rpc::peer_routes(&self.context))
            .fallback(rpc::not_found);
        for bound in std::mem::take(&mut self.listeners.peer) {
            tracing::info!(address = bound.shown(), "serving peer traffic");
            let door = Arc::new(Door {
                side: "peer",
                router: router.clone(),
                tls: self.peer_tls.clone().filter(|_| bound.url.is_tls()),
                keep_alive: None,
                ping_min: None,
                max_streams: u32::MAX,
                is_traced: false,
                kill: self.peers.kill.clone(),
            });
            self.peers.tasks.spawn_infallible(
                "peer listener",
                accept(bound, door, self.peers.tasks.clone()),
            );
        }
    }

    fn spawn_parts(&mut self) {
        let stop = self.tasks.stop().clone();
        if let Some(spans) = self.spans.take() {
            let run = spans.run(stop.clone());
            // A member goes on without spans.
            self.tasks.spawn("span export", OnError::Log, async {
                run.await;
                Ok::<(), Infallible>(())
            });
        }
        self.tasks
            .spawn_infallible("lease expiry", self.lessor.clone().run(stop.clone()));
        let patience =
            Duration::from_millis(self.config.election_ms) * limits::LEADERLESS_ELECTIONS;
        let context = self.context.clone();
        let watch = leaderless::run(
            context.consensus.subscribe(),
            context.metrics.clone(),
            self.lost_leader.clone(),
            patience,
            stop.clone(),
        );
        self.tasks.spawn_infallible("leader watch", watch);
        let (for_version, version_stop) = (self.context.clone(), stop.clone());
        let interval = self.config.downgrade_check_interval;
        self.tasks.spawn_infallible("cluster version", async move {
            publish::cluster_version(&for_version, interval, &version_stop).await;
        });
        let (mode, for_compaction) = (self.config.auto_compaction, self.context.clone());
        self.tasks.spawn_infallible("auto compaction", async move {
            compactor::run(&for_compaction, mode, &stop).await;
        });
        self.spawn_checks();
    }

    /// The comparisons of members that the settings ask for.
    fn spawn_checks(&self) {
        let parts = || {
            let stop = self.tasks.stop().clone();
            (self.context.clone(), self.hashes.clone(), stop)
        };
        let every = self.config.corrupt_check_interval;
        if !every.is_zero() {
            let (context, hashes, stop) = parts();
            self.tasks.spawn_infallible("corruption check", async move {
                corruption::periodic(&context, &hashes, every, &stop).await;
            });
        }
        let every = self.config.compact_hash_check_interval;
        if self.config.gates.compact_hash_check && !every.is_zero() {
            let (_, hashes, stop) = parts();
            self.tasks
                .spawn_infallible("compaction hashes", async move {
                    corruption::keep(&hashes, &stop).await;
                });
            let (context, hashes, stop) = parts();
            self.tasks.spawn_infallible("compaction check", async move {
                corruption::compactions(&context, &hashes, every, &stop).await;
            });
        }
    }

    /// Newcomers are turned away and streams ended first, leadership is handed on while requests are
    /// still answered, then what remains is ended, and consensus and the state last.
    async fn shut_down(self, is_orderly: bool) {
        let started = Instant::now();
        self.clients.tasks.stop().cancel();
        if is_orderly {
            self.hand_over().await;
        }
        self.clients.end(limits::DRAIN_TIMEOUT).await;
        self.tasks.shutdown(limits::DRAIN_TIMEOUT).await;
        // Peers' streams never end by themselves. They go before what answers them.
        self.peers.kill.cancel();
        self.peers.end(limits::DRAIN_TIMEOUT).await;
        self.raft.shutdown().await;
        self.core.shutdown(limits::DRAIN_TIMEOUT).await;
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(took_ms, "closed the member");
    }

    async fn hand_over(&self) {
        let status = self.raft.status();
        if !status.is_leader() {
            return;
        }
        let deadline = Instant::now() + limits::TRANSFER_TIMEOUT;
        let others = status
            .members
            .values()
            .filter(|member| member.id != status.member_id && !member.is_learner);
        for other in others {
            match self.raft.transfer_leader(other.id, deadline).await {
                Ok(()) => {
                    tracing::info!(to = format!("{:x}", other.id), "handed leadership over");
                    return;
                }
                Err(error) => {
                    tracing::warn!(to = format!("{:x}", other.id), error = %error, "cannot hand leadership over")
                }
            }
            if Instant::now() >= deadline {
                return;
            }
        }
    }
}

fn ids(identity: &Identity) -> Ids {
    Ids {
        cluster: identity.cluster_id,
        member: identity.member_id,
    }
}

/// Makes the parts that consensus calls known to it, and it to them.
fn attach(
    raft: &Arc<RaftConsensus>,
    lessor: &Arc<Lessor>,
    hashes: &Arc<Hashes>,
    view: &View,
) -> Arc<dyn Consensus> {
    raft.set_leader_calls(lessor.clone());
    raft.set_member_calls(hashes.clone());
    raft.set_roster(Arc::new(view.clone()));
    let consensus: Arc<dyn Consensus> = raft.clone();
    lessor.attach(&consensus);
    consensus
}
