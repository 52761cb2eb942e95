//! What is asked of the state machine, and the queue of it.

use std::io;
use std::path::PathBuf;

use openraft::storage::ApplyResponder;
use tokio::sync::{mpsc, oneshot};

use super::types::{TypeConfig, Types};
use super::{AppliedState, Committed, Fatal, LogId};

/// Batches that wait for the thread. openraft awaits each one, so the queue is rarely longer than one;
/// when it is full, whoever sends waits.
pub(super) const JOBS_MAX: usize = 16;

/// One committed entry and whoever waits for its reply.
pub(super) struct Item<C: Types = TypeConfig> {
    pub(super) entry: Committed,
    pub(super) responder: Option<ApplyResponder<C>>,
}

pub(super) type Answer<T> = oneshot::Sender<io::Result<T>>;

/// Work for the thread.
pub(super) enum Job<C: Types = TypeConfig> {
    Apply {
        items: Vec<Item<C>>,
        done: Answer<()>,
    },
    Flush {
        done: Answer<AppliedState>,
    },
    Checkpoint {
        dir: PathBuf,
        done: Answer<AppliedState>,
    },
    Install {
        dir: PathBuf,
        expected: Option<LogId>,
        done: Answer<AppliedState>,
    },
}

/// Sends jobs.
#[derive(Clone)]
pub struct Jobs<C: Types = TypeConfig> {
    pub(super) tx: mpsc::Sender<Job<C>>,
}

impl<C: Types> Jobs<C> {
    /// Sends the job that `make` builds around the answer's sender, and waits for the answer.
    pub(super) async fn run<T>(&self, make: impl FnOnce(Answer<T>) -> Job<C>) -> io::Result<T> {
        let ended = || io::Error::other("the apply thread has ended");
        let (done, answer) = oneshot::channel();
        self.tx.send(make(done)).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    /// Writes a copy of the state into the empty folder `dir`; what the copy holds.
    pub async fn checkpoint(&self, dir: PathBuf) -> io::Result<AppliedState> {
        self.run(|done| Job::Checkpoint { dir, done }).await
    }
}

/// What is to be done next.
pub struct Next<C: Types = TypeConfig>(pub(super) What<C>);

pub(super) enum What<C: Types> {
    Job(Job<C>),
    /// See [`StateMachine::failure`].
    Failure(Fatal),
    End,
}

impl<C: Types> Next<C> {
    /// The entry that this member's disk must have before.
    pub fn needs_durable(&self) -> Option<u64> {
        match &self.0 {
            What::Job(Job::Apply { items, .. }) => Some(items.last()?.entry.log_id.index),
            _ => None,
        }
    }
}

/// Answers that it is not done.
pub(super) fn refuse<C: Types>(job: Job<C>, reason: &str) {
    let error = || io::Error::other(reason.to_owned());
    match job {
        Job::Apply { done, .. } => drop(done.send(Err(error()))),
        Job::Flush { done } | Job::Checkpoint { done, .. } | Job::Install { done, .. } => {
            drop(done.send(Err(error())));
        }
    }
}
