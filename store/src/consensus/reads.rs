//! Linearizable reads: one round of heartbeats for all who wait when it starts.
//!
//! While a round is under way, the next one gathers. A read joins only a round that begins after
//! it arrived, and no answer is ever used twice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base::backoff::Backoff;
use bytes::Bytes;
use openraft::{Raft, ReadPolicy};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{timeout, timeout_at};

use super::ReadError;
use super::node::{Leader, Node};
use super::peer_proto as proto;
use super::state_machine::StateMachineAdapter;
use super::types::Types;
use crate::planted::{self, Fault};

/// Reads that wait for a round. When it is full, the next one waits for room within its deadline.
pub(super) const WAITING_MAX: usize = 65_536;
const RETRY_FIRST: Duration = Duration::from_millis(5);
const RETRY_MAX: Duration = Duration::from_millis(100);

/// Gets the read index.
pub(super) type ReadWaiter = oneshot::Sender<u64>;

impl Node {
    pub(super) async fn read_index(&self, deadline: Instant) -> Result<u64, ReadError> {
        if planted::has(Fault::ReadIndexSkipped) {
            return Ok(self.applied.index());
        }
        let (tx, rx) = oneshot::channel();
        let wait = async {
            self.reads.send(tx).await.map_err(|_| ReadError::Stopped)?;
            let index = rx.await.map_err(|_| ReadError::Stopped)?;
            self.applied
                .wait(index)
                .await
                .map_err(|_| ReadError::Stopped)?;
            Ok(self.applied.index())
        };
        match timeout_at(deadline.into(), wait).await {
            Ok(result) => result,
            Err(_) if self.leader() == Leader::Unknown => Err(ReadError::NoLeader),
            Err(_) => Err(ReadError::Timeout),
        }
    }

    /// One round: an index that covers everything acknowledged before it began.
    async fn read_round(&self) -> Result<u64, ReadError> {
        match self.leader() {
            Leader::This => self.read_round_here().await,
            Leader::Unknown => Err(ReadError::NoLeader),
            Leader::Other(leader) => {
                let mut client = self.peer(leader).ok_or(ReadError::NoLeader)?;
                let request = proto::ReadIndexRequest {
                    timeout_ms: self.config.election_ms,
                };
                let response = client
                    .read_index(request)
                    .await
                    .map_err(|_| ReadError::NoLeader)?;
                match response.into_inner().index {
                    0 => Err(ReadError::NoLeader),
                    index => Ok(index),
                }
            }
        }
    }

    /// A round led by this member; openraft joins rounds that are asked for together.
    pub(super) async fn read_round_here(&self) -> Result<u64, ReadError> {
        confirm(&self.raft).await
    }

    pub(super) async fn call_leader(
        &self,
        request: Bytes,
        deadline: Instant,
    ) -> Result<Bytes, ReadError> {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
        loop {
            // A leader that hangs may have a successor by then. Nothing was changed, so another try does no harm.
            let patience = Instant::now() + Duration::from_millis(self.config.election_ms);
            let until = deadline.min(patience).into();
            match timeout_at(until, self.call_leader_once(request.clone())).await {
                Ok(Err(ReadError::NoLeader)) => {}
                Ok(result) => return result,
                Err(_) if Instant::now() >= deadline => return Err(ReadError::Timeout),
                Err(_) => {}
            }
            tokio::select! { biased;
                () = self.stop.cancelled() => return Err(ReadError::Stopped),
                () = tokio::time::sleep_until(deadline.into()) => return Err(ReadError::NoLeader),
                () = tokio::time::sleep(backoff.next_wait()) => {}
            }
        }
    }

    async fn call_leader_once(&self, request: Bytes) -> Result<Bytes, ReadError> {
        match self.leader() {
            Leader::This => self.answer_as_leader(request).await,
            Leader::Unknown => Err(ReadError::NoLeader),
            Leader::Other(leader) => {
                let mut client = self.peer(leader).ok_or(ReadError::NoLeader)?;
                let call = client.call_leader(proto::CallLeaderRequest { request });
                let response = call.await.map_err(|_| ReadError::NoLeader)?.into_inner();
                match response.answered {
                    true => Ok(response.reply),
                    false => Err(ReadError::NoLeader),
                }
            }
        }
    }

    pub(super) async fn call_member(
        &self,
        member: u64,
        request: Bytes,
        deadline: Instant,
    ) -> Result<Bytes, ReadError> {
        let mut client = self.peer(member).ok_or(ReadError::NoLeader)?;
        let call = client.call_member(proto::CallMemberRequest { request });
        let answer = timeout_at(deadline.into(), call).await;
        let answer = answer
            .map_err(|_| ReadError::Timeout)?
            .map_err(|_| ReadError::NoLeader)?
            .into_inner();
        match answer.answered {
            true => Ok(answer.reply),
            false => Err(ReadError::NoLeader),
        }
    }

    /// Answers for the leader, if this is it.
    pub(super) async fn answer_as_leader(&self, request: Bytes) -> Result<Bytes, ReadError> {
        if self.leader() != Leader::This {
            return Err(ReadError::NoLeader);
        }
        let calls = self.leader_calls.get().ok_or(ReadError::NoLeader)?;
        calls.call(request).await
    }
}

/// The read index of a leader, once a quorum has confirmed that it leads.
pub(super) async fn confirm<C: Types>(
    raft: &Raft<C, StateMachineAdapter<C>>,
) -> Result<u64, ReadError> {
    let linearizer = raft.get_read_linearizer(ReadPolicy::ReadIndex).await;
    let linearizer = linearizer.map_err(|_| ReadError::NoLeader)?;
    Ok(linearizer.read_log_id().index() + 1)
}

/// Runs round after round until the member ends.
pub(super) async fn run(node: Arc<Node>, mut waiting: mpsc::Receiver<ReadWaiter>) {
    let mut round: Vec<ReadWaiter> = Vec::new();
    loop {
        // Shutdown first: whoever waits is let go when the queue is dropped.
        tokio::select! { biased;
            () = node.stop.cancelled() => return,
            received = waiting.recv_many(&mut round, WAITING_MAX) => if received == 0 { return },
        }
        tokio::select! { biased;
            () = node.stop.cancelled() => return,
            () = serve(&node, &mut waiting, &mut round) => {}
        }
    }
}

/// Tries until a round succeeds or nobody waits any more. Whoever arrives between tries joins.
async fn serve(node: &Node, waiting: &mut mpsc::Receiver<ReadWaiter>, round: &mut Vec<ReadWaiter>) {
    let limit = Duration::from_millis(node.config.election_ms);
    let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
    loop {
        if let Ok(Ok(index)) = timeout(limit, node.read_round()).await {
            for waiter in round.drain(..) {
                // Who gave up has dropped the other end.
                let _ = waiter.send(index);
            }
            return;
        }
        tokio::time::sleep(backoff.next_wait()).await;
        round.retain(|waiter| !waiter.is_closed());
        while round.len() < WAITING_MAX
            && let Ok(waiter) = waiting.try_recv()
        {
            round.push(waiter);
        }
        if round.is_empty() {
            return;
        }
    }
}
