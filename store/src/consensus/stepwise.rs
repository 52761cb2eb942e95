//! A member without threads, network or clock of its own, for a simulation that gives it all three.
//!
//! The log, the adapters and the settings of openraft are those of [`super::start()`]. What a running
//! member's threads do, the caller does in steps: it lets the log's [`Writer`] write, and the
//! [`Applier`] apply what the disk has.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{InitializeError, RaftError};
use openraft::{Raft, RaftNetworkFactory};
use tokio::sync::Notify;

pub use super::applier::Applier;
pub use super::jobs::{Jobs, Next};
pub use super::propose::Applied;
pub use super::snapshot::{SnapshotData, StagedDir};
pub use super::state_machine::StateMachineAdapter;
pub use super::types::{RaftLeaderId, Raw, Snapshot, Types, Vote};

use super::applied;
use super::applier::{self, Surroundings};
use super::log_store::LogStore;
use super::{
    AppliedState, ConsensusConfig, FatalSignal, Member, ProposeError, ReadError, StartError,
    StateMachine, membership, propose, reads, state_machine,
};
use crate::log::{Log, Options, Wake, Writer};
use crate::planted::{self, Fault};

/// openraft over our log and state machine.
pub type RaftNode<C> = Raft<C, StateMachineAdapter<C>>;

/// A member that has opened its log and does not run yet.
pub struct Opened<C: Types> {
    raft_config: openraft::Config,
    member_id: u64,
    log: Log,
    adapter: StateMachineAdapter<C>,
    applied: Arc<applied::Applied>,
    flush_due: Arc<Notify>,
    fatal: FatalSignal,
}

/// A member that runs as long as the caller takes its steps.
pub struct Running<C: Types> {
    raft: RaftNode<C>,
    applied: Arc<applied::Applied>,
    flush_due: Arc<Notify>,
    fatal: FatalSignal,
}

/// Opens the log and takes the state machine. The steps of both must be taken from now on.
pub fn open<C: Types>(
    config: &ConsensusConfig,
    log: &Options,
    machine: Box<dyn StateMachine>,
    wake: Wake,
) -> Result<(Opened<C>, Writer, Applier<C>), StartError> {
    let raft_config = config
        .raft_config()
        .map_err(|error| StartError::Config(Box::new(error)))?;
    let (log, writer) = Log::open_stepwise(log, wake)?;
    let applied = Arc::new(applied::Applied::default());
    let flush_due = Arc::new(Notify::new());
    let fatal = FatalSignal::default();
    let surroundings = Surroundings {
        // Whoever takes the steps waits for the disk first, see `Next::needs_durable`.
        wait_durable: Box::new({
            let log = log.clone();
            move |index| match log.is_durable(index) {
                Some(result) => result,
                None => Err(std::io::Error::other(format!(
                    "entry {index} is not on the disk yet"
                ))),
            }
        }),
        applied: applied.clone(),
        fatal: fatal.clone(),
        flush_due: flush_due.clone(),
        flush_entries: config.snapshot_count.max(1),
    };
    let (jobs, state, applier) = applier::prepare(machine, surroundings)?;
    let adapter = StateMachineAdapter::new(jobs, &state)
        .map_err(|error| StartError::Raft(error.to_string()))?;
    let opened = Opened {
        raft_config,
        member_id: config.member_id,
        log,
        adapter,
        applied,
        flush_due,
        fatal,
    };
    Ok((opened, writer, applier))
}

/// A snapshot that lies in `dir`, with what it says of itself.
pub fn staged_snapshot<C: Types>(
    state: &AppliedState,
    dir: StagedDir,
) -> std::io::Result<Snapshot<C>> {
    Ok(Snapshot {
        meta: state_machine::to_meta(state)?,
        snapshot: SnapshotData::Staged(dir),
    })
}

impl<C: Types> Opened<C> {
    /// The log, for who waits until it is durable.
    pub fn log(&self) -> Log {
        self.log.clone()
    }

    /// Starts openraft on `network`.
    pub async fn start<N>(self, network: N) -> Result<Running<C>, StartError>
    where
        N: RaftNetworkFactory<C>,
        N::Network: openraft::network::NetSnapshot<C, SnapshotData = SnapshotData<C>>,
    {
        let log_store = LogStore::inline(self.log);
        let config = Arc::new(self.raft_config);
        let raft = Raft::new(self.member_id, config, network, log_store, self.adapter);
        Ok(Running {
            raft: raft
                .await
                .map_err(|error| StartError::Raft(error.to_string()))?,
            applied: self.applied,
            flush_due: self.flush_due,
            fatal: self.fatal,
        })
    }
}

impl<C: Types> Running<C> {
    /// openraft, for peers' calls.
    pub fn raft(&self) -> &RaftNode<C> {
        &self.raft
    }

    /// Begins a cluster, unless this member is part of one.
    pub async fn begin(&self, members: &[Member]) -> Result<(), StartError> {
        let nodes: BTreeMap<u64, Member> = members
            .iter()
            .map(|member| (member.id, membership::record(member)))
            .collect();
        match self.raft.initialize(nodes).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(error) => Err(StartError::Raft(error.to_string())),
        }
    }

    /// Who leads and in which term, as far as this member knows.
    pub fn leader(&self) -> (u64, Option<u64>) {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        (metrics.current_term, metrics.current_leader)
    }

    /// Writes, if this member leads; as [`super::Consensus::propose`] does there.
    pub async fn propose_here(&self, command: Bytes) -> Result<Applied, ProposeError> {
        propose::write(&self.raft, command).await
    }

    /// The read index, if this member leads and a quorum says so.
    pub async fn read_round_here(&self) -> Result<u64, ReadError> {
        reads::confirm(&self.raft).await
    }

    /// Whether a fault that is planted lets this member answer reads without asking anybody.
    pub fn reads_at_once(&self) -> bool {
        planted::has(Fault::ReadIndexSkipped)
    }

    /// Waits until this member has applied the entry at `index`.
    pub async fn wait_applied(&self, index: u64) -> Result<(), ReadError> {
        let waited = self.applied.wait(index).await;
        waited.map_err(|_| ReadError::Stopped)
    }

    /// The last entry applied.
    pub fn applied(&self) -> u64 {
        self.applied.index()
    }

    /// Waits until a flush is due, and asks openraft for it. False once openraft has ended.
    pub async fn flush_when_due(&self) -> bool {
        self.flush_due.notified().await;
        self.raft.trigger().snapshot().await.is_ok()
    }

    /// Waits until this member cannot go on, or openraft has ended; says why.
    pub async fn failed(&self) -> String {
        let mut metrics = self.raft.metrics();
        let ended = async {
            loop {
                if let Err(error) = &metrics.borrow_watched().running_state {
                    return error.to_string();
                }
                if metrics.changed().await.is_err() {
                    return "openraft has ended".to_owned();
                }
            }
        };
        tokio::select! { biased;
            fatal = self.fatal.wait() => base::report(&*fatal).to_string(),
            why = ended => why,
        }
    }
}
