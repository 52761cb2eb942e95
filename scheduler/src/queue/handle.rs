//! The queue as its users share it: one lock, a wake-up for whoever waits for a pod.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::state::{Gate, Popped, QueueState};
use crate::framework::{EventSet, PodInfo, Profile};

/// A shared queue.
#[derive(Clone)]
pub struct Queue {
    state: Arc<Mutex<QueueState>>,
    changed: Arc<Notify>,
    profile: Arc<Profile>,
}

impl Queue {
    /// An empty queue for the pods of `profile`.
    pub fn new(profile: Arc<Profile>) -> Self {
        Self {
            state: Arc::default(),
            changed: Arc::default(),
            profile,
        }
    }

    /// Takes a pod that is not assigned, new or changed.
    pub fn set(&self, pod: Arc<PodInfo>) {
        let gate = if self.profile.run_pre_enqueue(&pod).is_success() {
            Gate::Open
        } else {
            Gate::Closed
        };
        let rank = self.profile.queue_sort.rank(&pod);
        self.state.lock().set(Instant::now(), pod, rank, gate);
        self.changed.notify_one();
    }

    /// Drops a pod: it went away, or it is assigned.
    pub fn remove(&self, uid: &str) {
        self.state.lock().remove(uid);
    }

    /// The pod as it was last seen, if it still waits to be placed.
    pub fn get(&self, uid: &str) -> Option<Arc<PodInfo>> {
        self.state.lock().get(uid).cloned()
    }

    /// Whether the pod is handed out and not taken back yet.
    #[cfg(test)]
    pub(crate) fn is_in_flight(&self, uid: &str) -> bool {
        self.state.lock().is_in_flight(uid)
    }

    /// The uids of all waiting pods.
    pub fn uids(&self) -> Vec<String> {
        self.state.lock().uids().map(str::to_owned).collect()
    }

    /// The cluster changed: pods refused for what `event` can undo are tried again.
    pub fn cluster_changed(&self, event: EventSet) {
        self.state.lock().changed(Instant::now(), event);
        self.changed.notify_one();
    }

    /// Takes back a pod that the named plugins refused.
    pub fn refused(&self, uid: &str, plugins: &[&'static str]) {
        let wakes_on = if plugins.is_empty() {
            EventSet::ALL
        } else {
            self.profile.events_of(plugins)
        };
        self.state.lock().refused(Instant::now(), uid, wakes_on);
        self.changed.notify_one();
    }

    /// Takes back a pod whose try failed for a reason that is not the pod's.
    pub fn failed(&self, uid: &str) {
        self.state.lock().failed(Instant::now(), uid);
        self.changed.notify_one();
    }

    /// The next pod, as soon as there is one. Cancel-safe: no pod is handed out without being returned.
    pub async fn pop(&self) -> Popped {
        loop {
            let due = {
                let mut state = self.state.lock();
                if let Some(popped) = state.pop(Instant::now()) {
                    return popped;
                }
                state.next_due()
            };
            let changed = self.changed.notified();
            match due {
                Some(at) => _ = tokio::time::timeout_at(at.into(), changed).await,
                None => changed.await,
            }
        }
    }
}
