//! What is left of long leases, kept in the log from time to time, so that a new leader does not start
//! them afresh.
//!
//! Invariant: in the log, no checkpoint of a lease comes after a renewal that was answered after it was
//! made, unless it is cleared again.

use proto_etcd::etcdserverpb::{InternalRaftRequest, LeaseCheckpoint, LeaseCheckpointRequest};
use tokio::time::Instant;

use super::expiry::{Lessor, seconds};
use crate::auth::check::own_header;
use crate::command;
use crate::consensus::{ProposeError, ReadError};
use crate::limits;

impl Lessor {
    /// Before a renewal is answered, what was kept of the time before it must be gone, or the next leader
    /// would go on from there and end the lease too early.
    pub(super) async fn clear_checkpoint(&self, id: i64, term: u64) -> Result<(), ReadError> {
        let is_clear = || {
            let is_kept = self.view.lease_ttls(id).is_some_and(|(_, kept)| kept > 0);
            !is_kept && !self.clocks.lock().in_doubt.contains(&id)
        };
        if is_clear() {
            return Ok(());
        }
        // One at a time with checkpoints: in the log the clearing must come after what it clears.
        let _turn = self.checkpointing.lock().await;
        if is_clear() {
            return Ok(());
        }
        let deadline = std::time::Instant::now() + self.settings.timeout;
        self.checkpoint(vec![(id, 0)], deadline)
            .await
            .map_err(|_| ReadError::NoLeader)?;
        self.clocks.lock().in_doubt.remove(&id);
        // Proposing took time; another member may lead by now, and have renewed the lease as well.
        self.confirm(term).await
    }

    /// Keeps what is left of leases, in seconds.
    async fn checkpoint(
        &self,
        points: Vec<(i64, i64)>,
        deadline: std::time::Instant,
    ) -> Result<(), ProposeError> {
        let consensus = self.consensus().map_err(|_| ProposeError::Stopped)?;
        let point = |(id, remaining_ttl)| LeaseCheckpoint { id, remaining_ttl };
        let request = InternalRaftRequest {
            header: Some(own_header()),
            lease_checkpoint: Some(LeaseCheckpointRequest {
                checkpoints: points.into_iter().map(point).collect(),
            }),
            ..Default::default()
        };
        consensus
            .propose(command::encode(&request), deadline)
            .await
            .map(drop)
    }

    /// Keeps what is left of the leases that are due for it.
    pub(super) async fn tick_checkpoints(&self, term: u64) {
        let Some(every) = self.settings.checkpoint_every else {
            return;
        };
        let _turn = self.checkpointing.lock().await;
        let points = {
            let mut clocks = self.clocks.lock();
            let now = Instant::now();
            let points = clocks.take_checkpoints(now, limits::LEASE_CHECKPOINTS_PER_TICK_MAX);
            clocks.in_doubt.extend(points.iter().map(|(id, _)| *id));
            for (id, left) in &points {
                if seconds(*left) > every {
                    clocks.checkpoints.set(*id, now + every);
                }
            }
            points
        };
        if points.is_empty() {
            return;
        }
        // As for revokes: a checkpoint must not reach a later leader, at which the lease was renewed.
        let deadline = std::time::Instant::now() + self.settings.election / 2;
        let ids: Vec<i64> = points.iter().map(|(id, _)| *id).collect();
        let kept = match self.confirm(term).await {
            Ok(()) => self.checkpoint(points, deadline).await,
            Err(_) => Err(ProposeError::NoLeader),
        };
        match kept {
            Ok(()) | Err(ProposeError::NoLeader | ProposeError::Overloaded) => {
                let mut clocks = self.clocks.lock();
                for id in ids {
                    clocks.in_doubt.remove(&id);
                }
            }
            Err(error) => tracing::warn!(error = %error, "leases may not be checkpointed"),
        }
    }
}
