//! Watches the metadata of every resource that can be listed, watched and deleted, and follows what discovery says exists.
//!
//! A watch ends only with its resource. One that starts anew, in another version, takes over the objects of the former:
//! those that it does not find were deleted in between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base::Tasks;
use client::store::Key;
use client::{Client, Delta, Informer, Queue, Store};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::graph::{Graph, Place, Wake};
use super::key;
use super::resources::{self, Change, Kinds, Name};
use crate::discovery::{Found, Meta, Resource, discover};

/// Between two questions about what exists, as upstream's.
const DISCOVER_EVERY: Duration = Duration::from_secs(30);
/// Between two tries when it failed.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// A watch that is not in step after this time no longer holds up the work on others.
const SYNC_TIME_MAX: Duration = Duration::from_secs(30);
const STOP_TIME_MAX: Duration = Duration::from_secs(3);

struct Monitor {
    resource: Resource,
    store: Store<Meta>,
    since: Instant,
    stop: CancellationToken,
    /// What a former watch of the same objects showed, until this one is in step.
    former: BTreeSet<String>,
}

impl Monitor {
    /// Ends the watch. The uids of the objects that it showed.
    fn end(self) -> BTreeSet<String> {
        self.stop.cancel();
        let mut uids = uids(&self.store);
        uids.extend(self.former);
        uids
    }

    /// The uids that the former watch showed and this one does not; none before it is in step.
    fn lost(&mut self) -> BTreeSet<String> {
        if self.former.is_empty() || !self.store.is_synced() {
            return BTreeSet::new();
        }
        let former = std::mem::take(&mut self.former);
        &former - &uids(&self.store)
    }
}

fn uids(store: &Store<Meta>) -> BTreeSet<String> {
    let uids = store.list().into_iter();
    uids.filter_map(|object| object.metadata.uid.clone())
        .collect()
}

#[derive(Default)]
struct State {
    monitors: BTreeMap<Name, Monitor>,
    by_kind: Kinds,
    is_discovered: bool,
}

/// All watches. Clones share them.
#[derive(Clone)]
pub(super) struct Monitors {
    client: Client,
    graph: Arc<Mutex<Graph>>,
    queue: Queue<Key>,
    state: Arc<Mutex<State>>,
}

impl Monitors {
    pub(super) fn new(client: Client, graph: Arc<Mutex<Graph>>, queue: Queue<Key>) -> Self {
        Self {
            client,
            graph,
            queue,
            state: Arc::default(),
        }
    }

    /// Whether the graph shows the cluster: each watch is in step, or has had its time.
    pub(super) fn is_ready(&self) -> bool {
        let state = self.state.lock();
        let is_fine = |one: &Monitor| one.store.is_synced() || one.since.elapsed() > SYNC_TIME_MAX;
        state.is_discovered && state.monitors.values().all(is_fine)
    }

    /// The resource of a kind.
    pub(super) fn resource(&self, api_version: &str, kind: &str) -> Option<Resource> {
        let wanted = (api_version.to_owned(), kind.to_owned());
        self.state.lock().by_kind.get(&wanted).cloned()
    }

    /// Follows discovery until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        let tasks = Tasks::child_of("monitors", &stop);
        loop {
            let wait = match discover(&self.client).await {
                Ok(found) => {
                    self.follow(&found, &tasks);
                    DISCOVER_EVERY
                }
                Err(error) => {
                    tracing::warn!(error = %base::report(&error), "discovery failed");
                    RETRY_AFTER
                }
            };
            tokio::select! { biased;
                () = stop.cancelled() => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
        tasks.shutdown(STOP_TIME_MAX).await;
    }

    fn follow(&self, found: &Found, tasks: &Tasks) {
        let mut state = self.state.lock();
        state.by_kind = resources::kinds(&state.by_kind, found);
        let watched = state.monitors.iter();
        let watched = watched.map(|(name, monitor)| (name.clone(), monitor.resource.clone()));
        for change in resources::changes(&watched.collect(), found) {
            match change {
                Change::Start(resource) => {
                    let monitor = self.start(&resource, BTreeSet::new(), tasks);
                    state.monitors.insert(Name::of(&resource), monitor);
                }
                Change::Restart(resource) => {
                    let name = Name::of(&resource);
                    tracing::info!(resource = %name.plural, group = %name.group, version = %resource.api.version, "resource changed");
                    let former = state.monitors.remove(&name).map(Monitor::end);
                    let monitor = self.start(&resource, former.unwrap_or_default(), tasks);
                    state.monitors.insert(name, monitor);
                }
                Change::Stop(name) => {
                    tracing::info!(resource = %name.plural, group = %name.group, "resource is gone");
                    // Its objects went with it; nobody will report their deletion.
                    let former = state.monitors.remove(&name).map(Monitor::end);
                    self.forget(&former.unwrap_or_default());
                }
            }
        }
        for monitor in state.monitors.values_mut() {
            self.forget(&monitor.lost());
        }
        state.is_discovered = true;
    }

    fn forget(&self, uids: &BTreeSet<String>) {
        let gone = uids.iter();
        let wakes = gone.flat_map(|uid| self.graph.lock().remove(uid)).collect();
        enqueue(&self.queue, wakes);
    }

    fn start(&self, resource: &Resource, former: BTreeSet<String>, tasks: &Tasks) -> Monitor {
        let (graph, queue, of) = (self.graph.clone(), self.queue.clone(), resource.clone());
        let informer = Informer::new(resource.metadata(&self.client, ""))
            .transform(|object: &mut Meta| {
                object.metadata.annotations = None;
                object.metadata.labels = None;
            })
            .on(move |delta| {
                let object = delta.object();
                let wakes = match delta {
                    Delta::Deleted(_) => graph
                        .lock()
                        .remove(object.metadata.uid.as_deref().unwrap_or_default()),
                    _ => graph.lock().observe(place(&of, object), &object.metadata),
                };
                enqueue(&queue, wakes);
            });
        let (store, stop) = (informer.store(), tasks.stop().child_token());
        tasks.spawn_infallible("monitor", informer.run(stop.clone()));
        Monitor {
            resource: resource.clone(),
            store,
            since: Instant::now(),
            stop,
            former,
        }
    }
}

fn enqueue(queue: &Queue<Key>, wakes: Vec<Wake>) {
    for wake in wakes {
        queue.add(key(wake));
    }
}

fn place(resource: &Resource, object: &Meta) -> Place {
    Place {
        api_version: resource.api.api_version.clone(),
        kind: resource.api.kind.clone(),
        namespace: object.metadata.namespace.clone().unwrap_or_default(),
        name: object.metadata.name.clone().unwrap_or_default(),
    }
}
