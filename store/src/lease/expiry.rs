//! When leases end. Only the leader keeps time: renewals live in its memory, and an expired lease
//! ends by a revoke that goes through the log like any other command.
//!
//! Must never delete anything itself, and must never propose a revoke or answer a renewal without
//! having confirmed its leadership after it decided to.
//! Invariant: a lease never ends before its lifetime has passed since the last renewal that was
//! answered. A new leader therefore starts every lease afresh, plus the time of an election; or, where
//! the log keeps what was left of one since its last renewal, goes on from there. A clock belongs to a
//! grant, not to an id: whoever reads one takes in first what has been revoked and granted since.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use futures::StreamExt;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prost::Message;
use proto_etcd::etcdserverpb::{
    InternalRaftRequest, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseRevokeRequest,
    LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::calls::{CALL_KEEP_ALIVE, CALL_TIME_TO_LIVE};
use super::clocks::{Clocks, spread};
use super::news::Change;
use crate::apply::View;
use crate::auth::check::own_header;
use crate::command;
use crate::consensus::{Consensus, ReadError, Status};
use crate::limits;
use crate::planted::{self, Fault};

/// Checkpoints are minutes apart: one comes in between a renewal's steps at most once.
const RENEWAL_TRIES: usize = 3;

/// The leader's clocks of all leases. Cheap to share; silent on a follower.
pub struct Lessor {
    pub(super) view: View,
    pub(super) settings: LessorSettings,
    consensus: OnceLock<Weak<dyn Consensus>>,
    pub(super) clocks: Mutex<Clocks>,
    /// Held while checkpoints are proposed or cleared.
    pub(super) checkpointing: tokio::sync::Mutex<()>,
}

/// What a lessor must know.
#[derive(Clone, Debug)]
pub struct LessorSettings {
    /// `--election-timeout`: nobody else leads before it has passed since this member last confirmed.
    pub election: Duration,
    /// Bounds each question to the other members.
    pub timeout: Duration,
    /// How often what is left of a lease is kept in the log; none keeps nothing.
    pub checkpoint_every: Option<Duration>,
    /// Counts the leases that are over.
    pub expired: Counter,
}

impl Lessor {
    /// Clocks for the leases of `view`.
    pub fn new(view: View, settings: LessorSettings) -> Arc<Self> {
        Arc::new(Self {
            view,
            settings,
            consensus: OnceLock::new(),
            clocks: Mutex::default(),
            checkpointing: tokio::sync::Mutex::default(),
        })
    }

    /// Names the consensus that knows who leads; once, before anything else.
    pub fn attach(&self, consensus: &Arc<dyn Consensus>) {
        let _ = self.consensus.set(Arc::downgrade(consensus));
    }

    /// Renews a lease through whoever leads. The granted lifetime in seconds, 0 if there is no such lease.
    pub async fn keep_alive(&self, id: i64) -> Result<i64, ReadError> {
        let request = LeaseKeepAliveRequest { id };
        let answer = self.ask(CALL_KEEP_ALIVE, &request).await?;
        LeaseKeepAliveResponse::decode(answer)
            .map(|answer| answer.ttl)
            .map_err(|_| ReadError::NoLeader)
    }

    /// The time left of a lease, from whoever leads; -1 seconds if there is no such lease.
    pub async fn time_to_live(
        &self,
        id: i64,
        keys: bool,
    ) -> Result<LeaseTimeToLiveResponse, ReadError> {
        let request = LeaseTimeToLiveRequest { id, keys };
        let answer = self.ask(CALL_TIME_TO_LIVE, &request).await?;
        LeaseTimeToLiveResponse::decode(answer).map_err(|_| ReadError::NoLeader)
    }

    pub(super) fn consensus(&self) -> Result<Arc<dyn Consensus>, ReadError> {
        self.consensus
            .get()
            .and_then(Weak::upgrade)
            .ok_or(ReadError::Stopped)
    }

    /// Confirms that this member led in `term` after the call began, and that everything committed
    /// before is applied here.
    pub(super) async fn confirm(&self, term: u64) -> Result<(), ReadError> {
        let consensus = self.consensus()?;
        let deadline = std::time::Instant::now() + self.settings.timeout;
        consensus.read_index(deadline).await?;
        let status = consensus.status();
        if status.is_leader() && status.term == term {
            Ok(())
        } else {
            Err(ReadError::NoLeader)
        }
    }

    fn leading_term(&self) -> Result<u64, ReadError> {
        self.clocks.lock().leading.ok_or(ReadError::NoLeader)
    }

    pub(super) async fn renew(&self, id: i64) -> Result<i64, ReadError> {
        let term = self.leading_term()?;
        self.confirm(term).await?;
        for _ in 0..RENEWAL_TRIES {
            self.clear_checkpoint(id, term).await?;
            if let Some(ttl) = self.try_renew(id, term)? {
                return Ok(ttl);
            }
        }
        Err(ReadError::NoLeader)
    }

    /// None if a checkpoint of the lease came in between.
    fn try_renew(&self, id: i64, term: u64) -> Result<Option<i64>, ReadError> {
        let mut clocks = self.clocks.lock();
        self.catch_up(&mut clocks);
        let Some((granted, kept)) = self.view.lease_ttls(id) else {
            return Ok(Some(0));
        };
        if clocks.leading != Some(term) {
            return Err(ReadError::NoLeader);
        }
        if kept > 0 || clocks.in_doubt.contains(&id) {
            return Ok(None);
        }
        let now = Instant::now();
        if clocks.ends.get(id).is_some_and(|end| end <= now) {
            // Its revoke is on its way and must not be outrun.
            return Ok(Some(0));
        }
        let end = now + seconds(granted);
        clocks.start(id, now, end, self.settings.checkpoint_every);
        Ok(Some(granted))
    }

    pub(super) async fn remaining(
        &self,
        id: i64,
        keys: bool,
    ) -> Result<LeaseTimeToLiveResponse, ReadError> {
        let term = self.leading_term()?;
        self.confirm(term).await?;
        let Some(lease) = self.view.lease(id) else {
            return Ok(LeaseTimeToLiveResponse {
                id,
                ttl: -1,
                ..Default::default()
            });
        };
        let left = self.left(id, lease.granted_ttl);
        Ok(LeaseTimeToLiveResponse {
            id,
            ttl: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            granted_ttl: lease.granted_ttl,
            keys: if keys { lease.keys } else { Vec::new() },
            ..Default::default()
        })
    }

    /// What a lease has left.
    fn left(&self, id: i64, granted: i64) -> Duration {
        let mut clocks = self.clocks.lock();
        self.catch_up(&mut clocks);
        let end = clocks.ends.get(id);
        end.map_or(seconds(granted), |end| {
            end.saturating_duration_since(Instant::now())
        })
    }

    /// Starts clocks for leases granted since the last look, and drops those of leases that are gone.
    fn catch_up(&self, clocks: &mut Clocks) {
        let Some(term) = clocks.leading else {
            return;
        };
        let Some(changes) = self.view.lease_news() else {
            // More than is kept came at once.
            *clocks = self.clocks_of_all(term);
            return;
        };
        let now = Instant::now();
        for change in changes {
            match change {
                Change::Granted { id, ttl_s } => {
                    let end = now + seconds(ttl_s);
                    clocks.start(id, now, end, self.settings.checkpoint_every);
                }
                Change::Gone(id) => clocks.forget(id),
            }
        }
    }

    /// Clocks for every lease, with the time of an election on top of what it has left.
    fn clocks_of_all(&self, term: u64) -> Clocks {
        let times = self.view.follow_leases().into_iter();
        let now = Instant::now();
        let mut clocks = Clocks {
            leading: Some(term),
            ..Clocks::default()
        };
        let mut ends: Vec<(Instant, i64)> = times
            .map(|(id, granted, remaining)| {
                let left = match remaining {
                    _ if planted::has(Fault::LeaseNotExtended) => 0,
                    1.. => remaining,
                    _ => granted,
                };
                (now + seconds(left) + self.settings.election, id)
            })
            .collect();
        spread(&mut ends, limits::LEASE_ENDS_PER_SECOND_AFTER_PROMOTION);
        for (end, id) in ends {
            clocks.start(id, now, end, self.settings.checkpoint_every);
        }
        clocks
    }

    fn promote(&self, term: u64) {
        let clocks = self.clocks_of_all(term);
        let leases = clocks.len();
        *self.clocks.lock() = clocks;
        tracing::info!(term, leases, "leads, and keeps the time of all leases");
    }

    fn demote(&self) {
        *self.clocks.lock() = Clocks::default();
        self.view.unfollow_leases();
    }

    /// One look at the clocks.
    async fn tick(&self, has_news: bool) {
        let Ok(term) = self.leading_term() else {
            return;
        };
        if has_news {
            self.catch_up(&mut self.clocks.lock());
        }
        self.tick_checkpoints(term).await;
        let expired = self
            .clocks
            .lock()
            .ends
            .take(Instant::now(), limits::LEASE_REVOKES_PER_TICK_MAX);
        if expired.is_empty() {
            return;
        }
        // Nobody else can lead before an election timeout has passed since the confirmation began, so a
        // revoke that is proposed within half of it cannot reach a later leader, at which the lease may
        // have been renewed.
        let deadline = std::time::Instant::now() + self.settings.election / 2;
        let is_sure = planted::has(Fault::DeposedLeaderRevokes);
        if !is_sure && self.confirm(term).await.is_err() {
            let mut clocks = self.clocks.lock();
            expired.into_iter().for_each(|id| clocks.ends.put_back(id));
            return;
        }
        futures::stream::iter(expired)
            .for_each_concurrent(limits::LEASE_REVOKES_IN_FLIGHT_MAX, |id| {
                self.revoke(id, deadline)
            })
            .await;
    }

    async fn revoke(&self, id: i64, deadline: std::time::Instant) {
        let Ok(consensus) = self.consensus() else {
            return;
        };
        if !self.is_over(id) {
            return;
        }
        self.settings.expired.inc();
        let request = InternalRaftRequest {
            // Whatever keys hang on it: nobody's right keeps a lease alive.
            header: Some(own_header()),
            lease_revoke: Some(LeaseRevokeRequest { id }),
            ..Default::default()
        };
        match consensus.propose(command::encode(&request), deadline).await {
            // Whatever the reply says, the lease is gone or was gone before, and its clock with the news.
            Ok(_) => {
                tracing::info!(lease_id = format!("{id:x}"), "lease expired");
            }
            Err(error) => {
                tracing::warn!(lease_id = format!("{id:x}"), error = %error, "expired lease not revoked yet");
                self.clocks.lock().ends.put_back(id);
            }
        }
    }

    /// Whether a lease that was found to be over still is: somebody may have revoked it and granted it
    /// again meanwhile.
    fn is_over(&self, id: i64) -> bool {
        let mut clocks = self.clocks.lock();
        self.catch_up(&mut clocks);
        clocks.ends.get(id).is_some_and(|end| end <= Instant::now())
    }

    /// Follows the leadership and lets leases expire, until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let Ok(consensus) = self.consensus() else {
            return;
        };
        let mut statuses = consensus.subscribe();
        drop(consensus);
        let mut changes = self.view.subscribe_leases();
        let mut tick = tokio::time::interval(limits::LEASE_TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let status = statuses.borrow_and_update().clone();
            self.follow(&status).await;
            // Shutdown first; then leadership, because a tick without it is wasted.
            tokio::select! { biased;
                () = stop.cancelled() => return,
                changed = statuses.changed() => if changed.is_err() { return },
                _ = tick.tick() => {
                    // Looked at once a tick, however many come.
                    let has_news = changes.has_changed().unwrap_or(false);
                    changes.mark_unchanged();
                    self.tick(has_news).await;
                }
            }
        }
    }

    async fn follow(&self, status: &Status) {
        let leading = self.clocks.lock().leading;
        match (status.is_leader(), leading) {
            (true, Some(term)) if term == status.term => {}
            (true, _) => {
                self.demote();
                // Leases granted in earlier terms must be there before their time starts.
                if self.confirm(status.term).await.is_ok() {
                    self.promote(status.term);
                }
            }
            (false, Some(_)) if planted::has(Fault::DeposedLeaderRevokes) => {}
            (false, Some(_)) => self.demote(),
            (false, None) => {}
        }
    }
}

pub(super) fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(ttl.max(0).unsigned_abs())
}
