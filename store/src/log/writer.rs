//! The one thread that writes the log: take all that waits, one write, one sync, tell the newest.
//!
//! While a group syncs the next one gathers; no timer, no waiting for more. Its queue is bounded by
//! whoever proposes, see [`super::Log::backlog_bytes`].
//!
//! Invariant: after an error nobody is told of success any more, and the disk is not touched again:
//! after a failed sync the kernel may call pages clean that never reached the disk.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::files::{Disk, Written};
use super::record::Placed;
use super::tail::Place;
use super::{Callback, Entry, Shared, State, poisoned};
use crate::consensus::LogId;
use crate::failpoint;

/// A group takes no more payload than this, which keeps its buffer and its lengths bounded.
const GROUP_BYTES_MAX: usize = 64 << 20;

/// One thing to write.
pub(super) enum Op {
    Append { entries: Vec<Entry>, bytes: usize },
    Vote(Bytes),
    Truncate(Option<LogId>),
    Purge(LogId),
}

/// What waits for the thread.
#[derive(Default)]
pub(super) struct Pending {
    ops: VecDeque<(u64, Op)>,
    /// Only the newest append is told: a telling covers all before it, and telling each would wake
    /// openraft's forwarder once more for every one of them.
    pub(super) newest_append: Option<Callback>,
    pub(super) waiters: Vec<Callback>,
    pub(super) in_flight: bool,
}

impl Pending {
    pub(super) fn push(&mut self, seq: u64, op: Op) {
        self.ops.push_back((seq, op));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }
}

pub(super) struct Batch {
    pub(super) ops: Vec<(u64, Op)>,
    pub(super) committed: Option<LogId>,
    newest_append: Option<Callback>,
    waiters: Vec<Callback>,
}

/// What writes: its own thread, or, in a simulation, whoever takes its steps.
pub struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) disk: Disk,
}

struct PoisonOnPanic(Arc<Shared>);

impl Drop for PoisonOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            poison(&self.0, "the raft log thread panicked", Vec::new());
        }
    }
}

impl Writer {
    pub(super) fn spawn(self) -> io::Result<std::thread::JoinHandle<()>> {
        std::thread::Builder::new()
            .name("raft-log".to_owned())
            .spawn(move || {
                // Also when it unwinds, nobody may wait for a thread that is gone.
                let _guard = PoisonOnPanic(self.shared.clone());
                self.run();
            })
    }

    fn run(mut self) {
        while let Some(batch) = wait(&self.shared) {
            if !self.write(batch) {
                return;
            }
        }
    }

    /// Writes what waits, as one group. False if nothing waited, or if the log can be written no more.
    pub fn step(&mut self) -> bool {
        let batch = {
            let mut state = self.shared.state.lock();
            (!state.pending.is_empty()).then(|| take_batch(&mut state))
        };
        batch.is_some_and(|batch| self.write(batch))
    }

    /// False if the log can be written no more.
    fn write(&mut self, batch: Batch) -> bool {
        let (shared, disk) = (&*self.shared, &mut self.disk);
        let written = disk.write(&batch);
        let Batch {
            ops,
            newest_append,
            waiters,
            ..
        } = batch;
        let callbacks = waiters.into_iter().chain(newest_append);
        let written = match written {
            Ok(written) => written,
            Err(error) => {
                tracing::error!(error = %error, dir = %disk.dir.display(), "the raft log cannot be written");
                poison(shared, &error.to_string(), callbacks.collect());
                return false;
            }
        };
        publish(shared, &ops, written);
        for callback in callbacks {
            callback(Ok(()));
        }
        // Only now: until the purge is on disk the files are still needed.
        disk.remove_purged();
        let is_purge = ops.iter().any(|(_, op)| matches!(op, Op::Purge(_)));
        if is_purge && let Err(error) = failpoint::hit("raftAfterWALRelease") {
            poison(shared, &error.to_string(), Vec::new());
            return false;
        }
        true
    }
}

/// Blocks until there is something to write; none once the log is closed.
fn wait(shared: &Shared) -> Option<Batch> {
    let mut state = shared.state.lock();
    while state.pending.is_empty() {
        if state.closing {
            return None;
        }
        shared.work.wait(&mut state);
    }
    Some(take_batch(&mut state))
}

fn take_batch(state: &mut State) -> Batch {
    let mut ops = Vec::new();
    let mut bytes = 0;
    while let Some((seq, op)) = state.pending.ops.pop_front() {
        bytes += match &op {
            Op::Append { bytes, .. } => *bytes,
            _ => 0,
        };
        ops.push((seq, op));
        if bytes >= GROUP_BYTES_MAX {
            break;
        }
    }
    state.pending.in_flight = true;
    // Callers may be told only when all their operations are out; a split batch keeps them back.
    let (newest_append, waiters) = match state.pending.ops.is_empty() {
        true => (
            state.pending.newest_append.take(),
            std::mem::take(&mut state.pending.waiters),
        ),
        false => (None, Vec::new()),
    };
    Batch {
        ops,
        committed: state.committed,
        newest_append,
        waiters,
    }
}

fn publish(shared: &Shared, ops: &[(u64, Op)], written: Written) {
    let mut state = shared.state.lock();
    let State {
        tail,
        backlog_bytes,
        durable_seq,
        pending,
        ..
    } = &mut *state;
    let mut placed = written.placed.into_iter();
    for (seq, op) in ops {
        *durable_seq = *seq;
        let Op::Append { entries, bytes } = op else {
            continue;
        };
        *backlog_bytes = backlog_bytes.saturating_sub(*bytes);
        for Placed { index, at, crc } in placed.by_ref().take(entries.len()) {
            let place = Place {
                file: written.file.clone(),
                offset: written.offset + at as u64,
                crc,
            };
            tail.set_place(index, *seq, place);
        }
    }
    tail.evict();
    pending.in_flight = false;
    drop(state);
    shared.synced.notify_all();
}

fn poison(shared: &Shared, reason: &str, callbacks: Vec<Callback>) {
    let waiting = {
        let mut state = shared.state.lock();
        state.poison.get_or_insert_with(|| reason.into());
        state.pending.ops.clear();
        let newest = state.pending.newest_append.take();
        std::mem::take(&mut state.pending.waiters)
            .into_iter()
            .chain(newest)
            .collect::<Vec<_>>()
    };
    shared.synced.notify_all();
    for callback in callbacks.into_iter().chain(waiting) {
        callback(Err(poisoned(reason)));
    }
}
