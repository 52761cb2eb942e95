//! Brings watchers that lag up to the newest revision: from the ring where it reaches back far
//! enough, else from the disk, a bounded piece at a time. A watcher joins those that have kept up
//! under the hub's lock, with nothing published in between, so that no revision falls through.

use std::sync::Arc;

use super::group::{Synced, Watcher};
use super::hub::State;
use super::queue::{Lagging, Queued, StreamQueue};
use super::{Chunk, Hub, SharedBatch};

/// Batches taken from the ring at once, under the hub's lock.
const RING_BATCHES_MAX: usize = 256;

/// Watchers times batches looked at under the hub's lock at once: about a millisecond.
const LOOKS_MAX: usize = 1 << 14;

/// Bytes read from the disk at once.
pub(super) const CHUNK_BYTES_MAX: usize = 1 << 20;

/// What a stream with lagging watchers does next.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing to do now.
    Idle,
    /// Tell these. The next step goes on.
    Tell(Vec<Queued>),
    /// Read these revisions from the disk, then call [`take_chunk`].
    Read {
        /// The first revision.
        from: i64,
        /// The last one.
        to: i64,
    },
}

/// The next step for the lagging watchers of `stream`.
pub(super) fn step(hub: &Hub, stream: &StreamQueue, compact_revision: i64) -> Step {
    let mut state = hub.state.lock();
    let mut waiting = stream.waiting.lock();
    let all = std::mem::take(&mut waiting.lagging);
    let (mut due, later): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|lagging| waiting.is_due(lagging));
    waiting.lagging = later;
    if due.is_empty() {
        return Step::Idle;
    }
    let mut told = drop_compacted(&mut due, compact_revision);
    join_those_ahead(&mut state, &mut due);
    let Some(from) = due.iter().map(|lagging| lagging.from).min() else {
        return Step::Tell(told);
    };
    if !told.is_empty() {
        waiting.lagging.extend(due);
        return Step::Tell(told);
    }
    if from < state.ring_first() {
        let to = state.head.min(state.ring_first() - 1);
        waiting.lagging.extend(due);
        return Step::Read { from, to };
    }
    let batches = from_ring(&state, from, LOOKS_MAX / due.len());
    let upto = batches.last().map_or(state.head, |batch| batch.revision);
    told.extend(tell(&mut state, &mut due, &batches, upto));
    join_those_ahead(&mut state, &mut due);
    waiting.lagging.extend(due);
    Step::Tell(told)
}

/// Takes what was read from the disk. `compact_revision` must have been asked for after the read.
pub(super) fn take_chunk(
    hub: &Hub,
    stream: &StreamQueue,
    from: i64,
    chunk: &Chunk,
    compact_revision: i64,
) -> Vec<Queued> {
    // Rows may have gone while they were read: the next step sorts out who is too late.
    if from < compact_revision {
        return Vec::new();
    }
    let mut state = hub.state.lock();
    let mut waiting = stream.waiting.lock();
    let all = std::mem::take(&mut waiting.lagging);
    // A watcher that came in during the read may want more than the chunk begins with.
    let (mut due, later): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|lagging| waiting.is_due(lagging) && lagging.from >= from);
    waiting.lagging = later;
    let told = tell(&mut state, &mut due, &chunk.batches, chunk.upto);
    waiting.lagging.extend(due);
    told
}

fn drop_compacted(due: &mut Vec<Lagging>, compact_revision: i64) -> Vec<Queued> {
    let gone = due.extract_if(.., |lagging| lagging.from < compact_revision);
    gone.map(|lagging| Queued::Compacted {
        watch_id: lagging.watcher.id,
        compact_revision,
    })
    .collect()
}

/// Watchers that want nothing up to the head have kept up.
fn join_those_ahead(state: &mut State, due: &mut Vec<Lagging>) {
    let head = state.head;
    for lagging in due.extract_if(.., |lagging| lagging.from > head) {
        state.synced.insert(Synced {
            watcher: lagging.watcher,
            from: lagging.from,
        });
    }
}

fn from_ring(state: &State, from: i64, most: usize) -> Vec<SharedBatch> {
    let first = state.ring.partition_point(|batch| batch.revision < from);
    let most = most.clamp(1, RING_BATCHES_MAX);
    state.ring.iter().skip(first).take(most).cloned().collect()
}

/// What each watcher wants of `batches`, and moves the watchers past `upto`.
fn tell(state: &mut State, due: &mut [Lagging], batches: &[SharedBatch], upto: i64) -> Vec<Queued> {
    let mut told = Vec::new();
    for lagging in due {
        for batch in batches
            .iter()
            .filter(|batch| batch.revision >= lagging.from)
        {
            let changes = wanted(&lagging.watcher, batch);
            if !changes.is_empty() {
                state.count_events(changes.len());
                let watcher = lagging.watcher.clone();
                told.push(Queued::Events {
                    watcher,
                    batch: batch.clone(),
                    changes,
                });
            }
        }
        lagging.from = lagging.from.max(upto + 1);
    }
    told
}

fn wanted(watcher: &Arc<Watcher>, batch: &SharedBatch) -> Vec<u32> {
    let numbered = (0_u32..).zip(&batch.changes);
    numbered
        .filter(|(_, change)| watcher.wants(change))
        .map(|(at, _)| at)
        .collect()
}
