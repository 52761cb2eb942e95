//! What owns the state machine: takes one job after another, in order, so that a copy of the state is
//! one state.
//!
//! Invariant: an entry is applied only after this member's own disk has it. The state machine's
//! files may become durable at any time; were they ahead of the log, a power loss would leave a
//! state that no log explains.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use base::report;
use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::applied::Applied;
use super::fatal::FatalSignal;
use super::jobs::{Answer, Item, JOBS_MAX, Job, Jobs, Next, What, refuse};
use super::types::{Raw, TypeConfig, Types};
use super::{AppliedState, Fatal, LogId, Payload, StateMachine};
use crate::failpoint;

/// A flush is asked for after so many bytes of commands, however few entries they are.
const FLUSH_BYTES: usize = 64 << 20;

/// What the owner of the machine needs beside it.
pub(super) struct Surroundings {
    /// Blocks until the entry at an index is on this member's disk.
    pub(super) wait_durable: Box<dyn Fn(u64) -> io::Result<()> + Send>,
    pub(super) applied: Arc<Applied>,
    pub(super) fatal: FatalSignal,
    /// Notified when a flush is due.
    pub(super) flush_due: Arc<Notify>,
    pub(super) flush_entries: u64,
}

/// Also gives what the machine holds, made durable.
pub(super) fn prepare<C: Types>(
    mut machine: Box<dyn StateMachine>,
    surroundings: Surroundings,
) -> Result<(Jobs<C>, AppliedState, Applier<C>), Fatal> {
    let state = machine.applied_state()?;
    // A snapshot is offered to peers, and the log purged, only up to what is durable.
    machine.flush()?;
    surroundings
        .applied
        .advance(state.log_id.map_or(0, |log_id| log_id.index));
    let (tx, rx) = mpsc::channel(JOBS_MAX);
    let stop = CancellationToken::new();
    let applier = Applier {
        failure: machine.failure(),
        failed: None,
        jobs: rx,
        machine,
        stop,
        membership: state.membership.clone(),
        last: state.log_id,
        surroundings,
        entries_since_flush: 0,
        bytes_since_flush: 0,
        asked_for_flush: false,
    };
    Ok((Jobs { tx }, state, applier))
}

/// Owns the machine and does the jobs: on its own thread, or, in a simulation, step by step.
pub struct Applier<C: Types = TypeConfig> {
    machine: Box<dyn StateMachine>,
    jobs: mpsc::Receiver<Job<C>>,
    failure: BoxFuture<'static, Fatal>,
    /// Why no job is done any more.
    failed: Option<String>,
    pub(super) stop: CancellationToken,
    surroundings: Surroundings,
    /// The last membership applied, as the machine keeps it.
    membership: Option<Bytes>,
    last: Option<LogId>,
    entries_since_flush: u64,
    bytes_since_flush: usize,
    asked_for_flush: bool,
}

impl<C: Types> Applier<C> {
    /// Until the end, and then a last flush.
    pub(super) fn run(mut self) {
        loop {
            let next = futures::executor::block_on(self.next());
            if !self.take(next) {
                break;
            }
        }
        if self.failed.is_none()
            && let Err(fatal) = self.machine.flush()
        {
            // Nothing is lost: the log has it, and the next start applies it again.
            tracing::warn!(error = %report(&fatal), "the last flush failed");
        }
        self.surroundings.applied.close();
    }

    /// What comes next. Jobs that still wait at the end are refused by being dropped.
    // Cancel-safe: a job is taken from the queue only when it is returned.
    pub async fn next(&mut self) -> Next<C> {
        // The end first: openraft may have more work for ever.
        Next(tokio::select! { biased;
            () = self.stop.cancelled() => What::End,
            fatal = &mut self.failure => What::Failure(fatal),
            job = self.jobs.recv() => job.map_or(What::End, What::Job),
        })
    }

    /// Does it; false if it was the end.
    pub fn take(&mut self, next: Next<C>) -> bool {
        match next.0 {
            What::Job(job) => self.job(job),
            What::Failure(fatal) => {
                self.failure = Box::pin(std::future::pending());
                let reason = self.give_up(fatal);
                self.failed.get_or_insert(reason);
            }
            What::End => return false,
        }
        true
    }

    fn job(&mut self, job: Job<C>) {
        // After an error the machine may hold half of something. Nothing touches it again.
        if let Some(reason) = &self.failed {
            return refuse(job, reason);
        }
        self.failed = match job {
            Job::Apply { items, done } => {
                let result = self.apply(items);
                self.settle(done, result)
            }
            Job::Flush { done } => {
                let result = self.flush();
                self.settle(done, result)
            }
            Job::Checkpoint { dir, done } => {
                let result = self.machine.checkpoint(&dir);
                self.settle(done, result)
            }
            Job::Install {
                dir,
                expected,
                done,
            } => {
                let result = self.install(dir, expected);
                self.settle(done, result)
            }
        };
    }

    /// The member must not go on; says why.
    fn give_up(&self, fatal: Fatal) -> String {
        let reason = report(&fatal).to_string();
        self.surroundings.applied.close();
        self.surroundings.fatal.raise(fatal);
        reason
    }

    /// Answers; says why if the thread must not go on. The signal comes first, so that it names the cause
    /// and not what openraft makes of it.
    fn settle<T>(&self, done: Answer<T>, result: Result<T, Fatal>) -> Option<String> {
        let (answer, reason) = match result {
            Ok(value) => (Ok(value), None),
            Err(fatal) => {
                let reason = self.give_up(fatal);
                (Err(io::Error::other(reason.clone())), Some(reason))
            }
        };
        // Whoever asked may be gone.
        let _ = done.send(answer);
        reason
    }

    fn apply(&mut self, items: Vec<Item<C>>) -> Result<(), Fatal> {
        let Some(last) = items.last().map(|item| item.entry.log_id) else {
            return Ok(());
        };
        (self.surroundings.wait_durable)(last.index)
            .map_err(Fatal::at("consensus::wait_durable"))?;
        for Item { entry, responder } in items {
            let log_id = entry.log_id;
            match &entry.payload {
                Payload::Command(command) => self.bytes_since_flush += command.len(),
                Payload::Membership { encoded, .. } => self.membership = Some(encoded.clone()),
                Payload::Blank => {}
            }
            let reply = self.machine.apply(entry)?;
            self.last = Some(log_id);
            self.surroundings.applied.advance(log_id.index);
            if let Some(responder) = responder {
                responder.send(Raw(reply));
            }
            self.entries_since_flush += 1;
        }
        let due = self.entries_since_flush >= self.surroundings.flush_entries
            || self.bytes_since_flush >= FLUSH_BYTES;
        if due && !self.asked_for_flush {
            self.asked_for_flush = true;
            self.surroundings.flush_due.notify_one();
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<AppliedState, Fatal> {
        let log_id = self.machine.flush()?;
        self.entries_since_flush = 0;
        self.bytes_since_flush = 0;
        self.asked_for_flush = false;
        Ok(AppliedState {
            log_id,
            membership: self.membership.clone(),
        })
    }

    fn install(&mut self, dir: PathBuf, expected: Option<LogId>) -> Result<AppliedState, Fatal> {
        let failpoint = |name| failpoint::hit(name).map_err(Fatal::at("consensus::failpoint"));
        failpoint("raftBeforeApplySnap")?;
        let state = self.machine.install(dir)?;
        failpoint("raftAfterApplySnap")?;
        if state.log_id != expected {
            let text = format!(
                "the snapshot holds {:?} and was announced as {expected:?}",
                state.log_id
            );
            return Err(Fatal {
                step: "consensus::install_snapshot",
                source: anyhow::anyhow!(text),
            });
        }
        self.membership = state.membership.clone();
        self.last = state.log_id;
        self.surroundings
            .applied
            .advance(state.log_id.map_or(0, |log_id| log_id.index));
        Ok(state)
    }
}
