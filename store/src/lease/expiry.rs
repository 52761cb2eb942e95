//! When leases end. Only the leader keeps time: renewals live in its memory, and an expired lease
//! ends by a revoke that goes through the log like any other command.
//!
//! Must never delete anything itself, and must never propose a revoke or answer a renewal without
//! having confirmed its leadership after it decided to.
//! Invariant: a lease never ends before its lifetime has passed since the last renewal that was
//! answered. A new leader therefore starts every lease afresh, plus the time of an election.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use futures::StreamExt;
use parking_lot::Mutex;
use prost::Message;
use proto_etcd::etcdserverpb::{
    InternalRaftRequest, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseRevokeRequest,
    LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::apply::View;
use crate::auth::check::own_header;
use crate::command;
use crate::consensus::{Consensus, LeaderCalls, ReadError, Status};
use crate::limits;

/// A renewal, as a member asks its leader.
const CALL_KEEP_ALIVE: u8 = 1;
/// A question for the time left.
const CALL_TIME_TO_LIVE: u8 = 2;

/// The leader's clocks of all leases. Cheap to share; silent on a follower.
pub struct Lessor {
    view: View,
    election: Duration,
    timeout: Duration,
    consensus: OnceLock<Weak<dyn Consensus>>,
    clocks: Mutex<Clocks>,
}

/// Deadlines; empty unless this member leads.
#[derive(Default)]
struct Clocks {
    /// The term in which this member leads and has taken over all leases.
    leading: Option<u64>,
    deadlines: HashMap<i64, Instant>,
    /// Every lease of `deadlines` once, under its deadline or an earlier one.
    queue: BinaryHeap<Reverse<(Instant, i64)>>,
}

impl Clocks {
    fn start(&mut self, id: i64, deadline: Instant) {
        if self.deadlines.insert(id, deadline).is_none() {
            self.queue.push(Reverse((deadline, id)));
        }
    }

    /// Takes leases whose deadline has passed. They stay known until the revoke is through, so that
    /// a renewal that comes too late is told so.
    fn take_expired(&mut self, now: Instant, max: usize) -> Vec<i64> {
        let mut expired = Vec::new();
        while expired.len() < max {
            let Some(Reverse((due, id))) = self.queue.peek().copied() else {
                break;
            };
            if due > now {
                break;
            }
            self.queue.pop();
            match self.deadlines.get(&id) {
                Some(deadline) if *deadline > now => self.queue.push(Reverse((*deadline, id))),
                Some(_) => expired.push(id),
                None => {}
            }
        }
        expired
    }

    fn forget(&mut self, id: i64) {
        self.deadlines.remove(&id);
    }

    /// Puts back what could not be revoked, to be tried at the next tick.
    fn put_back(&mut self, id: i64) {
        if let Some(deadline) = self.deadlines.get(&id) {
            self.queue.push(Reverse((*deadline, id)));
        }
    }
}

impl Lessor {
    /// Clocks for the leases of `view`. `timeout` bounds each question to the other members.
    pub fn new(view: View, election: Duration, timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            view,
            election,
            timeout,
            consensus: OnceLock::new(),
            clocks: Mutex::default(),
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

    async fn ask(&self, kind: u8, request: &impl Message) -> Result<Bytes, ReadError> {
        let consensus = self.consensus()?;
        let mut call = BytesMut::with_capacity(1 + request.encoded_len());
        call.put_u8(kind);
        request.encode(&mut call).map_err(|_| ReadError::Stopped)?;
        let deadline = std::time::Instant::now() + self.timeout;
        consensus
            .call_leader(call.freeze(), deadline)
            .await
            .map_err(crate::read::timed_out)
    }

    fn consensus(&self) -> Result<Arc<dyn Consensus>, ReadError> {
        self.consensus
            .get()
            .and_then(Weak::upgrade)
            .ok_or(ReadError::Stopped)
    }

    /// Confirms that this member led in `term` after the call began, and that everything committed
    /// before is applied here.
    async fn confirm(&self, term: u64) -> Result<(), ReadError> {
        let consensus = self.consensus()?;
        let deadline = std::time::Instant::now() + self.timeout;
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

    async fn renew(&self, id: i64) -> Result<i64, ReadError> {
        let term = self.leading_term()?;
        self.confirm(term).await?;
        let Some(lease) = self.view.lease(id) else {
            return Ok(0);
        };
        let mut clocks = self.clocks.lock();
        if clocks.leading != Some(term) {
            return Err(ReadError::NoLeader);
        }
        let now = Instant::now();
        if clocks
            .deadlines
            .get(&id)
            .is_some_and(|deadline| *deadline <= now)
        {
            // Its revoke is on its way and must not be outrun.
            return Ok(0);
        }
        clocks.start(id, now + seconds(lease.granted_ttl));
        Ok(lease.granted_ttl)
    }

    async fn remaining(&self, id: i64, keys: bool) -> Result<LeaseTimeToLiveResponse, ReadError> {
        let term = self.leading_term()?;
        self.confirm(term).await?;
        let Some(lease) = self.view.lease(id) else {
            return Ok(LeaseTimeToLiveResponse {
                id,
                ttl: -1,
                ..Default::default()
            });
        };
        let now = Instant::now();
        let deadline = self.clocks.lock().deadlines.get(&id).copied();
        let left = deadline.map_or(seconds(lease.granted_ttl), |deadline| {
            deadline.saturating_duration_since(now)
        });
        Ok(LeaseTimeToLiveResponse {
            id,
            ttl: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            granted_ttl: lease.granted_ttl,
            keys: if keys { lease.keys } else { Vec::new() },
            ..Default::default()
        })
    }

    /// Takes over every lease, with the time of an election on top of what it has left.
    fn promote(&self, term: u64) {
        let now = Instant::now();
        let mut clocks = Clocks {
            leading: Some(term),
            ..Clocks::default()
        };
        for (id, granted, remaining) in self.view.lease_times() {
            let left = if remaining > 0 { remaining } else { granted };
            clocks.start(id, now + seconds(left) + self.election);
        }
        let leases = clocks.deadlines.len();
        *self.clocks.lock() = clocks;
        tracing::info!(term, leases, "leads, and keeps the time of all leases");
    }

    fn demote(&self) {
        *self.clocks.lock() = Clocks::default();
    }

    /// Starts clocks for leases granted since the last look, and drops those of leases that are gone.
    fn adopt(&self) {
        let now = Instant::now();
        let leases = self.view.lease_times();
        let mut clocks = self.clocks.lock();
        if clocks.leading.is_none() {
            return;
        }
        for (id, granted, _) in &leases {
            if !clocks.deadlines.contains_key(id) {
                clocks.start(*id, now + seconds(*granted));
            }
        }
        if clocks.deadlines.len() > leases.len() {
            let ids: HashSet<i64> = leases.into_iter().map(|(id, ..)| id).collect();
            clocks.deadlines.retain(|id, _| ids.contains(id));
        }
    }

    /// One look at the clocks.
    async fn tick(&self, has_news: bool) {
        let Ok(term) = self.leading_term() else {
            return;
        };
        if has_news {
            self.adopt();
        }
        let expired = self
            .clocks
            .lock()
            .take_expired(Instant::now(), limits::LEASE_REVOKES_PER_TICK_MAX);
        if expired.is_empty() {
            return;
        }
        // Nobody else can lead before an election timeout has passed since the confirmation began, so a
        // revoke that is proposed within half of it cannot reach a later leader, at which the lease may
        // have been renewed.
        let deadline = std::time::Instant::now() + self.election / 2;
        if self.confirm(term).await.is_err() {
            let mut clocks = self.clocks.lock();
            expired.into_iter().for_each(|id| clocks.put_back(id));
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
        let request = InternalRaftRequest {
            // Whatever keys hang on it: nobody's right keeps a lease alive.
            header: Some(own_header()),
            lease_revoke: Some(LeaseRevokeRequest { id }),
            ..Default::default()
        };
        match consensus.propose(command::encode(&request), deadline).await {
            // Whatever the reply says, the lease is gone or was gone before.
            Ok(_) => {
                tracing::info!(lease_id = format!("{id:x}"), "lease expired");
                self.clocks.lock().forget(id);
            }
            Err(error) => {
                tracing::warn!(lease_id = format!("{id:x}"), error = %error, "expired lease not revoked yet");
                self.clocks.lock().put_back(id);
            }
        }
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
                    // Looked at once a tick, however many come: each look goes over all leases.
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
            (false, Some(_)) => self.demote(),
            (false, None) => {}
        }
    }
}

#[async_trait]
impl LeaderCalls for Lessor {
    async fn call(&self, request: Bytes) -> Result<Bytes, ReadError> {
        let Some((kind, body)) = request.split_first() else {
            return Err(ReadError::NoLeader);
        };
        match *kind {
            CALL_KEEP_ALIVE => {
                let request =
                    LeaseKeepAliveRequest::decode(body).map_err(|_| ReadError::NoLeader)?;
                let ttl = self.renew(request.id).await?;
                let answer = LeaseKeepAliveResponse {
                    id: request.id,
                    ttl,
                    header: None,
                };
                Ok(answer.encode_to_vec().into())
            }
            CALL_TIME_TO_LIVE => {
                let request =
                    LeaseTimeToLiveRequest::decode(body).map_err(|_| ReadError::NoLeader)?;
                let answer = self.remaining(request.id, request.keys).await?;
                Ok(answer.encode_to_vec().into())
            }
            // A newer member's question: it will find another leader or give up.
            _ => Err(ReadError::NoLeader),
        }
    }
}

fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(ttl.max(0).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Clocks;

    #[test]
    fn a_renewed_lease_expires_at_its_new_time() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut clocks = Clocks::default();
        clocks.start(1, at(10));
        clocks.start(2, at(20));
        clocks.start(1, at(30));
        assert!(clocks.take_expired(at(15), 10).is_empty());
        assert_eq!(clocks.take_expired(at(25), 10), [2]);
        // Not twice, until it is put back.
        assert!(clocks.take_expired(at(25), 10).is_empty());
        clocks.put_back(2);
        assert_eq!(clocks.take_expired(at(25), 10), [2]);
        clocks.forget(2);
        clocks.put_back(2);
        assert_eq!(clocks.take_expired(at(40), 10), [1]);
    }

    #[test]
    fn so_many_at_once() {
        let now = Instant::now();
        let mut clocks = Clocks::default();
        (0..10).for_each(|id| clocks.start(id, now));
        assert_eq!(clocks.take_expired(now, 4).len(), 4);
        assert_eq!(clocks.take_expired(now, 10).len(), 6);
    }
}
