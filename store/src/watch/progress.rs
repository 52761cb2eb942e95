//! Progress: "you have been told of everything up to here". It goes through the stream's own queue,
//! behind every event that it speaks of, and never before a watcher's start.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Hub;
use super::group::Watcher;
use super::queue::{Queued, StreamQueue, Waiting};

/// The id that stands for all watchers of a stream.
pub(super) const ALL_WATCHERS: i64 = -1;

/// Queues progress for the whole stream, or notes that it is wanted once all watchers have kept up.
pub(super) fn request(hub: &Hub, stream: &StreamQueue, watchers: &BTreeMap<i64, Arc<Watcher>>) {
    let state = hub.state.lock();
    let mut waiting = stream.waiting.lock();
    if !waiting.lagging.is_empty() {
        waiting.progress_wanted = true;
        return;
    }
    waiting.progress_wanted = false;
    let starts_later = |watcher: &Arc<Watcher>| watcher.spec.start_revision > state.head;
    if watchers.is_empty() || watchers.values().any(starts_later) {
        return;
    }
    push(&mut waiting, ALL_WATCHERS, state.head);
    drop(waiting);
    stream.bell.notify_one();
}

/// Queues progress for each of `watchers` that has kept up.
pub(super) fn notify<'w>(
    hub: &Hub,
    stream: &StreamQueue,
    watchers: impl Iterator<Item = &'w Arc<Watcher>>,
) {
    let state = hub.state.lock();
    let mut waiting = stream.waiting.lock();
    for watcher in watchers {
        let is_lagging = waiting
            .lagging
            .iter()
            .any(|lagging| lagging.watcher.serial == watcher.serial);
        if !is_lagging && watcher.spec.start_revision <= state.head {
            push(&mut waiting, watcher.id, state.head);
        }
    }
    drop(waiting);
    stream.bell.notify_one();
}

/// A full queue takes no progress: the client asks again, and the timer comes again.
fn push(waiting: &mut Waiting, watch_id: i64, revision: i64) {
    let entry = Queued::Progress { watch_id, revision };
    let is_there = matches!(
        waiting.last(),
        Some(Queued::Progress { watch_id: id, revision: at }) if (*id, *at) == (watch_id, revision)
    );
    if !is_there && !waiting.is_full() {
        waiting.push(entry);
    }
}
