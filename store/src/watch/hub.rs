//! The one place where apply meets the watchers. [`Hub::publish`] is called for each revision in
//! order and costs the watchers that want it, whether they are fast or slow.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use proto_etcd::mvccpb::KeyValue;
use tokio::sync::Semaphore;

use super::group::{Matcher, Synced, Watcher};
use super::queue::{Queued, StreamQueue};
use super::{SharedBatch, WatchStream};
use crate::consensus::Fatal;
use crate::mvcc::Revision;
use crate::planted::{self, Fault};

/// Streams that read the history from the disk at the same time; others wait. Two keep a disk busy
/// and leave it to the log and to reads.
const READS_MAX: usize = 2;

/// With [`Fault::WatchEventsDropped`]: small, so that the bursts of a short test do not fit.
const PLANTED_QUEUE_MAX: usize = 8;

/// Revisions read from the disk.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    /// In order; revisions that only hold what nobody can see any more may be missing.
    pub batches: Vec<SharedBatch>,
    /// Everything up to here is in `batches`.
    pub upto: i64,
}

/// The stored history. Every call may block on the disk.
pub trait History: Send + Sync + 'static {
    /// The newest compaction. Cheap.
    fn compact_revision(&self) -> i64;

    /// The revisions from `from` to `to`, at most about `bytes_max` of them but at least one.
    fn batches(&self, from: i64, to: i64, bytes_max: usize) -> Result<Chunk, Fatal>;

    /// The pairs that changes replaced: (the change's revision, where the pair is). None for what
    /// has been compacted.
    fn replaced(&self, pairs: &[(i64, Revision)]) -> Result<Vec<Option<KeyValue>>, Fatal>;
}

/// Figures for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HubStats {
    /// Watchers that have kept up.
    pub synced_watchers: usize,
    /// Watchers of all kinds.
    pub watchers: usize,
    /// Open streams.
    pub streams: usize,
    /// Events handed to streams since the start.
    pub events: u64,
}

#[derive(Debug)]
pub(super) struct State {
    /// The newest revision published.
    pub(super) head: i64,
    /// The newest batches, without a gap up to `head`.
    pub(super) ring: VecDeque<SharedBatch>,
    ring_bytes: usize,
    ring_bytes_max: usize,
    /// Watchers that have been told of everything up to `head`.
    pub(super) synced: Matcher,
    streams: BTreeMap<u64, Weak<StreamQueue>>,
    next_serial: u64,
    watchers: usize,
    events: u64,
    is_closed: bool,
}

impl State {
    /// The first revision that the ring holds; one past the head if it is empty.
    pub(super) fn ring_first(&self) -> i64 {
        self.ring
            .front()
            .map_or(self.head + 1, |batch| batch.revision)
    }

    pub(super) fn count_events(&mut self, events: usize) {
        self.events += u64::try_from(events).unwrap_or(0);
    }
}

/// See the module. Clones are the same hub.
#[derive(Clone)]
pub struct Hub {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) history: Weak<dyn History>,
    /// Whoever reads the history waits for one of these.
    pub(super) turns: Arc<Semaphore>,
}

impl Hub {
    /// A hub whose newest revision is `head`. It keeps `ring_bytes_max` of recent batches in memory;
    /// older ones are read from `history`.
    pub fn new(head: i64, history: Weak<dyn History>, ring_bytes_max: usize) -> Self {
        let state = State {
            head,
            ring: VecDeque::new(),
            ring_bytes: 0,
            ring_bytes_max,
            synced: Matcher::default(),
            streams: BTreeMap::new(),
            next_serial: 0,
            watchers: 0,
            events: 0,
            is_closed: false,
        };
        let turns = Arc::new(Semaphore::new(READS_MAX));
        Self {
            state: Arc::new(Mutex::new(state)),
            history,
            turns,
        }
    }

    /// Opens a stream without watchers.
    pub fn open(&self) -> WatchStream {
        let queue = Arc::new(StreamQueue::default());
        let mut state = self.state.lock();
        let serial = state.next_serial;
        state.next_serial += 1;
        state.streams.insert(serial, Arc::downgrade(&queue));
        queue.waiting.lock().is_closed = state.is_closed;
        WatchStream::new(self.clone(), queue, serial)
    }

    /// The newest revision that watchers can have been told of: the one for headers of watch
    /// responses.
    pub fn revision(&self) -> i64 {
        self.state.lock().head
    }

    /// Figures for metrics.
    pub fn stats(&self) -> HubStats {
        let state = self.state.lock();
        HubStats {
            synced_watchers: state.synced.len(),
            watchers: state.watchers,
            streams: state.streams.len(),
            events: state.events,
        }
    }

    /// Tells the watchers of a revision. Called in order, after the revision can be read.
    pub fn publish(&self, batch: SharedBatch) {
        let mut state = self.state.lock();
        debug_assert!(batch.revision > state.head, "revisions come in order");
        state.head = batch.revision;
        let mut wanted: BTreeMap<u64, (Synced, Vec<u32>)> = BTreeMap::new();
        for (at, change) in (0_u32..).zip(&batch.changes) {
            state.synced.each(&change.kv.key, &mut |synced| {
                if synced.from <= batch.revision && synced.watcher.wants_kind(change) {
                    let entry = wanted.entry(synced.watcher.serial);
                    entry
                        .or_insert_with(|| (synced.clone(), Vec::new()))
                        .1
                        .push(at);
                }
            });
        }
        for (synced, changes) in wanted.into_values() {
            state.count_events(changes.len());
            deliver(&mut state, synced.watcher, &batch, changes);
        }
        remember(&mut state, batch);
    }

    /// The state was replaced by a snapshot whose newest revision is `head`. Every watcher goes on
    /// from where it was, by reading the new history.
    pub fn reset(&self, head: i64) {
        let mut state = self.state.lock();
        let told = state.head;
        state.head = head;
        state.ring.clear();
        state.ring_bytes = 0;
        for synced in state.synced.drain() {
            let from = synced.from.max(told + 1);
            let stream = synced.watcher.stream.clone();
            stream.waiting.lock().demote(synced.watcher, from);
            stream.bell.notify_one();
        }
    }

    /// Ends every stream.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        for stream in state.streams.values().filter_map(Weak::upgrade) {
            stream.waiting.lock().is_closed = true;
            stream.bell.notify_one();
        }
    }

    /// A number for a new watcher, which counts from now on.
    pub(super) fn add_watcher(&self) -> u64 {
        let mut state = self.state.lock();
        state.watchers += 1;
        state.next_serial += 1;
        state.next_serial - 1
    }

    /// Lets a watcher in: among those that have kept up, or to its own reading.
    pub(super) fn admit(&self, watcher: Arc<Watcher>) {
        let mut state = self.state.lock();
        let start = watcher.spec.start_revision;
        if start > 0 && start <= state.head {
            let stream = watcher.stream.clone();
            stream.waiting.lock().demote(watcher, start);
            stream.bell.notify_one();
        } else {
            let from = start.max(state.head + 1);
            state.synced.insert(Synced { watcher, from });
        }
    }

    /// Forgets a watcher wherever it is.
    pub(super) fn remove(&self, watcher: &Watcher) {
        let mut state = self.state.lock();
        state.watchers -= 1;
        state.synced.remove(watcher);
        watcher.stream.waiting.lock().forget(watcher);
    }

    /// Forgets a stream.
    pub(super) fn close_stream(&self, serial: u64) {
        self.state.lock().streams.remove(&serial);
    }
}

/// Queues changes for one watcher; if they do not fit, the watcher reads for itself from here on.
fn deliver(state: &mut State, watcher: Arc<Watcher>, batch: &SharedBatch, changes: Vec<u32>) {
    let stream = watcher.stream.clone();
    let mut waiting = stream.waiting.lock();
    if planted::has(Fault::WatchEventsDropped) && waiting.len() >= PLANTED_QUEUE_MAX {
        return;
    }
    if waiting.is_full() {
        state.synced.remove(&watcher);
        waiting.demote(watcher, batch.revision);
    } else {
        waiting.push(Queued::Events {
            watcher,
            batch: batch.clone(),
            changes,
        });
    }
    drop(waiting);
    stream.bell.notify_one();
}

fn remember(state: &mut State, batch: SharedBatch) {
    state.ring_bytes += batch.bytes();
    state.ring.push_back(batch);
    while state.ring_bytes > state.ring_bytes_max
        && let Some(oldest) = state.ring.pop_front()
    {
        state.ring_bytes -= oldest.bytes();
    }
}
