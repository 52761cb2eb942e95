//! What every service needs: the way to consensus, the applied state, and who we are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base::Tasks;
use prost::Message;
use proto_etcd::etcdserverpb::alarm_request::AlarmAction;
use proto_etcd::etcdserverpb::{
    AlarmRequest, AlarmResponse, AlarmType, InternalRaftRequest, ResponseHeader,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::identity::Authenticator;
use super::status::Error;
use crate::apply::View;
use crate::command::{self, ApplyError, Reply};
use crate::consensus::{Consensus, ReadError, Status};
use crate::lease::expiry::Lessor;
use crate::metrics::Metrics;
use crate::{limits, read};

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// The cluster.
    pub cluster: u64,
    /// This member.
    pub member: u64,
}

/// The bounds that a user may set.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How long a request may wait for its outcome.
    pub request_timeout: Duration,
    /// The greatest command.
    pub max_request_bytes: usize,
    /// Operations in a transaction.
    pub max_txn_ops: usize,
    /// The least lifetime of a lease.
    pub lease_ttl_min_seconds: i64,
    /// How often an idle watch is told the revision.
    pub watch_progress_interval: Duration,
    /// From when on a request is logged as slow.
    pub slow_request: Duration,
    /// Whether a membership change must leave a quorum of started members.
    pub strict_reconfig_check: bool,
    /// The quota, as set.
    pub quota_bytes: i64,
}

/// Shared by all services of a member.
pub struct Context {
    /// The order of commands.
    pub consensus: Arc<dyn Consensus>,
    /// The applied state.
    pub view: View,
    /// The clocks of leases.
    pub lessor: Arc<Lessor>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Who answers.
    pub ids: Ids,
    /// The bounds.
    pub limits: Limits,
    /// How users prove who they are.
    pub auth: Authenticator,
    /// True while nobody has led for three election timeouts.
    pub leaderless: watch::Receiver<bool>,
    /// The member's end; open streams end with it.
    pub stop: CancellationToken,
    /// Owns what outlives its request: tidying up after a client that went away, and upgraded
    /// connections. Ends with the client connections.
    pub tasks: Tasks,
    /// Requests that wait for others to leave a lock or an election.
    pub(super) waiters: Arc<Semaphore>,
    /// The latest news of consensus: who leads, the term, the members. Cheaper than to ask for it.
    news: watch::Receiver<Status>,
    ranges: Arc<Semaphore>,
    snapshots: Arc<Semaphore>,
    next_id: AtomicU64,
}

/// What [`Context::new`] takes.
pub struct Parts {
    /// See [`Context`].
    pub consensus: Arc<dyn Consensus>,
    /// See [`Context`].
    pub view: View,
    /// See [`Context`].
    pub lessor: Arc<Lessor>,
    /// See [`Context`].
    pub metrics: Arc<Metrics>,
    /// See [`Context`].
    pub ids: Ids,
    /// See [`Context`].
    pub limits: Limits,
    /// See [`Context`].
    pub auth: Authenticator,
    /// See [`Context`].
    pub leaderless: watch::Receiver<bool>,
    /// See [`Context`]. Its end is the member's.
    pub tasks: Tasks,
}

impl Context {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts {
            consensus,
            view,
            lessor,
            metrics,
            ids,
            limits,
            auth,
            leaderless,
            tasks,
        } = parts;
        // As etcd makes them: unique among members, and among starts of one, without asking anyone.
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis();
        let millis = u64::try_from(now).unwrap_or_default() & 0xff_ffff_ffff;
        let first_id = ((ids.member & 0xffff) << 48) | (millis << 8);
        let news = consensus.subscribe();
        Arc::new(Self {
            news,
            consensus,
            view,
            lessor,
            metrics,
            ids,
            limits,
            auth,
            leaderless,
            stop: tasks.stop().clone(),
            tasks,
            waiters: Arc::new(Semaphore::new(limits::QUEUE_WAITERS_MAX)),
            ranges: Arc::new(Semaphore::new(limits::RANGES_IN_FLIGHT_MAX)),
            snapshots: Arc::new(Semaphore::new(limits::SNAPSHOTS_IN_FLIGHT_MAX)),
            next_id: AtomicU64::new(first_id + 1),
        })
    }

    /// A header with the present revision.
    pub fn header(&self) -> ResponseHeader {
        self.header_at(self.view.revision())
    }

    /// A header with a given revision.
    pub fn header_at(&self, revision: i64) -> ResponseHeader {
        ResponseHeader {
            cluster_id: self.ids.cluster,
            member_id: self.ids.member,
            revision,
            raft_term: self.news.borrow().term,
        }
    }

    /// Completes a header that brought its revision; without one, the present revision.
    pub fn complete(&self, header: &mut Option<ResponseHeader>) {
        let revision = header.as_ref().map_or(0, |header| header.revision);
        *header = Some(if revision == 0 {
            self.header()
        } else {
            self.header_at(revision)
        });
    }

    /// When a request that begins now gives up.
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.limits.request_timeout
    }

    /// An id that no other request has.
    pub fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Waits until a local read sees everything acknowledged before the call.
    pub async fn linearize(&self) -> Result<(), Error> {
        match read::linearize(&*self.consensus, self.deadline()).await {
            Ok(_) => Ok(()),
            Err(error) => {
                match error {
                    ReadError::Timeout => self.metrics.read_indexes_slow.inc(),
                    ReadError::NoLeader | ReadError::Stopped => {
                        self.metrics.read_indexes_failed.inc()
                    }
                };
                Err(error.into())
            }
        }
    }

    /// Replicates a command and returns the answer that apply gave. The header says in whose name; a
    /// command without one is the store's own and may do what no right is asked for.
    pub async fn propose<M: Message + Default>(
        &self,
        request: InternalRaftRequest,
    ) -> Result<M, Error> {
        let reply = self.replicate(request).await?;
        match reply.response::<M>() {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(ApplyError::NoSpace)) => {
                self.raise_no_space().await;
                Err(Error::NoSpace)
            }
            Ok(Err(error)) => Err(error.into()),
            Err(error) => Err(Error::Internal(format!(
                "the leader's answer cannot be read: {error}"
            ))),
        }
    }

    /// Refuses what the quota has no room for, before it is replicated.
    pub async fn reserve(&self, cost: u64) -> Result<(), Error> {
        if self.view.has_space(cost) {
            return Ok(());
        }
        self.raise_no_space().await;
        Err(Error::NoSpace)
    }

    async fn replicate(&self, mut request: InternalRaftRequest) -> Result<Reply, Error> {
        request.header.get_or_insert_default().id = self.new_id();
        let command = command::encode(&request);
        if command.len() > self.limits.max_request_bytes {
            return Err(Error::RequestTooLarge);
        }
        let deadline = self.deadline();
        let _pending = self.metrics.pending_proposal();
        let bytes = self
            .consensus
            .propose(command, deadline)
            .await
            .inspect_err(|error| {
                self.metrics.proposals_failed.inc();
                tracing::debug!(error = %error, "proposal failed");
            })?;
        Reply::decode(bytes).map_err(|error| {
            Error::Internal(format!("the leader's answer cannot be read: {error}"))
        })
    }

    /// Tells all members that the quota is reached, so that they refuse writes the same way.
    async fn raise_no_space(&self) {
        let is_raised = self
            .view
            .alarms()
            .iter()
            .any(|alarm| alarm.alarm == AlarmType::Nospace as i32);
        if is_raised {
            return;
        }
        let alarm = AlarmRequest {
            action: AlarmAction::Activate as i32,
            member_id: self.ids.member,
            alarm: AlarmType::Nospace as i32,
        };
        let request = InternalRaftRequest {
            alarm: Some(alarm),
            ..Default::default()
        };
        let raised = match self.replicate(request).await {
            Ok(reply) => reply.response::<AlarmResponse>().is_ok(),
            Err(_) => false,
        };
        tracing::warn!(raised, "the quota is reached: alarm NOSPACE");
    }

    /// Runs a read that may touch the disk for long on another thread, a bounded number at once.
    pub async fn off_reactor<T: Send + 'static>(
        &self,
        read: impl FnOnce(&View) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let permit = self
            .ranges
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| Error::Stopped)?;
        let view = self.view.clone();
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            read(&view)
        });
        task.await
            .map_err(|error| Error::Internal(format!("a read failed: {error}")))
    }

    /// Waits for the right to send a snapshot to a client.
    pub async fn snapshot_permit(&self) -> Result<OwnedSemaphorePermit, Error> {
        let permit = self.snapshots.clone().acquire_owned().await;
        permit.map_err(|_| Error::Stopped)
    }

    /// Whether this member knows a leader.
    pub fn has_leader(&self) -> bool {
        self.news.borrow().leader.is_some()
    }

    /// Whether this member receives the log without voting.
    pub fn is_learner(&self) -> bool {
        let news = self.news.borrow();
        news.members
            .get(&self.ids.member)
            .is_some_and(|member| member.is_learner)
    }
}
