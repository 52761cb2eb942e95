//! Watch: a first answer, then what changes, in the order of the store.
//!
//! The session decides what its client is told, item by item; `http` renders and sends. A change
//! that moves an object into the selection is an ADDED, one that moves it out is a DELETED.

use std::collections::VecDeque;
use std::sync::Arc;

use api_meta::kinds::Kind;
use api_meta::status::Status;

use super::options::{ListOptions, Version};
use super::selection::Selection;
use super::service::Registry;
use super::{refusals, versions};
use crate::cache::consistent_read::reach;
use crate::cache::kind_cache::Watcher;
use crate::cache::ring::{Event, EventType};
use crate::cache::watcher::End;
use crate::cache::{KindCache, Object};

/// One thing to tell.
#[derive(Debug)]
pub enum Item {
    /// A state of an object, as it is served.
    Object {
        /// What happened to it.
        event_type: EventType,
        /// The object.
        object: Arc<Object>,
        /// The event whose rendering is shared, if the object is shown as it is stored.
        shared: Option<Arc<Event>>,
    },
    /// Everything up to this revision has been told.
    Bookmark {
        /// The revision.
        revision: u64,
        /// Whether the first answer ends here.
        ends_initial: bool,
    },
    /// The watch cannot go on; the client must list again.
    Error(Status),
    /// The client was too slow; it may come back with its last resourceVersion.
    Closed,
}

/// A watch under way.
#[derive(Debug)]
pub struct Session {
    kind: &'static Kind,
    cached: Arc<KindCache>,
    selection: Selection,
    initial: VecDeque<Arc<Object>>,
    /// The revision of the bookmark that ends the first answer, if the client asked for it.
    initial_end: Option<u64>,
    pending: VecDeque<Arc<Event>>,
    watcher: Watcher,
    /// Events up to this revision are known to the client.
    floor: u64,
    /// The revision of the last event that was told.
    told: u64,
}

impl Registry {
    /// Begins a watch.
    pub async fn watch(
        &self,
        kind: &'static Kind,
        selection: Selection,
        options: &ListOptions,
    ) -> Result<Session, Status> {
        let cached = self.kind_cache(kind)?.clone();
        let with_state = match (options.send_initial_events, options.version) {
            (Some(asked), _) => asked,
            (None, Version::Newest | Version::Any) => true,
            (None, Version::NotOlderThan(_) | Version::Exact(_)) => false,
        };
        let marks_end = options.send_initial_events == Some(true) && options.bookmarks;
        if with_state {
            return self
                .watch_with_state(kind, cached, selection, options.version, marks_end)
                .await;
        }
        let after = match options.version {
            Version::NotOlderThan(after) | Version::Exact(after) => after,
            // Only changes from now on.
            Version::Newest | Version::Any => self
                .freshness()
                .fresh(self.cache(), &cached)
                .await
                .map_err(|error| refusals::of_freshness(&error))?,
        };
        let interest = selection.interest(versions::stored_kind(kind));
        let (since, watcher) = cached.watch_after(interest, after).map_err(|old| {
            Status::expired(format!(
                "too old resource version: {after} ({})",
                old.oldest
            ))
        })?;
        Ok(Session {
            kind,
            selection,
            initial: VecDeque::new(),
            initial_end: None,
            pending: since.into(),
            watcher,
            floor: after,
            told: 0,
            cached,
        })
    }

    async fn watch_with_state(
        &self,
        kind: &'static Kind,
        cached: Arc<KindCache>,
        selection: Selection,
        version: Version,
        marks_end: bool,
    ) -> Result<Session, Status> {
        match version {
            Version::Any => {}
            Version::Newest => {
                let fresh = self.freshness().fresh(self.cache(), &cached).await;
                fresh.map_err(|error| refusals::of_freshness(&error))?;
            }
            Version::NotOlderThan(wanted) | Version::Exact(wanted) => {
                let reached = reach(self.cache(), &cached, wanted).await;
                reached.map_err(|error| refusals::of_freshness(&error))?;
            }
        }
        let interest = selection.interest(versions::stored_kind(kind));
        let (snapshot, mut floor, watcher) = cached.watch_now(interest);
        let initial: VecDeque<_> = if cached.is_held() {
            let prefix = crate::storage::keys::list_prefix(&selection.namespace);
            snapshot
                .range(&prefix, "")
                .filter(|object| selection.matches(object))
                .cloned()
                .collect()
        } else {
            // Events are not held: the state comes from the store, and what the watcher has heard
            // meanwhile up to that state is passed over.
            let everything = ListOptions::everything();
            let stored = versions::stored_kind(kind);
            let list = self.list(stored, &selection, &everything).await?;
            floor = floor.max(list.revision);
            list.items.into()
        };
        Ok(Session {
            kind,
            cached,
            selection,
            initial,
            initial_end: marks_end.then_some(floor),
            pending: VecDeque::new(),
            watcher,
            floor,
            told: 0,
        })
    }
}

impl Session {
    /// The kind as it is served.
    pub fn kind(&self) -> &'static Kind {
        self.kind
    }

    /// The next item that can be told without waiting.
    pub fn poll(&mut self) -> Option<Item> {
        if let Some(object) = self.initial.pop_front() {
            return Some(self.shown(EventType::Added, &object, None));
        }
        if let Some(revision) = self.initial_end.take() {
            return Some(Item::Bookmark {
                revision,
                ends_initial: true,
            });
        }
        loop {
            if self.pending.is_empty() {
                match self.watcher.queue.take() {
                    Ok(events) => self.pending = events,
                    Err(End::TooSlow) => return Some(Item::Closed),
                    Err(End::Reset) => return Some(Item::Error(reset())),
                }
            }
            let event = self.pending.pop_front()?;
            if event.revision <= self.floor {
                continue;
            }
            if let Some(item) = self.tell(&event) {
                self.told = event.revision;
                return Some(item);
            }
        }
    }

    /// Waits until [`Session::poll`] may have something.
    // Cancel-safe: nothing is taken here.
    pub async fn ready(&self) {
        self.watcher.queue.ready().await;
    }

    /// A bookmark for now. Everything that waits must have been told before.
    pub fn bookmark(&mut self) -> Result<u64, Vec<Item>> {
        // The position first: events up to it were queued before it moved.
        let position = self.cached.position();
        let mut items = Vec::new();
        while let Some(item) = self.poll() {
            let is_error = matches!(item, Item::Error(_) | Item::Closed);
            items.push(item);
            if is_error {
                return Err(items);
            }
        }
        // An event is queued before the position moves to it, and may have been told already: a
        // bookmark below it would make the client go back.
        let revision = position.max(self.told);
        if items.is_empty() && revision >= self.floor {
            return Ok(revision);
        }
        if revision >= self.floor {
            items.push(Item::Bookmark {
                revision,
                ends_initial: false,
            });
        }
        Err(items)
    }

    fn tell(&self, event: &Arc<Event>) -> Option<Item> {
        let wants = |object: &Option<Arc<Object>>| {
            object
                .as_ref()
                .is_some_and(|object| self.selection.matches(object))
        };
        let event_type = match (wants(&event.old), wants(&event.new)) {
            (false, true) => EventType::Added,
            (true, true) => EventType::Modified,
            (true, false) => EventType::Deleted,
            (false, false) => return None,
        };
        let object = event.object(event_type)?;
        Some(self.shown(event_type, object, Some(event)))
    }

    fn shown(
        &self,
        event_type: EventType,
        object: &Arc<Object>,
        event: Option<&Arc<Event>>,
    ) -> Item {
        if let Some(why) = &object.broken {
            return Item::Error(object.unreadable(why));
        }
        match versions::serve(self.kind, object) {
            Ok(served) => {
                let shared = event.filter(|_| Arc::ptr_eq(&served, object)).cloned();
                Item::Object {
                    event_type,
                    object: served,
                    shared,
                }
            }
            Err(status) => Item::Error(status),
        }
    }
}

/// The client must list again.
fn reset() -> Status {
    Status::expired("too old resource version: the server has read its store anew")
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use api_meta::Kinds;

    use super::{Item, Session};
    use crate::cache::fan_out::Interest;
    use crate::cache::testing::put;
    use crate::cache::{Cache, KindCache};
    use crate::registry::selection::Selection;

    fn session(cached: &Arc<KindCache>, selection: Selection, after: u64) -> Session {
        // Every event is offered, so that the session alone decides.
        let (since, watcher) = cached.watch_after(Interest::All, after).unwrap();
        let kind = Kinds::builtin().by_resource("", "v1", "configmaps");
        Session {
            kind: kind.unwrap(),
            cached: cached.clone(),
            selection,
            initial: VecDeque::new(),
            initial_end: None,
            pending: since.into(),
            watcher,
            floor: after,
            told: 0,
        }
    }

    fn told(session: &mut Session) -> Vec<String> {
        let key = |item| match item {
            Item::Object { object, .. } => object.key.to_string(),
            other => panic!("{other:?}"),
        };
        std::iter::from_fn(|| session.poll()).map(key).collect()
    }

    #[test]
    fn a_session_tells_nothing_of_other_namespaces() {
        let cache = Cache::new(["configmaps"]);
        let maps = cache.kind("configmaps").unwrap();
        put(maps, "a/x", 1);
        put(maps, "b/x", 2);
        let mut session = session(maps, Selection::everything("a"), 0);
        put(maps, "b/x", 3);
        put(maps, "a/x", 4);
        assert_eq!(told(&mut session), ["a/x", "a/x"]);
    }

    #[test]
    fn a_bookmark_never_goes_back() {
        let cache = Cache::new(["configmaps"]);
        let maps = cache.kind("configmaps").unwrap();
        let mut session = session(maps, Selection::everything("a"), 0);
        cache.positions().advance(maps.lane(), 5);
        // Published and told, before the position has moved to it.
        put(maps, "a/x", 7);
        assert_eq!(told(&mut session), ["a/x"]);
        assert_eq!(session.bookmark().unwrap(), 7);
        // Told with the bookmark, which comes after it.
        put(maps, "a/x", 9);
        let items = session.bookmark().unwrap_err();
        let [Item::Object { .. }, Item::Bookmark { revision, .. }] = items.as_slice() else {
            panic!("{items:?}");
        };
        assert_eq!(*revision, 9);
        cache.positions().advance(maps.lane(), 12);
        assert_eq!(session.bookmark().unwrap(), 12);
    }
}
