//! The loop of one pod: look at what should be and what is, take the next steps, report, wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::backoff::Backoffs;
use super::context::Context;
use super::plan::{self, plan};
use super::pod_state::PodState;
use super::spec::{PodId, grace_seconds};
use super::status::{Facts, Waiting, status};
use super::status_writer::{Report, carry_over};
use super::{steps, stop};
use crate::runtime;

/// A pod is looked at this often even if nothing happens: files in volumes are refreshed then.
const RESYNC: Duration = Duration::from_secs(60);
/// After an error of the runtime or the api-server.
const RETRY: Duration = Duration::from_secs(5);
/// Steps that follow from each other without waiting, such as sandbox, then containers.
const STEPS_MAX: usize = 20;

/// What should become of the pod.
#[derive(Clone, Debug)]
pub(super) enum Desired {
    /// The pod as the api-server has it: to be run, or to be ended where it is being deleted.
    Pod(Arc<Pod>),
    /// The api-server does not know it (any more): nothing may stay.
    Gone,
}

/// What a worker remembers between two looks. All of it can be found out again or be lost.
pub(super) struct Memory {
    /// Waits of containers that keep ending.
    pub(super) backoffs: Backoffs,
    /// Containers that could not be started, and why.
    pub(super) waiting: BTreeMap<String, Waiting>,
    /// The last words of ended containers, by id.
    pub(super) last_words: BTreeMap<String, String>,
    /// Why the kubelet gave the pod up.
    pub(super) failed: Option<(String, String)>,
    /// When to look again at the latest.
    pub(super) next: Duration,
    /// The status that was worked out last.
    status: Option<PodStatus>,
}

/// The worker of one pod.
pub(super) struct Worker {
    context: Arc<Context>,
    id: PodId,
    desired: watch::Receiver<Desired>,
    poke: Arc<Notify>,
    memory: Memory,
}

impl Worker {
    pub(super) fn new(
        context: Arc<Context>,
        id: PodId,
        desired: watch::Receiver<Desired>,
        poke: Arc<Notify>,
    ) -> Self {
        let memory = Memory {
            backoffs: Backoffs::default(),
            waiting: BTreeMap::new(),
            last_words: BTreeMap::new(),
            failed: None,
            next: RESYNC,
            status: None,
        };
        Self {
            context,
            id,
            desired,
            poke,
            memory,
        }
    }

    /// Runs until nothing of the pod is left (true) or until `stop` (false): pods outlive the kubelet.
    pub(super) async fn run(mut self, stop: CancellationToken) -> bool {
        loop {
            let desired = self.desired.borrow_and_update().clone();
            self.memory.next = RESYNC;
            let looked = tokio::select! { biased;
                () = stop.cancelled() => return false,
                looked = self.look(&desired) => looked,
            };
            match looked {
                Ok(Progress::Done) => return true,
                Ok(Progress::Waits) => {}
                Err(error) => {
                    tracing::warn!(pod = %self.id, error = %base::report(&error), "pod not synced, trying again");
                    self.memory.next = RETRY;
                }
            }
            tokio::select! { biased;
                () = stop.cancelled() => return false,
                changed = self.desired.changed() => if changed.is_err() { return true },
                () = self.poke.notified() => {}
                () = tokio::time::sleep(self.memory.next) => {}
            }
        }
    }

    async fn look(&mut self, desired: &Desired) -> runtime::Result<Progress> {
        match desired {
            Desired::Gone => {
                stop::remove(&self.context, &self.id).await?;
                self.context.statuses.forget(&self.id.uid);
                Ok(Progress::Done)
            }
            Desired::Pod(pod) if pod.metadata.deletion_timestamp.is_some() => {
                let pod = self.with_own_status(pod);
                self.end(&pod, grace_seconds(&pod)).await?;
                Ok(Progress::Waits)
            }
            Desired::Pod(pod) => {
                let pod = self.with_own_status(pod);
                self.sync(&pod).await?;
                Ok(Progress::Waits)
            }
        }
    }

    /// The pod with the status that this kubelet reported last: the api-server's copy may be older.
    fn with_own_status(&self, pod: &Arc<Pod>) -> Arc<Pod> {
        match &self.memory.status {
            Some(own) => {
                let mut pod = (**pod).clone();
                carry_over(own, pod.status.get_or_insert_default());
                Arc::new(pod)
            }
            None => pod.clone(),
        }
    }

    async fn sync(&mut self, pod: &Arc<Pod>) -> runtime::Result<()> {
        let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
        if matches!(phase, Some("Succeeded" | "Failed")) {
            return self.end_if_running(pod).await;
        }
        if let Some(left) = self.time_left(pod) {
            if left.is_zero() {
                let text =
                    "Pod was active on the node longer than the specified deadline".to_owned();
                self.memory.failed = Some(("DeadlineExceeded".to_owned(), text));
                return self.end(pod, grace_seconds(pod)).await;
            }
            self.memory.next = self.memory.next.min(left);
        }
        let context = self.context.clone();
        self.memory.waiting.clear();
        for _ in 0..STEPS_MAX {
            let state = PodState::read(&*context.runtime, &self.id.uid).await?;
            let probes = context.probes.observe(pod, &state, &self.poke);
            let next = plan(pod, &state, &probes);
            tracing::trace!(pod = %self.id, plan = ?next, "planned");
            let progressed = steps::take(&context, pod, &state, &next, &mut self.memory).await?;
            if !progressed {
                self.report(pod, &state, &probes);
                return Ok(());
            }
            // The pod proceeds: let its user see how far it is.
            if !next.start.is_empty() {
                let state = PodState::read(&*context.runtime, &self.id.uid).await?;
                let probes = context.probes.observe(pod, &state, &self.poke);
                self.report(pod, &state, &probes);
            }
        }
        self.memory.next = Duration::from_secs(1);
        Ok(())
    }

    async fn end_if_running(&mut self, pod: &Arc<Pod>) -> runtime::Result<()> {
        let state = PodState::read(&*self.context.runtime, &self.id.uid).await?;
        if !state.is_stopped() {
            self.end(pod, grace_seconds(pod)).await?;
        }
        Ok(())
    }

    /// Ends the pod in good order, and reports that it has ended.
    async fn end(&mut self, pod: &Arc<Pod>, grace: i64) -> runtime::Result<()> {
        let context = self.context.clone();
        let grace = Duration::from_secs(u64::try_from(grace).unwrap_or(0));
        context.probes.forget(&self.id.uid);
        {
            let state = PodState::read(&*context.runtime, &self.id.uid).await?;
            let ending = stop::stop(&context, pod, &state, grace);
            let mut desired = self.desired.clone();
            tokio::select! { biased;
                ended = ending => ended?,
                // A deletion with a shorter grace period overrules this one: start over with it.
                _ = desired.changed() => {
                    self.memory.next = Duration::ZERO;
                    return Ok(());
                }
            }
        }
        let state = PodState::read(&*context.runtime, &self.id.uid).await?;
        if !state.is_stopped() {
            self.memory.next = Duration::from_secs(1);
            return Ok(());
        }
        steps::read_last_words(&context, pod, &state, &mut self.memory).await;
        self.report(pod, &state, &plan::Probes::new());
        if pod.metadata.deletion_timestamp.is_some() {
            stop::remove_files(&context, &self.id).await;
            context.statuses.finish(&self.id.uid);
        }
        Ok(())
    }

    fn report(&mut self, pod: &Arc<Pod>, state: &PodState, probes: &plan::Probes) {
        let base = self.with_own_status(pod);
        let status = status(&Facts {
            pod: &base,
            state,
            probes,
            waiting: &self.memory.waiting,
            last_words: &self.memory.last_words,
            host_ips: &self.context.host_ips,
            failed: self.memory.failed.as_ref(),
            runtime_name: &self.context.runtime_name,
            now: Timestamp::now(),
        });
        self.memory.status = Some(status.clone());
        self.context.statuses.set(Report {
            id: self.id.clone(),
            known: pod.status.clone(),
            status,
        });
    }

    /// What is left of the pod's active deadline, if it has one.
    fn time_left(&self, pod: &Pod) -> Option<Duration> {
        let limit = u64::try_from(pod.spec.as_ref()?.active_deadline_seconds?).unwrap_or(0);
        let started = pod.status.as_ref()?.start_time.as_ref()?;
        let active = client::times::between(started.0, Timestamp::now());
        Some(Duration::from_secs(limit).saturating_sub(active))
    }
}

enum Progress {
    /// Nothing is left of the pod.
    Done,
    /// There will be more to do.
    Waits,
}
