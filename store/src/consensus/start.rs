//! Starts a member: opens the log, takes the state machine, joins or begins its cluster.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base::Tasks;
use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{InitializeError, RaftError};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::applied::Applied;
use super::applier::Surroundings;
use super::apply_thread;
use super::log_store::LogStore;
use super::network::NetworkFactory;
use super::node::{LeaderContact, Node, RaftConsensus, Threads};
use super::peers::Peers;
use super::state_machine::StateMachineAdapter;
use super::{
    AppliedState, ConsensusConfig, Fatal, FatalSignal, LogId, Member, StateMachine, Status, change,
    force, membership, reads, removal, snapshot,
};
use crate::log::{self, Log, OpenError};

/// Why a member does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings contradict each other.
    #[error("consensus settings")]
    Config(#[source] Box<openraft::ConfigError>),
    /// The list of first members does not name this one.
    #[error("member {0:x} is not among the first members of its cluster")]
    NotAMember(u64),
    /// The log cannot be used.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// The state machine cannot be used.
    #[error(transparent)]
    Machine(#[from] Fatal),
    /// The folder for snapshots cannot be used.
    #[error("snapshot folder")]
    Staging(#[source] std::io::Error),
    /// The log and the state machine do not fit together, or the disk failed.
    #[error("consensus cannot start: {0}")]
    Raft(String),
}

/// Starts the member. When it returns, the log is recovered, what was committed is applied as far as
/// this member knows it, and the member is ready for its peers' calls.
pub async fn start(
    config: ConsensusConfig,
    machine: Box<dyn StateMachine>,
    tasks: &Tasks,
) -> Result<Arc<RaftConsensus>, StartError> {
    let (raft_config, log) = prepare(&config).await?;
    // From here on every way out ends them, also when the caller gives up waiting.
    let mut threads = Threads {
        apply: None,
        log: log.clone(),
    };
    let fatal = FatalSignal::default();
    let applied = Arc::new(Applied::default());
    let flush_due = Arc::new(Notify::new());
    let surroundings = Surroundings {
        wait_durable: Box::new({
            let log = log.clone();
            move |index| log.wait_durable(index)
        }),
        applied: applied.clone(),
        fatal: fatal.clone(),
        flush_due: flush_due.clone(),
        flush_entries: config.snapshot_count.max(1),
    };
    let (jobs, state, apply_thread) = apply_thread::spawn(machine, surroundings)?;
    threads.apply = Some(apply_thread);
    let forced = match config.force_alone {
        true => Some(rewrite(&log, &config, &state).await?),
        false => None,
    };
    let adapter = StateMachineAdapter::new(jobs, &state).map_err(raft_error)?;
    let removed = CancellationToken::new();
    let peers = Arc::new(Peers::new(&config, removed.clone()));
    let network = NetworkFactory {
        peers: peers.clone(),
        staging: config.staging_dir.clone(),
    };
    let raft = Raft::new(
        config.member_id,
        Arc::new(raft_config),
        network,
        LogStore::new(log.clone()),
        adapter,
    );
    let raft = raft.await.map_err(raft_error)?;
    let (reads, reads_rx) = mpsc::channel(reads::WAITING_MAX);
    let node = Arc::new(Node {
        raft,
        log,
        peers,
        applied,
        leader_calls: OnceLock::new(),
        member_calls: OnceLock::new(),
        roster: OnceLock::new(),
        removed,
        reads,
        status: watch::Sender::new(Status::default()),
        contact: LeaderContact::new(),
        fatal,
        stop: tasks.stop().child_token(),
        changing: tokio::sync::Mutex::new(()),
        config,
    });
    node.status.send_replace(node.status_now());
    spawn_tasks(&node, reads_rx, flush_due, tasks);
    if let Some(forced) = forced {
        force::lead(&node, forced).await?;
    }
    Ok(Arc::new(RaftConsensus {
        node,
        threads: Mutex::new(Some(threads)),
    }))
}

fn raft_error(error: impl std::fmt::Display) -> StartError {
    StartError::Raft(error.to_string())
}

/// See [`force::rewrite`].
async fn rewrite(
    log: &Log,
    config: &ConsensusConfig,
    state: &AppliedState,
) -> Result<LogId, StartError> {
    let (log, config, state) = (log.clone(), config.clone(), state.clone());
    tokio::task::spawn_blocking(move || force::rewrite(&log, &config, &state))
        .await
        .map_err(|error| StartError::Raft(error.to_string()))?
}

/// Checks the settings and opens what is on disk.
async fn prepare(config: &ConsensusConfig) -> Result<(openraft::Config, Log), StartError> {
    let raft_config = config
        .raft_config()
        .map_err(|error| StartError::Config(Box::new(error)))?;
    if let Some(members) = &config.initial_members
        && !members.iter().any(|member| member.id == config.member_id)
    {
        return Err(StartError::NotAMember(config.member_id));
    }
    let mut options = log::Options::new(config.dir.clone());
    options.measures = config.measures.log.clone();
    let staging = config.staging_dir.clone();
    let opened = tokio::task::spawn_blocking(move || {
        snapshot::clean_staging(&staging).map_err(StartError::Staging)?;
        Ok::<_, StartError>(Log::open(options)?)
    });
    let log = opened
        .await
        .map_err(|error| StartError::Raft(error.to_string()))??;
    Ok((raft_config, log))
}

fn spawn_tasks(
    node: &Arc<Node>,
    reads: mpsc::Receiver<reads::ReadWaiter>,
    flush_due: Arc<Notify>,
    tasks: &Tasks,
) {
    tasks.spawn_infallible("raft-reads", reads::run(node.clone(), reads));
    tasks.spawn_infallible("raft-status", run_status(node.clone()));
    tasks.spawn_infallible("raft-flush", run_flush(node.clone(), flush_due));
    tasks.spawn_infallible("raft-removal", removal::run(node.clone()));
    tasks.spawn_infallible("raft-membership", change::run_finisher(node.clone()));
    if let Some(members) = &node.config.initial_members {
        tasks.spawn_infallible("raft-begin", begin(node.clone(), members.clone()));
    }
}

/// Begins a new cluster. Every first member does it; the smallest id first, so that they do not all
/// stand for election at once.
async fn begin(node: Arc<Node>, members: Vec<Member>) {
    let rank = members
        .iter()
        .filter(|member| member.id < node.config.member_id)
        .count();
    let rank = u32::try_from(rank).unwrap_or(u32::MAX);
    let wait = Duration::from_millis(node.config.election_ms).saturating_mul(rank);
    tokio::select! { biased;
        () = node.stop.cancelled() => return,
        () = tokio::time::sleep(wait) => {}
    }
    let nodes: BTreeMap<u64, Member> = members
        .iter()
        .map(|member| (member.id, membership::record(member)))
        .collect();
    match node.raft.initialize(nodes).await {
        Ok(()) => tracing::info!(members = members.len(), "began a new cluster"),
        // There is a log or a vote already: this member is part of a cluster.
        Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
        Err(error) => tracing::error!(error = %error, "cannot begin a new cluster"),
    }
}

/// Asks openraft for a snapshot, which here means a flush, whenever the apply thread says that one is due.
async fn run_flush(node: Arc<Node>, flush_due: Arc<Notify>) {
    loop {
        tokio::select! { biased;
            () = node.stop.cancelled() => return,
            () = flush_due.notified() => {}
        }
        if node.raft.trigger().snapshot().await.is_err() {
            return;
        }
    }
}

/// Publishes changes of leader, term and members, and notices when openraft ends by itself.
async fn run_status(node: Arc<Node>) {
    let mut metrics = node.raft.metrics();
    let mut tick = tokio::time::interval(Duration::from_millis(node.config.heartbeat_ms.max(10)));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut ended = false;
    loop {
        tokio::select! { biased;
            () = node.stop.cancelled() => return,
            // Also without news: a leader is no longer believed when it has been silent for long.
            _ = tick.tick() => {}
            changed = metrics.changed(), if !ended => ended = changed.is_err(),
        }
        if let Err(error) = &metrics.borrow_and_update().running_state {
            // A shutdown that this member was asked for stops this task as well.
            let source = anyhow::anyhow!(error.to_string());
            if !node.stop.is_cancelled() {
                node.fatal.raise(Fatal {
                    step: "consensus::raft_core",
                    source,
                });
            }
            return;
        }
        let status = node.status_now();
        node.peers.retain(|id| status.members.contains_key(&id));
        node.status.send_if_modified(|known| {
            let is_news = (known.leader, known.term) != (status.leader, status.term)
                || known.members != status.members;
            *known = status;
            is_news
        });
    }
}
