//! Watches the metadata of every resource that can be listed, watched and deleted, and follows what discovery says exists.
//!
//! A resource whose group does not answer keeps its watch: silence is no proof of absence.

use std::collections::HashMap;
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
use crate::discovery::{Found, Meta, Resource, discover};

/// Between two questions about what exists, as upstream's.
const DISCOVER_EVERY: Duration = Duration::from_secs(30);
/// Between two tries when it failed.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// A watch that is not in step after this time no longer holds up the work on others.
const SYNC_TIME_MAX: Duration = Duration::from_secs(30);
const STOP_TIME_MAX: Duration = Duration::from_secs(3);

struct Monitor {
    store: Store<Meta>,
    since: Instant,
    stop: CancellationToken,
}

#[derive(Default)]
struct State {
    monitors: HashMap<Resource, Monitor>,
    /// Every resource by apiVersion and kind, also those that cannot be watched.
    by_kind: HashMap<(String, String), Resource>,
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
        for resource in &found.resources {
            let kind = (resource.api.api_version.clone(), resource.api.kind.clone());
            state.by_kind.insert(kind, resource.clone());
            if is_monitored(resource) && !state.monitors.contains_key(resource) {
                let monitor = self.start(resource, tasks);
                state.monitors.insert(resource.clone(), monitor);
            }
        }
        let gone: Vec<Resource> = state
            .monitors
            .keys()
            .filter(|resource| {
                !found.resources.contains(resource)
                    && !found.failed.contains(&resource.api.api_version)
            })
            .cloned()
            .collect();
        for resource in gone {
            let Some(monitor) = state.monitors.remove(&resource) else {
                continue;
            };
            tracing::info!(resource = %resource.api.plural, group = %resource.api.group, "resource is gone");
            monitor.stop.cancel();
            let kind = (resource.api.api_version.clone(), resource.api.kind.clone());
            state.by_kind.remove(&kind);
            // Its objects went with it; nobody will report their deletion.
            let uids = monitor.store.list();
            let uids = uids
                .iter()
                .filter_map(|object| object.metadata.uid.as_deref());
            let wakes = uids.flat_map(|uid| self.graph.lock().remove(uid)).collect();
            enqueue(&self.queue, wakes);
        }
        state.is_discovered = true;
    }

    fn start(&self, resource: &Resource, tasks: &Tasks) -> Monitor {
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
            store,
            since: Instant::now(),
            stop,
        }
    }
}

fn enqueue(queue: &Queue<Key>, wakes: Vec<Wake>) {
    for wake in wakes {
        queue.add(key(wake));
    }
}

fn is_monitored(resource: &Resource) -> bool {
    // Events own nothing, are owned by nothing, and there are many.
    resource.can(&["list", "watch", "delete"]) && resource.api.plural != "events"
}

fn place(resource: &Resource, object: &Meta) -> Place {
    Place {
        api_version: resource.api.api_version.clone(),
        kind: resource.api.kind.clone(),
        namespace: object.metadata.namespace.clone().unwrap_or_default(),
        name: object.metadata.name.clone().unwrap_or_default(),
    }
}
