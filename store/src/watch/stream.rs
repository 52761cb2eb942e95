//! One client's watches. The stream's own task asks for the next thing to say; whatever is slow,
//! the disk or the client, holds up this stream alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::Poll;

use futures::future::BoxFuture;
use proto_etcd::mvccpb::{Event, KeyValue, event::EventType};
use tokio::task::{JoinError, JoinHandle};

use super::catch_up::{self, CHUNK_BYTES_MAX, Step};
use super::group::Watcher;
use super::queue::{Queued, StreamQueue};
use super::{Change, ChangeKind, Chunk, CreateError, Hub, Item, WatchSpec, progress};
use crate::consensus::Fatal;
use crate::mvcc::KeyRange;

/// Events of one watcher are put together up to this size.
const ITEM_BYTES_MAX: usize = 512 << 10;

/// A read from the disk under way.
type Reading<T> = JoinHandle<Result<T, Fatal>>;

/// A read of the history that waits for its turn first.
type ChunkReading = BoxFuture<'static, Result<Result<Chunk, Fatal>, JoinError>>;

/// See the module. Dropping it ends all its watches.
pub struct WatchStream {
    hub: Hub,
    queue: Arc<StreamQueue>,
    serial: u64,
    watchers: BTreeMap<i64, Arc<Watcher>>,
    next_id: i64,
    /// Told to lagging watchers before the queue.
    ready: VecDeque<Queued>,
    /// The next thing to say, while the pairs that it replaced are being read.
    current: Vec<Queued>,
    replaced: Option<Reading<()>>,
    chunk: Option<(i64, ChunkReading)>,
    /// Lagging watchers and the queue take turns.
    is_catch_up_turn: bool,
    /// Watchers that were told something since the last call of `notify_progress`.
    active: BTreeSet<i64>,
}

impl WatchStream {
    pub(super) fn new(hub: Hub, queue: Arc<StreamQueue>, serial: u64) -> Self {
        Self {
            hub,
            queue,
            serial,
            watchers: BTreeMap::new(),
            next_id: 0,
            ready: VecDeque::new(),
            current: Vec::new(),
            replaced: None,
            chunk: None,
            is_catch_up_turn: false,
            active: BTreeSet::new(),
        }
    }

    /// Starts a watch and returns its id. The compaction of its start shows in [`WatchStream::next`].
    pub fn create(&mut self, spec: WatchSpec) -> Result<i64, CreateError> {
        let range = KeyRange::new(&spec.key, &spec.range_end);
        if range.is_empty() {
            return Err(CreateError::EmptyRange);
        }
        if self.queue.waiting.lock().is_closed {
            return Err(CreateError::Closed);
        }
        let id = match spec.id {
            Some(id) if self.watchers.contains_key(&id) => return Err(CreateError::DuplicateId),
            Some(id) => id,
            None => self.free_id(),
        };
        let serial = self.hub.add_watcher();
        let watcher = Watcher {
            id,
            serial,
            spec,
            range,
            stream: self.queue.clone(),
        };
        let watcher = Arc::new(watcher);
        self.watchers.insert(id, watcher.clone());
        self.hub.admit(watcher);
        Ok(id)
    }

    /// Ends a watch. False if there is none with that id. Nothing more is told of it.
    pub fn cancel(&mut self, id: i64) -> bool {
        let Some(watcher) = self.watchers.remove(&id) else {
            return false;
        };
        self.hub.remove(&watcher);
        self.ready.retain(|entry| entry.watch_id() != id);
        self.current.retain(|entry| entry.watch_id() != id);
        self.active.remove(&id);
        true
    }

    /// How many watches there are.
    pub fn len(&self) -> usize {
        self.watchers.len()
    }

    /// True if there is no watch.
    pub fn is_empty(&self) -> bool {
        self.watchers.is_empty()
    }

    /// The newest revision that watchers can have been told of: the one for this stream's headers.
    pub fn revision(&self) -> i64 {
        self.hub.revision()
    }

    /// Asks for an [`Item::Progress`] with id -1, which comes once all watchers have been told of
    /// everything. None comes while a watcher's start is still ahead.
    pub fn request_progress(&mut self) {
        progress::request(&self.hub, &self.queue, &self.watchers);
    }

    /// Queues an [`Item::Progress`] for each watcher that wants it, has kept up and was told nothing
    /// since the last call. To be called on a timer.
    pub fn notify_progress(&mut self) {
        let active = std::mem::take(&mut self.active);
        let quiet =
            |watcher: &&Arc<Watcher>| watcher.spec.progress_notify && !active.contains(&watcher.id);
        progress::notify(&self.hub, &self.queue, self.watchers.values().filter(quiet));
    }

    /// The next thing to tell the client.
    ///
    /// Cancel-safe: what was taken from the queue stays in the stream until it is returned.
    pub async fn next(&mut self) -> Item {
        loop {
            if let Some(item) = self.finish_current().await {
                return item;
            }
            if self.ready.is_empty() {
                self.poll_chunk().await;
            }
            if let Some(entry) = self.ready.pop_front() {
                self.gather(entry);
                continue;
            }
            let (is_closed, is_empty, lags) = {
                let waiting = self.queue.waiting.lock();
                (
                    waiting.is_closed,
                    waiting.is_empty(),
                    !waiting.lagging.is_empty(),
                )
            };
            if is_closed {
                return Item::Closed;
            }
            if lags && self.chunk.is_none() && (is_empty || self.is_catch_up_turn) {
                self.is_catch_up_turn = false;
                crate::failpoint::pause("beforeSyncWatchers").await;
                if self.step() {
                    continue;
                }
            }
            if !is_empty {
                self.is_catch_up_turn = true;
                self.take_queued();
                continue;
            }
            self.wait().await;
        }
    }

    /// True if there was something to do.
    fn step(&mut self) -> bool {
        let Some(history) = self.hub.history.upgrade() else {
            self.queue.waiting.lock().is_closed = true;
            return true;
        };
        match catch_up::step(&self.hub, &self.queue, history.compact_revision()) {
            Step::Idle => false,
            Step::Tell(told) => {
                self.ready.extend(told);
                let mut waiting = self.queue.waiting.lock();
                if waiting.progress_wanted && waiting.lagging.is_empty() {
                    waiting.progress_wanted = false;
                    drop(waiting);
                    self.request_progress();
                }
                true
            }
            Step::Read { from, to } => {
                let turns = self.hub.turns.clone();
                let reading = async move {
                    // Never closed; without a turn the read would only be less bounded.
                    let _turn = turns.acquire().await;
                    let read = move || history.batches(from, to, CHUNK_BYTES_MAX);
                    tokio::task::spawn_blocking(read).await
                };
                self.chunk = Some((from, Box::pin(reading)));
                true
            }
        }
    }

    async fn wait(&mut self) {
        let Some((_, reading)) = &mut self.chunk else {
            return self.queue.bell.notified().await;
        };
        // The disk first: the bell alone may ring without end.
        tokio::select! { biased;
            read = reading => self.take_chunk(read),
            () = self.queue.bell.notified() => {}
        }
    }

    /// Takes a chunk if it has been read. A queue that is never empty must not keep it waiting.
    async fn poll_chunk(&mut self) {
        if let Some((_, reading)) = &mut self.chunk
            && let Poll::Ready(read) = futures::poll!(reading)
        {
            self.take_chunk(read);
        }
    }

    fn take_chunk(&mut self, read: Result<Result<Chunk, Fatal>, JoinError>) {
        let (Some((from, _)), Some(history)) = (self.chunk.take(), self.hub.history.upgrade())
        else {
            return;
        };
        match read {
            Ok(Ok(chunk)) => {
                let compacted = history.compact_revision();
                let told = catch_up::take_chunk(&self.hub, &self.queue, from, &chunk, compacted);
                self.ready.extend(told);
            }
            Ok(Err(fatal)) => self.fail(&fatal),
            Err(error) => self.fail(&error),
        }
    }

    /// The stored history cannot be read: this stream ends rather than leave a gap.
    fn fail(&self, error: &(dyn std::error::Error + 'static)) {
        tracing::error!(error, "watch stream ended: history cannot be read");
        self.queue.waiting.lock().is_closed = true;
    }

    fn take_queued(&mut self) {
        let entry = self.queue.waiting.lock().pop();
        if let Some(entry) = entry {
            self.gather(entry);
        }
    }

    /// Makes `entry` the current one, with what follows for the same watcher.
    fn gather(&mut self, entry: Queued) {
        let mut bytes = entry.bytes();
        let mut current = vec![entry];
        let mut waiting = self.queue.waiting.lock();
        let from_ready = !self.ready.is_empty();
        while bytes < ITEM_BYTES_MAX {
            let next = if from_ready {
                self.ready.front()
            } else {
                waiting.first()
            };
            if !next.is_some_and(|next| goes_with(&current, next)) {
                break;
            }
            let next = if from_ready {
                self.ready.pop_front()
            } else {
                waiting.pop()
            };
            let Some(next) = next else { break };
            bytes += next.bytes();
            current.push(next);
        }
        self.current = current;
    }

    async fn finish_current(&mut self) -> Option<Item> {
        if self.current.is_empty() {
            self.replaced = None;
            return None;
        }
        if self.replaced.is_none() {
            self.replaced = self.read_replaced();
        }
        if let Some(reading) = &mut self.replaced {
            let read = reading.await;
            self.replaced = None;
            let fault: Option<Box<dyn std::error::Error + Send + Sync>> = match read {
                Ok(Ok(())) => None,
                Ok(Err(fatal)) => Some(fatal.into()),
                Err(error) => Some(error.into()),
            };
            if let Some(fault) = fault {
                self.fail(&*fault);
                self.current.clear();
                return Some(Item::Closed);
            }
        }
        crate::failpoint::pause("beforeSendWatchResponse").await;
        self.say_current()
    }

    /// Starts to read the replaced pairs that nobody has read yet; none if there are none.
    fn read_replaced(&self) -> Option<Reading<()>> {
        let history = self.hub.history.upgrade()?;
        let mut batches = Vec::new();
        let mut pairs = Vec::new();
        for (batch, at, change) in wanted(&self.current)
            .filter(|(watcher, ..)| watcher.spec.prev_kv)
            .map(|(_, batch, at, change)| (batch, at, change))
        {
            if let (Some(previous), None) = (change.previous, change.previous_kv.get()) {
                batches.push((batch.clone(), at));
                pairs.push((batch.revision, previous));
            }
        }
        if pairs.is_empty() {
            return None;
        }
        Some(tokio::task::spawn_blocking(move || {
            for ((batch, at), kv) in batches.into_iter().zip(history.replaced(&pairs)?) {
                if let Some(change) = batch.changes.get(at) {
                    // Another stream may have been first, with the same answer.
                    let _ = change.previous_kv.set(kv);
                }
            }
            Ok(())
        }))
    }

    fn say_current(&mut self) -> Option<Item> {
        let current = std::mem::take(&mut self.current);
        match current.first()? {
            Queued::Progress { watch_id, revision } => Some(Item::Progress {
                watch_id: *watch_id,
                revision: *revision,
            }),
            Queued::Compacted {
                watch_id,
                compact_revision,
            } => {
                let item = Item::Compacted {
                    watch_id: *watch_id,
                    compact_revision: *compact_revision,
                };
                self.cancel(*watch_id);
                Some(item)
            }
            Queued::Events { watcher, .. } => {
                let watch_id = watcher.id;
                let mut revision = 0;
                let mut events = Vec::new();
                for (watcher, batch, _, change) in wanted(&current) {
                    revision = batch.revision;
                    events.push(event(change, watcher.spec.prev_kv));
                }
                self.active.insert(watch_id);
                Some(Item::Events {
                    watch_id,
                    revision,
                    events,
                })
            }
        }
    }

    fn free_id(&mut self) -> i64 {
        while self.watchers.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        self.next_id - 1
    }
}

impl Drop for WatchStream {
    fn drop(&mut self) {
        for watcher in std::mem::take(&mut self.watchers).into_values() {
            self.hub.remove(&watcher);
        }
        self.hub.close_stream(self.serial);
    }
}

fn goes_with(current: &[Queued], next: &Queued) -> bool {
    match (current.first(), next) {
        (Some(Queued::Events { watcher: first, .. }), Queued::Events { watcher, .. }) => {
            first.serial == watcher.serial
        }
        _ => false,
    }
}

/// Every change in `entries`, with the watcher and the batch that it is of.
fn wanted(
    entries: &[Queued],
) -> impl Iterator<Item = (&Arc<Watcher>, &super::SharedBatch, usize, &Change)> {
    entries.iter().flat_map(|entry| {
        let parts = match entry {
            Queued::Events {
                watcher,
                batch,
                changes,
            } => Some((watcher, batch, changes)),
            Queued::Progress { .. } | Queued::Compacted { .. } => None,
        };
        parts.into_iter().flat_map(|(watcher, batch, changes)| {
            changes.iter().filter_map(move |at| {
                let at = usize::try_from(*at).ok()?;
                Some((watcher, batch, at, batch.changes.get(at)?))
            })
        })
    })
}

fn event(change: &Change, with_previous: bool) -> Event {
    let kind = match change.kind {
        ChangeKind::Put => EventType::Put,
        ChangeKind::Delete => EventType::Delete,
    };
    let previous: Option<&KeyValue> = change
        .previous_kv
        .get()
        .and_then(Option::as_ref)
        .filter(|_| with_previous);
    Event {
        r#type: kind.into(),
        kv: Some(change.kv.clone()),
        prev_kv: previous.cloned(),
    }
}
