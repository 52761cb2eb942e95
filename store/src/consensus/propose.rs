//! The way of a command into the log: here if this member leads, else through the leader.
//!
//! Invariant: a command is sent on at most once unless the answer says that it is certainly not in
//! the log. Everything else is reported as unknown.

use std::time::{Duration, Instant};

use base::backoff::Backoff;
use bytes::Bytes;
use openraft::Raft;
use openraft::errors::{ClientWriteError, RaftError};
use tokio::time::timeout_at;

use super::ProposeError;
use super::node::{Leader, Node};
use super::peer_proto as proto;
use super::state_machine::StateMachineAdapter;
use super::types::{Raw, Types, ours};

/// Entries that may be committed and not yet applied, as in etcd.
const APPLY_LAG_MAX: u64 = 5_000;
/// Payload that may wait for this member's disk. Beyond it the disk does not keep up.
const BACKLOG_BYTES_MAX: usize = 64 << 20;
const RETRY_FIRST: Duration = Duration::from_millis(5);
const RETRY_MAX: Duration = Duration::from_millis(100);

/// A reply and the place of its command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Where the command is in the log.
    pub index: u64,
    /// What the state machine answered.
    pub reply: Bytes,
}

impl Node {
    pub(super) async fn propose(
        &self,
        command: Bytes,
        deadline: Instant,
    ) -> Result<Bytes, ProposeError> {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
        loop {
            self.check_load()?;
            let tried = match self.leader() {
                Leader::This => self.propose_here(command.clone(), deadline).await,
                Leader::Other(leader) => {
                    self.propose_there(leader, command.clone(), deadline).await
                }
                Leader::Unknown => Err(ProposeError::NoLeader),
            };
            match tried {
                Ok(Applied { index, reply }) => {
                    return match timeout_at(deadline.into(), self.applied.wait(index)).await {
                        Ok(Ok(())) => Ok(reply),
                        Ok(Err(_)) => Err(ProposeError::Unknown("this member ends".to_owned())),
                        Err(_) => Err(ProposeError::Timeout),
                    };
                }
                // Certainly not in the log, so the next leader may have it.
                Err(ProposeError::NoLeader) if Instant::now() < deadline => {
                    tokio::select! { biased;
                        () = self.stop.cancelled() => return Err(ProposeError::Stopped),
                        () = tokio::time::sleep_until(deadline.into()) => return Err(ProposeError::NoLeader),
                        () = tokio::time::sleep(backoff.next_wait()) => {}
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn check_load(&self) -> Result<(), ProposeError> {
        if self.stop.is_cancelled() || self.fatal.get().is_some() {
            return Err(ProposeError::Stopped);
        }
        match self.apply_lag() > APPLY_LAG_MAX || self.log.backlog_bytes() > BACKLOG_BYTES_MAX {
            true => Err(ProposeError::Overloaded),
            false => Ok(()),
        }
    }

    /// Proposes on this member. [`ProposeError::NoLeader`] if it does not lead.
    pub(super) async fn propose_here(
        &self,
        command: Bytes,
        deadline: Instant,
    ) -> Result<Applied, ProposeError> {
        self.check_load()?;
        match timeout_at(deadline.into(), write(&self.raft, command)).await {
            Ok(written) => written,
            Err(_) => Err(ProposeError::Timeout),
        }
    }

    async fn propose_there(
        &self,
        leader: u64,
        command: Bytes,
        deadline: Instant,
    ) -> Result<Applied, ProposeError> {
        use proto::propose_response::Result as Kind;
        let Some(mut client) = self.peer(leader) else {
            return Err(ProposeError::NoLeader);
        };
        let request = proto::ProposeRequest {
            command,
            timeout_ms: Self::timeout_ms(deadline),
        };
        let response = match timeout_at(deadline.into(), client.propose(request)).await {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) if was_not_sent(&status) => return Err(ProposeError::NoLeader),
            Ok(Err(status)) => {
                return Err(ProposeError::Unknown(format!(
                    "the leader did not answer: {status}"
                )));
            }
            Err(_) => return Err(ProposeError::Timeout),
        };
        match response.result() {
            Kind::Applied => Ok(Applied {
                index: response.index,
                reply: response.reply,
            }),
            // A leader that ends has not taken it, and another will lead.
            Kind::NotLeader | Kind::Stopped => Err(ProposeError::NoLeader),
            Kind::Overloaded => Err(ProposeError::Overloaded),
            Kind::TimedOut => Err(ProposeError::Timeout),
            Kind::Unknown | Kind::Unspecified => Err(ProposeError::Unknown(response.text)),
        }
    }
}

/// True if a call failed before anything could have reached the other member.
pub(super) fn was_not_sent(status: &tonic::Status) -> bool {
    // The other side answers so when the call was meant for another member or cluster.
    if status.code() == tonic::Code::FailedPrecondition {
        return true;
    }
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// Writes through openraft on this member.
pub(super) async fn write<C: Types>(
    raft: &Raft<C, StateMachineAdapter<C>>,
    command: Bytes,
) -> Result<Applied, ProposeError> {
    let written = raft.client_write(Raw(command)).await.map_err(write_error)?;
    Ok(Applied {
        index: ours(written.log_id).index,
        reply: written.data.0,
    })
}

/// What openraft says of a write that did not succeed.
pub(super) fn write_error<C: Types>(error: RaftError<C, ClientWriteError<C>>) -> ProposeError {
    match error {
        // Whatever the reason, openraft answers so before it appends.
        RaftError::APIError(ClientWriteError::ForwardToLeader(_)) => ProposeError::NoLeader,
        RaftError::APIError(error) => ProposeError::Unknown(error.to_string()),
        RaftError::Fatal(fatal) => ProposeError::Unknown(fatal.to_string()),
    }
}
