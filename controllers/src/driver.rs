//! Starts and stops the controllers of one term of leadership: informers first, then, once these are in step, the workers.
//!
//! It knows no kind. Standbys run nothing of it: they only stand for election, and list afresh when they win.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base::Tasks;
use client::events::Recorder;
use client::store::Key;
use client::{Client, Delta, Queue, Store};
use tokio_util::sync::CancellationToken;

use crate::credentials::Credentials;
use crate::error::{Error, Result, is_conflict, is_namespace_terminating, is_not_found, message};
use crate::informers::Informers;
use crate::metrics::Metrics;
use crate::options::Options;

/// Every object is looked at again after this time, whatever events came or were missed.
const RESYNC_EVERY: Duration = Duration::from_secs(10 * 60);
/// One reconciliation may take this long; then its key is tried again.
const RECONCILE_TIME_MAX: Duration = Duration::from_secs(120);
/// Tasks that outlive the end of a term by this are reported. Less than the rest of a lost lease.
const STOP_TIME_MAX: Duration = Duration::from_secs(4);

/// What a reconciliation asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing, until something changes.
    Done,
    /// Another look after this time.
    Again(Duration),
}

/// Brings one object's surroundings into the state that the object asks for. Idempotent: it looks at the world, not at
/// the event that woke it.
#[async_trait]
pub trait Reconciler: Send + Sync {
    /// Works on one key; never two at once on the same one.
    async fn reconcile(&self, key: &Key) -> Result<After>;
}

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A task of a term.
pub struct Run {
    /// Its name in logs.
    pub name: &'static str,
    /// For informers: resolves once in step.
    pub synced: Option<Boxed>,
    /// The task; it ends when the token is cancelled.
    pub run: Box<dyn FnOnce(CancellationToken) -> Boxed + Send>,
}

impl Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Workers on one queue.
pub struct Part {
    /// The controller's name.
    pub name: &'static str,
    /// Where its informers' handlers put keys.
    pub queue: Queue<Key>,
    /// Reconciliations at one time.
    pub workers: usize,
    /// The work.
    pub reconciler: Arc<dyn Reconciler>,
    /// The keys of everything there is, for the periodic second look.
    pub all: Box<dyn Fn() -> Vec<Key> + Send + Sync>,
}

impl Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What controllers are built from, and what building them yields.
pub struct Builder {
    /// The way to the api-server of the controller that is being built: its writes, its live reads, its events.
    pub client: Client,
    /// The settings.
    pub options: Arc<Options>,
    /// The shared informers; handlers must be added while building.
    pub informers: Informers,
    credentials: Credentials,
    /// The clients made so far, by account.
    clients: BTreeMap<&'static str, Client>,
    metrics: Arc<Metrics>,
    parts: Vec<Part>,
    runs: Vec<Run>,
}

impl Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// Nothing built yet.
    pub fn new(credentials: Credentials, options: Arc<Options>, metrics: Arc<Metrics>) -> Self {
        let client = credentials.own().clone();
        // Shared informers read for several controllers, so for none of their accounts.
        let informers = Informers::new(client.clone());
        Self {
            client,
            options,
            informers,
            credentials,
            clients: BTreeMap::new(),
            metrics,
            parts: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// Adds a controller that acts as `account`, if controllers are to act as accounts.
    pub fn add(&mut self, account: &'static str, build: fn(&mut Self)) {
        self.client = self.client_of(account);
        build(self);
    }

    fn client_of(&mut self, account: &'static str) -> Client {
        if let Some(client) = self.clients.get(account) {
            return client.clone();
        }
        let Some((client, renewer)) = self.credentials.client(account) else {
            return self.credentials.own().clone();
        };
        self.task("token", move |stop| renewer.run(stop));
        self.clients.insert(account, client.clone());
        client
    }

    /// A recorder whose events name `component` as their source.
    pub fn recorder(&mut self, component: &str) -> Recorder {
        let (recorder, writer) = Recorder::new(self.client.clone(), component);
        self.task("events", move |stop| writer.run(stop));
        recorder
    }

    /// Adds workers.
    pub fn part(&mut self, part: Part) {
        self.parts.push(part);
    }

    /// Adds a task that is no queue's worker. It starts with the informers, before these are in step.
    pub fn task<F>(
        &mut self,
        name: &'static str,
        run: impl FnOnce(CancellationToken) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let run = Box::new(|stop| Box::pin(run(stop)) as Boxed);
        self.runs.push(Run {
            name,
            synced: None,
            run,
        });
    }

    /// Runs everything that was built until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let tasks = Tasks::child_of("controllers", &stop);
        let mut runs = self.informers.into_runs();
        runs.extend(self.runs);
        let mut synced = Vec::new();
        for run in runs {
            synced.extend(run.synced);
            tasks.spawn_infallible(run.name, (run.run)(tasks.stop().clone()));
        }
        let in_step = tokio::select! { biased;
            () = stop.cancelled() => false,
            () = async { for one in synced { one.await; } } => true,
        };
        if in_step {
            tracing::info!(controllers = self.parts.len(), "informers are in step");
            for part in self.parts {
                start(&tasks, part, &self.metrics);
            }
            // A panic in any task cancels the group too, and so ends the term: its controller would be missing.
            tasks.stop().cancelled().await;
        }
        tasks.shutdown(STOP_TIME_MAX).await;
    }
}

/// A handler that puts each changed object's own key into `queue`.
pub fn enqueue<K: kube::Resource>(queue: &Queue<Key>) -> impl Fn(&Delta<'_, K>) + use<K> {
    let queue = queue.clone();
    move |delta| queue.add(Key::of(delta.object().as_ref()))
}

/// The keys of all objects in a store, for [`Part::all`].
pub fn all_of<K: kube::Resource + Send + Sync + 'static>(
    store: &Store<K>,
) -> Box<dyn Fn() -> Vec<Key> + Send + Sync> {
    let store = store.clone();
    Box::new(move || {
        store
            .list()
            .iter()
            .map(|object| Key::of(object.as_ref()))
            .collect()
    })
}

fn start(tasks: &Tasks, part: Part, metrics: &Arc<Metrics>) {
    let Part {
        name,
        queue,
        workers,
        reconciler,
        all,
    } = part;
    for _ in 0..workers {
        let worker = Worker {
            name,
            queue: queue.clone(),
            reconciler: reconciler.clone(),
            metrics: metrics.clone(),
        };
        let stop = tasks.stop().clone();
        tasks.spawn_infallible(name, worker.run(stop));
    }
    let (stop, metrics) = (tasks.stop().clone(), metrics.clone());
    tasks.spawn_infallible("resync", async move {
        let mut resync = tokio::time::interval(RESYNC_EVERY.mul_f64(rand::random_range(0.8..=1.2)));
        let mut measure = tokio::time::interval(Duration::from_secs(5));
        // The first tick comes at once; the informers' own events make it needless.
        resync.tick().await;
        loop {
            tokio::select! { biased;
                () = stop.cancelled() => return queue.close(),
                _ = resync.tick() => all().into_iter().for_each(|key| queue.add(key)),
                _ = measure.tick() => metrics.depth(name, queue.len()),
            }
        }
    });
}

struct Worker {
    name: &'static str,
    queue: Queue<Key>,
    reconciler: Arc<dyn Reconciler>,
    metrics: Arc<Metrics>,
}

impl Worker {
    async fn run(self, stop: CancellationToken) {
        loop {
            let key = tokio::select! { biased;
                () = stop.cancelled() => return,
                key = self.queue.get() => key,
            };
            let Some(key) = key else { return };
            let work = tokio::time::timeout(RECONCILE_TIME_MAX, self.reconciler.reconcile(&key));
            // Dropped in the middle at the end of a term: whatever was written, the next leader looks at the world.
            let outcome = tokio::select! { biased;
                () = stop.cancelled() => return,
                outcome = work => outcome,
            };
            let result = outcome.unwrap_or_else(|_| {
                Err(Error::Unready(format!(
                    "not done within {RECONCILE_TIME_MAX:?}"
                )))
            });
            self.settle(&key, result);
            self.queue.done(&key);
        }
    }

    fn settle(&self, key: &Key, result: Result<After>) {
        self.metrics.ran(self.name, result.is_ok());
        match result {
            Ok(After::Done) => self.queue.forget(key),
            Ok(After::Again(delay)) => {
                self.queue.forget(key);
                self.queue.add_after(key.clone(), delay);
            }
            Err(error) => {
                let (controller, cause) = (self.name, describe(&error));
                if is_routine(&error) {
                    tracing::debug!(controller, %key, error = %cause, "looking again");
                } else {
                    tracing::warn!(controller, %key, error = %cause, "reconciliation failed, trying again");
                }
                self.queue.add_rate_limited(key.clone());
            }
        }
    }
}

/// Whether the world moved on while the worker acted: what comes next decides.
fn is_routine(error: &Error) -> bool {
    match error {
        Error::Api(error) => {
            is_conflict(error) || is_not_found(error) || is_namespace_terminating(error)
        }
        Error::Selector(_) | Error::Unready(_) => false,
    }
}

fn describe(error: &Error) -> String {
    match error {
        Error::Api(error) => message(error),
        other => base::report(other).to_string(),
    }
}

#[cfg(test)]
mod tests;
