//! The thread that owns the state machine. Everything that touches it comes here as a [`Job`], in
//! order, so that a copy of the state is one state and no write stalls openraft's core.
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
use openraft::storage::ApplyResponder;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::applied::Applied;
use super::fatal::FatalSignal;
use super::types::{Raw, TypeConfig};
use super::{AppliedState, Committed, Fatal, LogId, Payload, StateMachine};
use crate::failpoint;

/// Batches that wait for the thread. openraft awaits each one, so the queue is rarely longer than one;
/// when it is full, whoever sends waits.
const JOBS_MAX: usize = 16;
/// A flush is asked for after so many bytes of commands, however few entries they are.
const FLUSH_BYTES: usize = 64 << 20;

/// One committed entry and whoever waits for its reply.
pub(super) struct Item {
    pub(super) entry: Committed,
    pub(super) responder: Option<ApplyResponder<TypeConfig>>,
}

type Answer<T> = oneshot::Sender<io::Result<T>>;

/// Work for the thread.
pub(super) enum Job {
    Apply {
        items: Vec<Item>,
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
pub(super) struct Jobs {
    tx: mpsc::Sender<Job>,
}

impl Jobs {
    /// Sends the job that `make` builds around the answer's sender, and waits for the answer.
    pub(super) async fn run<T>(&self, make: impl FnOnce(Answer<T>) -> Job) -> io::Result<T> {
        let ended = || io::Error::other("the apply thread has ended");
        let (done, answer) = oneshot::channel();
        self.tx.send(make(done)).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

/// What the thread does next.
enum Next {
    Job(Job),
    /// See [`StateMachine::failure`].
    Failure(Fatal),
    End,
}

/// What the thread needs beside the machine.
pub(super) struct Surroundings {
    /// Blocks until the entry at an index is on this member's disk.
    pub(super) wait_durable: Box<dyn Fn(u64) -> io::Result<()> + Send>,
    pub(super) applied: Arc<Applied>,
    pub(super) fatal: FatalSignal,
    /// Notified when a flush is due.
    pub(super) flush_due: Arc<Notify>,
    pub(super) flush_entries: u64,
}

/// The thread's owner. Dropping it ends the thread and waits: the state machine's files are closed
/// then, whoever still holds a [`Jobs`].
pub(super) struct ApplyThread {
    stop: CancellationToken,
    // None only while ending.
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for ApplyThread {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic there was reported where it happened.
            let _ = thread.join();
        }
    }
}

/// Starts the thread. Also gives what the machine holds, made durable.
pub(super) fn spawn(
    mut machine: Box<dyn StateMachine>,
    surroundings: Surroundings,
) -> Result<(Jobs, AppliedState, ApplyThread), Fatal> {
    let state = machine.applied_state()?;
    // A snapshot is offered to peers, and the log purged, only up to what is durable.
    machine.flush()?;
    surroundings
        .applied
        .advance(state.log_id.map_or(0, |log_id| log_id.index));
    let (tx, rx) = mpsc::channel(JOBS_MAX);
    let stop = CancellationToken::new();
    let thread = Thread {
        machine,
        stop: stop.clone(),
        membership: state.membership.clone(),
        last: state.log_id,
        surroundings,
        entries_since_flush: 0,
        bytes_since_flush: 0,
        asked_for_flush: false,
    };
    let handle = std::thread::Builder::new()
        .name("raft-apply".to_owned())
        .spawn(move || thread.run(rx))
        .map_err(Fatal::at("consensus::spawn_apply_thread"))?;
    let thread = Some(handle);
    Ok((Jobs { tx }, state, ApplyThread { stop, thread }))
}

struct Thread {
    machine: Box<dyn StateMachine>,
    stop: CancellationToken,
    surroundings: Surroundings,
    /// The last membership applied, as the machine keeps it.
    membership: Option<Bytes>,
    last: Option<LogId>,
    entries_since_flush: u64,
    bytes_since_flush: usize,
    asked_for_flush: bool,
}

impl Thread {
    fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut failed: Option<String> = None;
        let mut failure = self.machine.failure();
        loop {
            let job = match self.next(&mut jobs, &mut failure) {
                Next::Job(job) => job,
                Next::Failure(fatal) => {
                    failure = Box::pin(std::future::pending());
                    failed.get_or_insert(self.give_up(fatal));
                    continue;
                }
                Next::End => break,
            };
            // After an error the machine may hold half of something. Nothing touches it again.
            if let Some(reason) = &failed {
                refuse(job, reason);
                continue;
            }
            failed = match job {
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
        if failed.is_none()
            && let Err(fatal) = self.machine.flush()
        {
            // Nothing is lost: the log has it, and the next start applies it again.
            tracing::warn!(error = %report(&fatal), "the last flush failed");
        }
        self.surroundings.applied.close();
    }

    /// What comes next. Jobs that still wait at the end are refused by being dropped.
    fn next(
        &self,
        jobs: &mut mpsc::Receiver<Job>,
        failure: &mut BoxFuture<'static, Fatal>,
    ) -> Next {
        futures::executor::block_on(async {
            // The end first: openraft may have more work for ever.
            tokio::select! { biased;
                () = self.stop.cancelled() => Next::End,
                fatal = failure => Next::Failure(fatal),
                job = jobs.recv() => job.map_or(Next::End, Next::Job),
            }
        })
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

    fn apply(&mut self, items: Vec<Item>) -> Result<(), Fatal> {
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

fn refuse(job: Job, reason: &str) {
    let error = || io::Error::other(reason.to_owned());
    match job {
        Job::Apply { done, .. } => drop(done.send(Err(error()))),
        Job::Flush { done } | Job::Checkpoint { done, .. } | Job::Install { done, .. } => {
            drop(done.send(Err(error())));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::mpsc::{Sender, channel};
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Reports what it is asked to apply.
    struct Reporting(Sender<u64>);

    impl StateMachine for Reporting {
        fn applied_state(&mut self) -> Result<AppliedState, Fatal> {
            Ok(AppliedState::default())
        }

        fn apply(&mut self, entry: Committed) -> Result<Bytes, Fatal> {
            self.0.send(entry.log_id.index).unwrap();
            Ok(Bytes::new())
        }

        fn flush(&mut self) -> Result<Option<LogId>, Fatal> {
            Ok(None)
        }

        fn checkpoint(&mut self, _dir: &Path) -> Result<AppliedState, Fatal> {
            Ok(AppliedState::default())
        }

        fn install(&mut self, _dir: PathBuf) -> Result<AppliedState, Fatal> {
            Ok(AppliedState::default())
        }
    }

    #[tokio::test]
    async fn nothing_is_applied_before_the_disk_has_it() {
        let (applied_tx, applied) = channel();
        let (asked_tx, asked) = channel();
        let (release, released) = channel();
        let surroundings = Surroundings {
            wait_durable: Box::new(move |index| {
                asked_tx.send(index).unwrap();
                released.recv().unwrap()
            }),
            applied: Arc::new(Applied::default()),
            fatal: FatalSignal::default(),
            flush_due: Arc::new(Notify::new()),
            flush_entries: 1000,
        };
        let fatal = surroundings.fatal.clone();
        let (jobs, _, _thread) = spawn(Box::new(Reporting(applied_tx)), surroundings).unwrap();
        let items = |indexes: std::ops::RangeInclusive<u64>| -> Vec<Item> {
            let entry = |index| Committed {
                log_id: LogId { term: 1, index },
                payload: Payload::Blank,
            };
            indexes
                .map(|index| Item {
                    entry: entry(index),
                    responder: None,
                })
                .collect()
        };
        let first = jobs.run(|done| Job::Apply {
            items: items(1..=3),
            done,
        });
        let check = async {
            // The gate is asked for the last one of a batch, and holds back the first.
            let asked =
                tokio::task::spawn_blocking(move || (asked.recv_timeout(PATIENCE).unwrap(), asked))
                    .await
                    .unwrap();
            assert_eq!(asked.0, 3);
            assert!(applied.try_recv().is_err());
            release.send(Ok(())).unwrap();
            asked.1
        };
        let (first, _asked) = tokio::join!(first, check);
        first.unwrap();
        assert_eq!(applied.try_iter().collect::<Vec<_>>(), [1, 2, 3]);
        release.send(Err(io::Error::other("planted"))).unwrap();
        assert!(
            jobs.run(|done| Job::Apply {
                items: items(4..=4),
                done
            })
            .await
            .is_err()
        );
        assert!(applied.try_recv().is_err() && fatal.get().is_some());
    }
}
