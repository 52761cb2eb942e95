//! One running member: what the parts below share, and the trait that the store sees.
//!
//! Any member takes any call. Its own part of the work is in the sibling files: proposals in
//! `propose.rs`, reads in `reads.rs`, changes of the cluster in `change.rs`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use openraft::Instant as _;
use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::applied::Applied;
use super::apply_thread::ApplyThread;
use super::peer_server::{self, PeerService};
use super::peers::{Lane, PeerClient, Peers};
use super::reads::ReadWaiter;
use super::state_machine::StateMachineAdapter;
use super::types::{RaftLogId, TypeConfig, ours};
use super::{
    Consensus, ConsensusConfig, Fatal, FatalSignal, LeaderCalls, Member, MemberCalls,
    MembershipChange, MembershipError, ProposeError, ReadError, Roster, Status, membership,
};
use crate::log::Log;

/// The last flush and the last sync must be done by then; nothing is lost if they are not.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

/// openraft, with our types.
pub(super) type RaftNode = Raft<TypeConfig, StateMachineAdapter>;

/// A member of the cluster, running. See [`super::start`]. Dropped, it ends as [`RaftConsensus::halt`] says.
pub struct RaftConsensus {
    pub(super) node: Arc<Node>,
    // None once they have ended.
    pub(super) threads: Mutex<Option<Threads>>,
}

/// The threads that own files. Dropping them ends one after the other: the state machine, which waits
/// for the log, and then the log.
pub(super) struct Threads {
    pub(super) apply: Option<ApplyThread>,
    pub(super) log: Log,
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.apply = None;
        self.log.close();
    }
}

/// What calls from inside and from peers share.
pub(super) struct Node {
    pub(super) config: ConsensusConfig,
    pub(super) raft: RaftNode,
    pub(super) log: Log,
    pub(super) peers: Arc<Peers>,
    pub(super) applied: Arc<Applied>,
    pub(super) leader_calls: OnceLock<Arc<dyn LeaderCalls>>,
    pub(super) member_calls: OnceLock<Arc<dyn MemberCalls>>,
    pub(super) roster: OnceLock<Arc<dyn Roster>>,
    /// Cancelled once this member knows that it was removed from its cluster.
    pub(super) removed: CancellationToken,
    pub(super) reads: mpsc::Sender<ReadWaiter>,
    pub(super) status: watch::Sender<Status>,
    pub(super) contact: LeaderContact,
    pub(super) fatal: FatalSignal,
    pub(super) stop: CancellationToken,
    /// One change of the membership at a time is worked on here.
    pub(super) changing: tokio::sync::Mutex<()>,
}

/// When this member last heard from a leader. openraft goes on naming a leader that is long gone.
#[derive(Debug)]
pub(super) struct LeaderContact {
    start: Instant,
    /// Milliseconds after `start`, plus one; 0 if never.
    last: AtomicU64,
}

impl LeaderContact {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            last: AtomicU64::new(0),
        }
    }

    pub(super) fn mark(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.last.fetch_max(now + 1, Ordering::Relaxed);
    }

    fn is_within(&self, limit: Duration) -> bool {
        match self.last.load(Ordering::Relaxed) {
            0 => false,
            last => self.start.elapsed() <= Duration::from_millis(last - 1) + limit,
        }
    }
}

/// Who leads, as far as this member may believe it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leader {
    This,
    Other(u64),
    Unknown,
}

impl Node {
    /// A leader is believed only while it is heard of, and this member itself only while a quorum answers it.
    pub(super) fn leader(&self) -> Leader {
        // A follower stands for election after the timeout; half of it more covers a late heartbeat.
        let limit = Duration::from_millis(self.config.election_ms * 3 / 2);
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let Some(leader) = metrics.current_leader else {
            return Leader::Unknown;
        };
        if leader != self.config.member_id {
            return match self.contact.is_within(limit) {
                true => Leader::Other(leader),
                false => Leader::Unknown,
            };
        }
        let alone = metrics.membership_config.voter_ids().eq([leader]);
        let acked = metrics
            .last_quorum_acked
            .is_some_and(|acked| acked.elapsed() <= limit);
        match alone || acked {
            true => Leader::This,
            false => Leader::Unknown,
        }
    }

    pub(super) fn status_now(&self) -> Status {
        let leader = match self.leader() {
            Leader::This => Some(self.config.member_id),
            Leader::Other(id) => Some(id),
            Leader::Unknown => None,
        };
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let count = |index: Option<u64>| index.map_or(0, |index| index + 1);
        let applied = self.applied.index();
        let before = self.status.borrow().leaderless_since;
        let leaderless_since = leaderless_since(before, leader, Instant::now());
        Status {
            member_id: self.config.member_id,
            term: metrics.current_term,
            leader,
            leaderless_since,
            last_index: count(metrics.last_log_index).max(applied),
            // What is applied is committed, also right after a start, when openraft does not know it yet.
            committed: count(metrics.local_committed.map(|log_id| log_id.index)).max(applied),
            applied,
            members: membership::member_list(metrics.membership_config.membership()),
        }
    }

    /// Entries committed here and not yet applied.
    pub(super) fn apply_lag(&self) -> u64 {
        let metrics = self.raft.metrics();
        let committed = metrics
            .borrow_watched()
            .local_committed
            .map_or(0, |log_id| log_id.index + 1);
        committed.saturating_sub(self.applied.index())
    }

    /// True if this member has applied the removal of `id`.
    pub(super) fn is_removed(&self, id: u64) -> bool {
        self.roster
            .get()
            .is_some_and(|roster| roster.is_removed(id))
    }

    /// A client of another member, for calls on behalf of clients.
    pub(super) fn peer(&self, id: u64) -> Option<PeerClient> {
        let metrics = self.raft.metrics();
        let urls = {
            let metrics = metrics.borrow_watched();
            metrics
                .membership_config
                .membership()
                .get_node(&id)?
                .peer_urls
                .clone()
        };
        match self.peers.client(id, &urls, Lane::Forward) {
            Ok(client) => Some(client),
            Err(error) => {
                tracing::warn!(error = %base::report(&error), "cannot call a member");
                None
            }
        }
    }

    /// A leader's heartbeat named an entry that this member had acknowledged, and it is not here: the
    /// folder was emptied, or is an old copy. What else is forgotten, votes among it, nobody can tell.
    pub(super) fn raise_lost(&self, denied: RaftLogId) {
        let text = format!(
            "this member had acknowledged entry {} and does not have it: its data directory was emptied or \
             is an old copy; remove it from the cluster and add it again with an empty data directory",
            ours(denied).index
        );
        self.fatal.raise(Fatal {
            step: "consensus::acknowledged_entry_lost",
            source: anyhow::anyhow!(text),
        });
    }

    /// The time left until `deadline`, as a message carries it.
    pub(super) fn timeout_ms(deadline: Instant) -> u64 {
        let left = deadline.saturating_duration_since(Instant::now());
        u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Since when nobody leads, if nobody does: what was known before, and who leads now.
fn leaderless_since(before: Option<Instant>, leader: Option<u64>, now: Instant) -> Option<Instant> {
    match leader {
        Some(_) => None,
        None => before.or(Some(now)),
    }
}

impl RaftConsensus {
    /// The service for other members, to be served on the peer listener. Its connections must have
    /// `TCP_NODELAY` set: small answers that wait for an acknowledgement hold up every write.
    pub fn peer_service(&self) -> PeerService {
        peer_server::service(self.node.clone())
    }

    /// Who answers calls that only a leader may answer. To be set once, before clients are let in;
    /// until then such calls find no leader.
    pub fn set_leader_calls(&self, calls: Arc<dyn LeaderCalls>) {
        if self.node.leader_calls.set(calls).is_err() {
            tracing::warn!("leader calls are set already; the first ones stay");
        }
    }

    /// Who answers other members' calls that need no leader. To be set once; until then they get no answer.
    pub fn set_member_calls(&self, calls: Arc<dyn MemberCalls>) {
        if self.node.member_calls.set(calls).is_err() {
            tracing::warn!("member calls are set already; the first ones stay");
        }
    }

    /// Who knows which members were removed. To be set once, before the peers' calls are served: calls of
    /// those members are refused, and this member learns of its own removal.
    pub fn set_roster(&self, roster: Arc<dyn Roster>) {
        if self.node.roster.set(roster).is_err() {
            tracing::warn!("the roster is set already; the first one stays");
        }
    }

    /// Cancelled once this member knows that it was removed from its cluster, by its own log or by
    /// another member's word. It can do nothing any more; its process should end.
    pub fn removed(&self) -> CancellationToken {
        self.node.removed.clone()
    }

    /// Tells when and why this member cannot go on. The process must then end without answering
    /// anybody any more.
    pub fn fatal(&self) -> FatalSignal {
        self.node.fatal.clone()
    }

    /// Ends this member: openraft, then the state machine after a last flush, then the log. Calls that
    /// wait are answered with [`ProposeError::Stopped`] or have no certain outcome.
    pub async fn shutdown(&self) {
        self.node.stop.cancel();
        if let Err(error) = self.node.raft.shutdown().await {
            tracing::warn!(error = %error, "openraft did not end in order");
        }
        self.node.applied.close();
        let threads = self.threads.lock().take();
        let ended = tokio::task::spawn_blocking(move || drop(threads));
        match tokio::time::timeout(SHUTDOWN_TIMEOUT, ended).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = %error, "the state machine did not end in order")
            }
            Err(_) => {
                tracing::warn!("the state machine or the log still runs after the shutdown timeout")
            }
        }
    }

    /// Ends this member at once, for callers that cannot wait for [`RaftConsensus::shutdown`]: what is
    /// queued is given up, the state is flushed, and its files and those of the log are closed when this
    /// returns. Blocks. Does nothing on a member that has ended.
    pub fn halt(&self) {
        self.node.stop.cancel();
        self.node.applied.close();
        let threads = self.threads.lock().take();
        drop(threads);
    }
}

impl Drop for RaftConsensus {
    fn drop(&mut self) {
        self.halt();
    }
}

#[async_trait]
impl Consensus for RaftConsensus {
    async fn propose(&self, command: Bytes, deadline: Instant) -> Result<Bytes, ProposeError> {
        self.node.propose(command, deadline).await
    }

    async fn read_index(&self, deadline: Instant) -> Result<u64, ReadError> {
        self.node.read_index(deadline).await
    }

    async fn call_leader(&self, request: Bytes, deadline: Instant) -> Result<Bytes, ReadError> {
        self.node.call_leader(request, deadline).await
    }

    async fn call_member(
        &self,
        member: u64,
        request: Bytes,
        deadline: Instant,
    ) -> Result<Bytes, ReadError> {
        self.node.call_member(member, request, deadline).await
    }

    fn status(&self) -> Status {
        self.node.status_now()
    }

    fn subscribe(&self) -> watch::Receiver<Status> {
        self.node.status.subscribe()
    }

    async fn change_membership(
        &self,
        change: MembershipChange,
        deadline: Instant,
    ) -> Result<Vec<Member>, MembershipError> {
        self.node.change_membership(change, deadline).await
    }

    async fn transfer_leader(&self, to: u64, deadline: Instant) -> Result<(), ReadError> {
        self.node.transfer_leader(to, deadline).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_without_a_leader_begins_with_its_loss() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let led = leaderless_since(None, Some(1), start);
        assert_eq!(led, None);
        let lost = leaderless_since(led, None, after(100));
        assert_eq!(lost, Some(after(100)));
        assert_eq!(leaderless_since(lost, None, after(101)), Some(after(100)));
        assert_eq!(leaderless_since(lost, Some(2), after(102)), None);
    }
}
