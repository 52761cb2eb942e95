//! The loop: takes the next pod, decides, and hands the acting to bounded tasks.

use std::sync::Arc;
use std::time::Duration;

use base::Tasks;
use client::events::{Recorder, Type};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::algorithm::{self, Decision, Refusal};
use super::failure::Failure;
use super::{bind, failure, preempt};
use crate::cache::{Cache, Snapshot};
use crate::framework::points::{Nomination, Remedy};
use crate::framework::{CycleState, EventSet, PodInfo, Profile, Status};
use crate::queue::{Popped, Queue};

/// Bindings and failure notes that are being written. When full, the loop waits: the api-server
/// is slower than the decisions, and more of them would only wait there.
const WRITES_MAX: usize = 100;

/// What the loop, its tasks and the informers share.
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

    /// Schedules until `stop`; then waits for the writes under way.
    pub async fn run(mut self, stop: CancellationToken) {
        let tasks = Tasks::child_of("scheduling", &stop);
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
            let shared = self.shared.clone();
            tasks.spawn_infallible("write", async move {
                let _permit = permit;
                act(&shared, popped, work).await;
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
        let coming = {
            let mut cache = shared.cache.lock();
            if cache.pod(&pod.uid).is_some() {
                drop(cache);
                shared.queue.remove(&pod.uid);
                return None;
            }
            cache.refresh(&mut self.snapshot);
            cache.nominated.relevant_to(pod)
        };
        let decision = algorithm::decide(
            &shared.profile,
            pod,
            &self.snapshot,
            &coming,
            &mut self.start,
        );
        let (node, mut state) = match decision {
            Decision::Place { node, state } => (node, state),
            Decision::Refuse(refusal) => return Some(Work::Refused(refusal)),
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

/// What is to be written about a pod.
enum Work {
    Bind { node: String, state: CycleState },
    Refused(Refusal),
    Failed(Status),
}

async fn act(shared: &Shared, popped: Popped, work: Work) {
    let pod = popped.pod;
    match work {
        Work::Bind { node, state } => match bind::bind(shared, state, &pod, &node).await {
            Ok(()) => {
                tracing::debug!(pod = %pod.key(), node, attempts = popped.attempts, "bound");
                let text = format!("Successfully assigned {} to {node}", pod.key());
                shared
                    .recorder
                    .event(&*pod.pod, Type::Normal, "Scheduled", text);
            }
            Err(status) => failed(shared, &pod, &status).await,
        },
        Work::Refused(refusal) => refused(shared, &pod, refusal).await,
        Work::Failed(status) => failed(shared, &pod, &status).await,
    }
}

async fn refused(shared: &Shared, pod: &Arc<PodInfo>, refusal: Refusal) {
    tracing::debug!(pod = %pod.key(), message = %refusal.message, "fits no node");
    let nominated = match &refusal.remedy {
        Remedy::Preempt { node, .. } => Some(node.clone()),
        Remedy::None(_, Nomination::Clear) => Some(String::new()),
        Remedy::None(_, Nomination::Keep) => None,
    };
    {
        // Before the victims go, so that nobody less important takes their place.
        let mut cache = shared.cache.lock();
        match nominated.as_deref() {
            Some("") => cache.nominated.clear(&pod.uid),
            Some(node) => cache.nominated.set(pod.clone(), node),
            None => {}
        }
    }
    let failure = Failure {
        reason: "Unschedulable",
        message: refusal.message,
        nominated,
    };
    // The queue first: what happens while the note is written may help the pod already.
    shared.queue.refused(&pod.uid, &refusal.plugins);
    if shared.queue.get(&pod.uid).is_none() {
        return;
    }
    failure::record(shared, pod, &failure).await;
    if let Remedy::Preempt { node, victims } = refusal.remedy {
        preempt::evict(shared, pod, &node, &victims).await;
    }
}

async fn failed(shared: &Shared, pod: &Arc<PodInfo>, status: &Status) {
    let message = match status.plugin {
        "" => status.message(),
        plugin => format!("running {plugin:?} plugin: {}", status.message()),
    };
    tracing::warn!(pod = %pod.key(), error = %message, "scheduling failed, trying again");
    shared.queue.failed(&pod.uid);
    if shared.queue.get(&pod.uid).is_some() {
        failure::record(
            shared,
            pod,
            &Failure {
                reason: "SchedulerError",
                message,
                nominated: None,
            },
        )
        .await;
    }
}
