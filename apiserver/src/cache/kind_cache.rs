//! The cached state of every kind, and the door through which reads and watches enter.
//!
//! One task publishes (see [`super::ingest`]); everyone reads. A kind's state, its ring and its
//! watchers change together under one short lock, so a watch begins exactly where its first answer
//! ends.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Object;
use super::fan_out::{FanOut, Interest};
use super::position::{Lane, Positions};
use super::ring::{Event, Ring};
use super::snapshot::Snapshot;
use super::watcher::{End, Queue};

/// All kinds.
#[derive(Debug)]
pub struct Cache {
    kinds: HashMap<String, Arc<KindCache>>,
    positions: Arc<Positions>,
    live: watch::Sender<bool>,
}

/// One kind: what lies under one prefix of the store.
#[derive(Debug)]
pub struct KindCache {
    prefix: String,
    lane: Lane,
    snapshot: ArcSwap<Snapshot>,
    state: Mutex<State>,
    positions: Arc<Positions>,
}

#[derive(Debug, Default)]
struct State {
    ring: Ring,
    fan_out: FanOut,
}

/// A watch's place in the fan-out; leaving scope leaves the fan-out.
#[derive(Debug)]
pub struct Watcher {
    kind: Arc<KindCache>,
    id: u64,
    /// What is to be sent.
    pub queue: Arc<Queue>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.kind.state.lock().fan_out.remove(self.id);
    }
}

/// The events between a revision and now are not all known any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooOld {
    /// The oldest revision from which a watch can go on.
    pub oldest: u64,
}

impl Cache {
    /// An empty cache for these prefixes (such as `pods` or `services/specs`).
    pub fn new<'a>(prefixes: impl IntoIterator<Item = &'a str>) -> Self {
        let positions = Arc::new(Positions::default());
        let kinds = prefixes
            .into_iter()
            .map(|prefix| {
                let kind = KindCache {
                    prefix: prefix.to_owned(),
                    lane: lane_of(prefix),
                    snapshot: ArcSwap::default(),
                    state: Mutex::default(),
                    positions: positions.clone(),
                };
                (prefix.to_owned(), Arc::new(kind))
            })
            .collect();
        Self {
            kinds,
            positions,
            live: watch::channel(false).0,
        }
    }

    /// The kind under a prefix.
    pub fn kind(&self, prefix: &str) -> Option<&Arc<KindCache>> {
        self.kinds.get(prefix)
    }

    /// All kinds.
    pub fn kinds(&self) -> impl Iterator<Item = &Arc<KindCache>> {
        self.kinds.values()
    }

    /// Finds the kind of a key without its `/registry/`, and the key within the kind.
    pub fn split<'a>(&self, path: &'a str) -> Option<(&Arc<KindCache>, &'a str)> {
        // Prefixes have one or two parts; the longer one is tried first, since `services/specs`
        // must win over a kind that were called `services`.
        let mut cuts = path.match_indices('/').map(|(at, _)| at);
        let first = cuts.next()?;
        if let Some(second) = cuts.next()
            && let Some(kind) = self.kinds.get(path.get(..second)?)
        {
            return Some((kind, path.get(second + 1..)?));
        }
        Some((self.kinds.get(path.get(..first)?)?, path.get(first + 1..)?))
    }

    /// How far the watches are.
    pub fn positions(&self) -> &Positions {
        &self.positions
    }

    /// Whether every kind has been read and is being followed.
    pub fn is_live(&self) -> bool {
        *self.live.borrow()
    }

    pub(super) fn set_live(&self) {
        self.live.send_replace(true);
    }

    /// Waits until the cache is live.
    // Cancel-safe: nothing is consumed.
    pub async fn wait_live(&self) {
        // The sender is `self`, so it cannot go away meanwhile.
        let _ = self.live.subscribe().wait_for(|live| *live).await;
    }
}

/// Which of the watched ranges a prefix lies in.
fn lane_of(prefix: &str) -> Lane {
    // With the slash, as in the keys: `events.example/` lies before `events/`.
    match format!("{prefix}/").as_str().cmp("events/") {
        std::cmp::Ordering::Equal => Lane::Events,
        std::cmp::Ordering::Less => Lane::Before,
        std::cmp::Ordering::Greater => Lane::Behind,
    }
}

impl KindCache {
    /// The prefix in the store, without `/registry/`.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The watched range it lies in.
    pub fn lane(&self) -> Lane {
        self.lane
    }

    /// How far this kind is followed.
    pub fn position(&self) -> u64 {
        self.positions.get(self.lane)
    }

    /// Whether its objects are held here. Events are not: many, short-lived and rarely read.
    pub fn is_held(&self) -> bool {
        self.lane != Lane::Events
    }

    /// The state now, and the revision at which it is the whole truth.
    pub fn read(&self) -> (Arc<Snapshot>, u64) {
        // The position first: all it covers is in the snapshot that is loaded after it. The
        // snapshot may already be ahead of it, and then its own last change is the truth.
        let position = self.position();
        let snapshot = self.snapshot.load_full();
        let revision = position.max(snapshot.revision);
        (snapshot, revision)
    }

    /// One object as it is cached.
    pub fn get(&self, key: &str) -> Option<Arc<Object>> {
        self.snapshot.load().get(key).cloned()
    }

    /// The revision of its last change: equal revisions, equal contents.
    pub fn changed_at(&self) -> u64 {
        self.snapshot.load().revision
    }

    /// How many objects are held.
    pub fn len(&self) -> usize {
        self.snapshot.load().len()
    }

    /// Whether none are held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The state as it was at `revision`, rebuilt by undoing newer events; `None` if they are not
    /// all known any more or `revision` is still to come.
    pub fn read_at(&self, revision: u64) -> Option<Arc<Snapshot>> {
        let state = self.state.lock();
        let mut snapshot = self.snapshot.load_full();
        if revision > self.position().max(snapshot.revision) {
            return None;
        }
        if revision >= snapshot.revision {
            return Some(snapshot);
        }
        let events: Vec<_> = state.ring.after(revision)?.cloned().collect();
        // Undoing works on copies; publishing may go on.
        drop(state);
        let past = Arc::make_mut(&mut snapshot);
        for event in events.iter().rev() {
            match (&event.old, &event.new) {
                (Some(old), _) => {
                    past.put(old.clone());
                }
                (None, Some(new)) => {
                    past.remove(&new.key, 0);
                }
                (None, None) => {}
            }
        }
        past.revision = revision;
        Some(snapshot)
    }

    /// Begins a watch at the state now: the state, its revision, and what comes after it.
    pub fn watch_now(self: &Arc<Self>, interest: Interest) -> (Arc<Snapshot>, u64, Watcher) {
        let mut state = self.state.lock();
        let (snapshot, revision) = self.read();
        let (id, queue) = state.fan_out.add(interest);
        (
            snapshot,
            revision,
            Watcher {
                kind: self.clone(),
                id,
                queue,
            },
        )
    }

    /// Begins a watch after `revision`: the events since then, and what comes after them.
    pub fn watch_after(
        self: &Arc<Self>,
        interest: Interest,
        revision: u64,
    ) -> Result<(Vec<Arc<Event>>, Watcher), TooOld> {
        let mut state = self.state.lock();
        let since = match state.ring.after(revision) {
            // The ring holds the events of the whole kind.
            Some(events) => events
                .filter(|event| interest.covers(event))
                .cloned()
                .collect(),
            None => {
                return Err(TooOld {
                    oldest: state.ring.start(),
                });
            }
        };
        let (id, queue) = state.fan_out.add(interest);
        Ok((
            since,
            Watcher {
                kind: self.clone(),
                id,
                queue,
            },
        ))
    }

    /// How many watches follow this kind.
    pub fn watchers(&self) -> usize {
        self.state.lock().fan_out.len()
    }

    /// Replaces everything by what was read at `revision`. Watches that are under way have missed
    /// events and end.
    pub(super) fn reset(&self, objects: Vec<Arc<Object>>, revision: u64) {
        let mut state = self.state.lock();
        state.ring.reset(revision);
        // The content's revision must differ from every earlier one, since contents may.
        self.snapshot
            .store(Arc::new(Snapshot::from_objects(objects, revision)));
        state.fan_out.close_all(End::Reset);
    }

    /// Publishes changes in the order of their revisions: to readers, then to watchers.
    pub(super) fn publish(&self, changes: Vec<Change>) {
        let mut state = self.state.lock();
        let mut snapshot = self.snapshot.load_full();
        let now = Instant::now();
        let mut events = Vec::with_capacity(changes.len());
        if self.is_held() {
            let next = Arc::make_mut(&mut snapshot);
            for change in changes {
                let old = match &change.new {
                    Some(new) => next.put(new.clone()),
                    None => next.remove(&change.key, change.revision),
                };
                // A deletion of what was never seen tells nobody anything.
                if old.is_some() || change.new.is_some() {
                    events.push(Event::new(change.revision, old, change.new));
                }
            }
            self.snapshot.store(snapshot);
        } else {
            for change in changes {
                if change.old.is_some() || change.new.is_some() {
                    events.push(Event::new(change.revision, change.old, change.new));
                }
            }
        }
        for event in events {
            state.fan_out.publish(&event);
            state.ring.push(now, event);
        }
    }
}

/// One change as the store reported it.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) key: String,
    pub(super) revision: u64,
    /// The state before, for kinds that are not held.
    pub(super) old: Option<Arc<Object>>,
    /// The state after; none for a deletion.
    pub(super) new: Option<Arc<Object>>,
}

#[cfg(test)]
mod tests;
