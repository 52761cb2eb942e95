//! The loop: takes the next pod, decides, and hands the acting to bounded tasks.

use std::sync::Arc;
use std::time::Duration;

use base::Tasks;
use client::events::Recorder;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::act::{Work, act};
use super::algorithm::{self, Case, Decision};
use super::term::Term;
use crate::cache::{Cache, Snapshot};
use crate::framework::points::{Nomination, Remedy};
use crate::framework::{EventSet, PodInfo, Profile};
use crate::queue::{Popped, Queue};

/// Bindings and failure notes that are being written. When full, the loop waits: the api-server
/// is slower than the decisions, and more of them would only wait there.
const WRITES_MAX: usize = 100;

/// What the loop, its tasks and the informers share. Whoever needs both locks takes the cache's
/// first, then the queue's.
pub struct Shared {
    /// For writes.
    pub client: kube::Client,
    /// For events.
    pub recorder: Recorder,
    /// The plugins.
    pub profile: Arc<Profile>,
    /// Nodes and assigned pods.
    pub cache: Arc<Mutex<Cache>>,
    /// Waiting pods.
    pub queue: Queue,
}

impl Shared {
    /// Undoes what was assumed of a pod; its place may be what another pod waits for.
    pub(super) fn forget(&self, uid: &str) {
        self.cache.lock().forget(uid);
        self.queue.cluster_changed(EventSet::ASSIGNED_POD_DELETE);
    }

    /// Keeps the node that a remedy frees, or gives a kept one up. It happens within the cycle, so
    /// that the next pod already finds the node kept.
    fn nominate(&self, pod: &Arc<PodInfo>, remedy: &Remedy) {
        let mut cache = self.cache.lock();
        match remedy {
            Remedy::None(_, Nomination::Keep) => {}
            Remedy::None(_, Nomination::Clear) => cache.nominated.clear(&pod.uid),
            // For a pod that was assigned or went away meanwhile nobody would ever give it up.
            Remedy::Preempt { .. }
                if cache.pod(&pod.uid).is_some() || self.queue.get(&pod.uid).is_none() => {}
            Remedy::Preempt { node, .. } => cache.nominated.set(pod.clone(), node),
        }
    }
}

/// The scheduling loop.
pub struct Scheduler {
    shared: Arc<Shared>,
    snapshot: Snapshot,
    /// Where the next search for nodes begins.
    start: usize,
}

impl Scheduler {
    /// A loop over what is shared.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            snapshot: Snapshot::default(),
            start: 0,
        }
    }

    /// Schedules until `stop`, the end of the term. It returns soon after, and nothing is written
    /// any more: what was under way is dropped, and its pods are back in the queue.
    pub async fn run(mut self, stop: CancellationToken) {
        let tasks = Tasks::child_of("scheduling", &stop);
        let term = Term::until(stop.clone());
        let room = Arc::new(Semaphore::new(WRITES_MAX));
        loop {
            // Shutdown first: a long queue must not delay it.
            let permit = tokio::select! { biased;
                () = stop.cancelled() => break,
                permit = room.clone().acquire_owned() => permit,
            };
            let popped = tokio::select! { biased;
                () = stop.cancelled() => break,
                popped = self.shared.queue.pop() => popped,
            };
            let Some(work) = self.cycle(&popped) else {
                continue;
            };
            let (shared, term) = (self.shared.clone(), term.clone());
            tasks.spawn_infallible("write", async move {
                let _permit = permit;
                act(&shared, &term, popped, work).await;
            });
        }
        tasks.shutdown(Duration::from_secs(3)).await;
    }

    /// Decides about one pod. None where there is nothing to do.
    fn cycle(&mut self, popped: &Popped) -> Option<Work> {
        let (shared, pod) = (&self.shared, &popped.pod);
        if pod.is_terminating() {
            // It never ran anywhere and will be gone soon.
            shared.queue.remove(&pod.uid);
            return None;
        }
        let kept = {
            let mut cache = shared.cache.lock();
            if cache.pod(&pod.uid).is_some() {
                drop(cache);
                shared.queue.remove(&pod.uid);
                return None;
            }
            cache.refresh(&mut self.snapshot);
            cache.nominated.seen_by(pod)
        };
        let case = Case {
            profile: &shared.profile,
            pod,
            nodes: &self.snapshot,
            kept: &kept,
        };
        let (node, mut state) = match algorithm::decide(&case, &mut self.start) {
            Decision::Place { node, state } => (node, state),
            Decision::Refuse(refusal) => {
                shared.nominate(pod, &refusal.remedy);
                return Some(Work::Refused(refusal));
            }
            Decision::Fail(status) => return Some(Work::Failed(status)),
        };
        shared.cache.lock().assume(pod.clone(), &node);
        let mut status = shared.profile.run_reserve(&mut state, pod, &node);
        if status.is_success() {
            status = shared.profile.run_permit(&state, pod, &node);
            if !status.is_success() {
                shared.profile.run_unreserve(&mut state, pod, &node);
            }
        }
        if status.is_success() {
            return Some(Work::Bind { node, state });
        }
        shared.forget(&pod.uid);
        Some(Work::Failed(status))
    }
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
mod tests;
