//! Agreement on one order of commands. The rest of the store sees only the traits here; openraft
//! stays behind them, so that a new alpha of it touches this folder alone.
//!
//! A command goes in by [`Consensus::propose`], comes out at [`StateMachine::apply`] on every
//! member in the same order, and its reply goes back to whoever proposed it.

mod applied;
mod applier;
mod apply_thread;
mod change;
mod codec;
mod config;
mod content;
mod fatal;
mod force;
mod jobs;
mod log_store;
pub mod membership;
mod network;
mod node;
mod peer_server;
mod peers;
mod propose;
mod reads;
mod removal;
mod restored;
mod snapshot;
mod start;
mod state_machine;
pub mod stepwise;
mod traffic;
mod types;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub use self::config::{ConsensusConfig, PeerTls};
pub use self::content::{EntryContent, entry_content};
pub use self::fatal::FatalSignal;
pub use self::force::{Survey, survey};
pub use self::node::RaftConsensus;
pub use self::peer_server::PeerService;
pub use self::restored::{RestoreError, found_restored, members_of};
pub use self::start::{StartError, start};

/// The peer protocol's messages and service, generated.
mod peer_proto {
    #![expect(
        unreachable_pub,
        clippy::too_many_lines,
        reason = "generated; the protocol file has the documentation"
    )]
    tonic::include_proto!("keelson.peer.v1");
}

/// A place in the log.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct LogId {
    /// The term of the leader that made the entry.
    pub term: u64,
    /// The entry's place, from 1.
    pub index: u64,
}

/// A member of the cluster, as the log replicates it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Derived from its first peer URLs and the cluster token, as etcd does.
    pub id: u64,
    /// `--name`; empty until the member has started once.
    pub name: String,
    /// Where other members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it; empty until the member has started once.
    pub client_urls: Vec<String>,
    /// Receives the log but does not vote.
    pub is_learner: bool,
}

/// What this member knows of the cluster now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// This member.
    pub member_id: u64,
    /// The term it is in.
    pub term: u64,
    /// The leader it follows, if any. On a leader cut off from its quorum: none.
    pub leader: Option<u64>,
    /// Since when there is none.
    pub leaderless_since: Option<Instant>,
    /// The last entry in its log.
    pub last_index: u64,
    /// The last entry that it knows to be committed.
    pub committed: u64,
    /// The last entry that its state machine holds.
    pub applied: u64,
    /// The voters and learners of the latest membership in its log.
    pub members: BTreeMap<u64, Member>,
}

impl Status {
    /// True if this member leads.
    pub fn is_leader(&self) -> bool {
        self.leader == Some(self.member_id)
    }
}

/// Why a proposal has no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Certainly not in the log. Safe to try again.
    #[error("no leader")]
    NoLeader,
    /// Certainly not in the log: too much waits to be applied. Safe to try again later.
    #[error("too many requests")]
    Overloaded,
    /// The outcome is unknown: the command may yet be applied. Must never be tried again here.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// The outcome is unknown: the deadline passed first.
    #[error("timed out")]
    Timeout,
    /// This member is ending.
    #[error("stopped")]
    Stopped,
}

/// Why no read index could be had. A read has no effect, so it is always safe to try again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Nobody leads.
    #[error("no leader")]
    NoLeader,
    /// The deadline passed first.
    #[error("timed out")]
    Timeout,
    /// This member is ending.
    #[error("stopped")]
    Stopped,
}

/// Why the membership did not change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// No member has that id.
    #[error("member {0:x} not found")]
    NotFound(u64),
    /// A member with that id is there.
    #[error("member {0:x} exists")]
    IdExists(u64),
    /// A member with one of those peer URLs is there.
    #[error("peer URLs exist")]
    PeerUrlsExist,
    /// The member to promote votes already.
    #[error("member {0:x} is not a learner")]
    NotLearner(u64),
    /// The learner lags too far behind the leader.
    #[error("learner {0:x} is not in sync")]
    LearnerNotReady(u64),
    /// Only so many learners at once.
    #[error("too many learners")]
    TooManyLearners,
    /// The change would leave fewer started members than a quorum.
    #[error("not enough started members")]
    NotEnoughStarted,
    /// A member has not been reachable for too long for a safe change.
    #[error("unhealthy cluster")]
    Unhealthy,
    /// The proposal itself has no certain outcome.
    #[error(transparent)]
    Propose(#[from] ProposeError),
}

/// A change of the membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MembershipChange {
    /// Adds a member, as a voter or as a learner.
    Add(Member),
    /// Removes a member; its id is never used again.
    Remove(u64),
    /// Makes a learner vote.
    Promote(u64),
    /// Replaces a member's peer URLs.
    Update {
        /// Which member.
        id: u64,
        /// Its new peer URLs.
        peer_urls: Vec<String>,
    },
}

/// One order of commands for all members. Any member takes any call and forwards where it must.
#[async_trait]
pub trait Consensus: Send + Sync + 'static {
    /// Replicates `command`, waits until **this** member has applied it and returns the reply that
    /// [`StateMachine::apply`] gave on the member that led.
    async fn propose(&self, command: Bytes, deadline: Instant) -> Result<Bytes, ProposeError>;

    /// Waits until this member has applied everything that was acknowledged anywhere before the
    /// call, and returns the applied index. Calls that wait share one round of heartbeats.
    async fn read_index(&self, deadline: Instant) -> Result<u64, ReadError>;

    /// Calls the leader's [`LeaderCalls`]; on the leader itself this is a local call.
    async fn call_leader(&self, request: Bytes, deadline: Instant) -> Result<Bytes, ReadError>;

    /// Calls the [`MemberCalls`] of another member. Certain only in so far as an answer came.
    async fn call_member(
        &self,
        member: u64,
        request: Bytes,
        deadline: Instant,
    ) -> Result<Bytes, ReadError>;

    /// What this member knows now. Cheap.
    fn status(&self) -> Status;

    /// Changes of [`Consensus::status`].
    fn subscribe(&self) -> watch::Receiver<Status>;

    /// Changes the membership and returns the new list.
    async fn change_membership(
        &self,
        change: MembershipChange,
        deadline: Instant,
    ) -> Result<Vec<Member>, MembershipError>;

    /// Hands leadership to `to` and returns when that member leads.
    async fn transfer_leader(&self, to: u64, deadline: Instant) -> Result<(), ReadError>;
}

/// Answers calls that only a leader may answer and that change nothing replicated: lease
/// keep-alives and remaining times. The receiver must check that it still leads before it answers.
#[async_trait]
pub trait LeaderCalls: Send + Sync + 'static {
    /// Answers `request`, both in the caller's own encoding.
    async fn call(&self, request: Bytes) -> Result<Bytes, ReadError>;
}

/// Answers other members' calls that need no leader and change nothing.
#[async_trait]
pub trait MemberCalls: Send + Sync + 'static {
    /// Answers `request`, both in the caller's own encoding; none to a request that it does not know.
    async fn call(&self, request: Bytes) -> Option<Bytes>;
}

/// Knows which members have left the cluster for good, from the state that this member has applied.
pub trait Roster: Send + Sync + 'static {
    /// True only for a member that was one and is none any more; its id never comes back.
    fn is_removed(&self, id: u64) -> bool;
}

/// The applied part of the log, with its membership: what a member starts from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppliedState {
    /// The last entry applied; none on a fresh member.
    pub log_id: Option<LogId>,
    /// The last membership applied, in the encoding that consensus chose; opaque to the state machine.
    pub membership: Option<Bytes>,
}

/// One committed entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its place.
    pub log_id: LogId,
    /// What it asks for.
    pub payload: Payload,
}

/// What a committed entry asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A new leader's first entry: only the applied index moves.
    Blank,
    /// A command, as it was proposed.
    Command(Bytes),
    /// A membership to keep beside the applied index, opaque, and the members it holds.
    Membership {
        /// In the encoding that consensus chose.
        encoded: Bytes,
        /// The same as a list, for answers to clients.
        members: Vec<Member>,
    },
}

/// The replicated state machine. Called from one thread, in log order; may block on the disk.
///
/// Invariant: everything that an entry changes, the applied index included, is one atomic write.
/// Invariant: no clock, chance, map order or setting of this member decides an outcome.
pub trait StateMachine: Send + 'static {
    /// What the state machine holds now. After a restart: what was durable, or more.
    fn applied_state(&mut self) -> Result<AppliedState, Fatal>;

    /// Applies one entry and returns its reply (empty for anything but a command).
    /// An entry is applied exactly once; its outcome never depends on who asks.
    fn apply(&mut self, entry: Committed) -> Result<Bytes, Fatal>;

    /// Makes everything applied so far durable and returns its place. The log may be purged up to it.
    fn flush(&mut self) -> Result<Option<LogId>, Fatal>;

    /// Writes a consistent copy of the state as files into the empty folder `dir`, and returns what
    /// it holds, read from the copy itself.
    fn checkpoint(&mut self, dir: &Path) -> Result<AppliedState, Fatal>;

    /// Replaces the state by a verified copy in `dir`, all or nothing, also across a crash. Watchers
    /// carry on from their own revision.
    fn install(&mut self, dir: PathBuf) -> Result<AppliedState, Fatal>;

    /// Resolves when work that goes on beside the entries has failed, so that a member to which nothing
    /// is written does not go on either.
    fn failure(&self) -> BoxFuture<'static, Fatal> {
        Box::pin(std::future::pending())
    }
}

/// The member cannot go on: its disk or its state broke an invariant. It stops and keeps the evidence.
#[derive(Debug, thiserror::Error)]
#[error("fatal: {step}")]
pub struct Fatal {
    /// What was being done.
    pub step: &'static str,
    /// Why it failed.
    #[source]
    pub source: anyhow::Error,
}

impl Fatal {
    /// For `map_err(Fatal::at("module::step"))`.
    pub fn at<E: Into<anyhow::Error>>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self {
            step,
            source: source.into(),
        }
    }
}
