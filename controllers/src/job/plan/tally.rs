//! Counts a Job's pods exactly once: uid into the status, finalizer off, uid into the number. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{Job, UncountedTerminatedPods};
use k8s_openapi::api::core::v1::Pod;

use super::has_finalizer;
use crate::pods;

/// Uids in the status at one time; the rest wait for the next pass.
const UNCOUNTED_MAX: usize = 500;
/// After a failure the next pod waits, twice as long after each further one, as upstream.
const BACKOFF_FIRST: Duration = Duration::from_secs(10);
const BACKOFF_MAX: Duration = Duration::from_secs(600);

/// The state of the count.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Pods in the numbers.
    pub(super) counted_succeeded: i32,
    pub(super) counted_failed: i32,
    uncounted_succeeded: Vec<String>,
    uncounted_failed: Vec<String>,
    /// Finished pods for which the status has no room in this pass.
    late_succeeded: i32,
    late_failed: i32,
    /// Pods whose uid the server's status holds already: their finalizer may go.
    pub(super) release: Vec<Arc<Pod>>,
    /// Pods that have not ended, and are to be counted when they do.
    pub(super) open: Vec<Arc<Pod>>,
    failures_in_row: u32,
    last_failure: Option<Timestamp>,
}

impl Tally {
    pub(super) fn of(job: &Job, pods: &[Arc<Pod>]) -> Self {
        let status = job.status.clone().unwrap_or_default();
        let mut tally = Self {
            counted_succeeded: status.succeeded.unwrap_or(0),
            counted_failed: status.failed.unwrap_or(0),
            ..Self::default()
        };
        let held: BTreeMap<&str, &Arc<Pod>> = pods
            .iter()
            .filter(|pod| has_finalizer(pod))
            .filter_map(|pod| Some((pod.metadata.uid.as_deref()?, pod)))
            .collect();
        let known = status.uncounted_terminated_pods.unwrap_or_default();
        for uid in known.succeeded.iter().flatten() {
            tally.known(uid, &held, Outcome::Succeeded);
        }
        for uid in known.failed.iter().flatten() {
            tally.known(uid, &held, Outcome::Failed);
        }
        for (uid, pod) in held {
            let is_known = |list: &Option<Vec<String>>| list.iter().flatten().any(|one| one == uid);
            if !is_known(&known.succeeded) && !is_known(&known.failed) {
                tally.new_pod(job, uid, pod);
            }
        }
        tally.history(job, pods);
        tally
    }

    /// A uid that the server's status holds: counted for good once its pod has no finalizer or is gone.
    fn known(&mut self, uid: &str, held: &BTreeMap<&str, &Arc<Pod>>, outcome: Outcome) {
        match (held.get(uid), outcome) {
            (None, Outcome::Succeeded) => self.counted_succeeded += 1,
            (None, Outcome::Failed) => self.counted_failed += 1,
            (Some(pod), outcome) => {
                self.release.push((*pod).clone());
                self.list(outcome).push(uid.to_owned());
            }
        }
    }

    fn new_pod(&mut self, job: &Job, uid: &str, pod: &Arc<Pod>) {
        match outcome(job, pod) {
            Some(outcome) => self.ended(uid, outcome),
            None => self.open.push(pod.clone()),
        }
    }

    fn ended(&mut self, uid: &str, outcome: Outcome) {
        if self.uncounted_succeeded.len() + self.uncounted_failed.len() < UNCOUNTED_MAX {
            self.list(outcome).push(uid.to_owned());
        } else {
            match outcome {
                Outcome::Succeeded => self.late_succeeded += 1,
                Outcome::Failed => self.late_failed += 1,
            }
        }
    }

    /// Counts what has not ended as failed.
    pub(super) fn fail_open(&mut self) {
        for pod in std::mem::take(&mut self.open) {
            self.ended(
                pod.metadata.uid.as_deref().unwrap_or_default(),
                Outcome::Failed,
            );
        }
    }

    fn list(&mut self, outcome: Outcome) -> &mut Vec<String> {
        match outcome {
            Outcome::Succeeded => &mut self.uncounted_succeeded,
            Outcome::Failed => &mut self.uncounted_failed,
        }
    }

    /// The failures since the last success, from the pods that are still there. A pod on its way out that nobody counts is
    /// one that this controller removed itself: no failure.
    fn history(&mut self, job: &Job, pods: &[Arc<Pod>]) {
        let is_told = |pod: &&Arc<Pod>| has_finalizer(pod) || !pods::is_terminating(pod);
        let mut ends: Vec<(Timestamp, Outcome)> = pods
            .iter()
            .filter(is_told)
            .filter_map(|pod| Some((end_time(pod), outcome(job, pod)?)))
            .collect();
        ends.sort_by_key(|(time, _)| *time);
        for (time, outcome) in ends {
            match outcome {
                Outcome::Succeeded => (self.failures_in_row, self.last_failure) = (0, None),
                Outcome::Failed => {
                    self.failures_in_row = self.failures_in_row.saturating_add(1);
                    self.last_failure = Some(time);
                }
            }
        }
    }

    /// How long the next pod must still wait.
    pub(super) fn backoff_rest(&self, now: Timestamp) -> Duration {
        let Some(last) = self.last_failure else {
            return Duration::ZERO;
        };
        let doublings = self.failures_in_row.saturating_sub(1);
        let wait = BACKOFF_FIRST
            .saturating_mul(2_u32.saturating_pow(doublings))
            .min(BACKOFF_MAX);
        wait.saturating_sub(client::times::between(last, now))
    }

    pub(super) fn succeeded(&self) -> i32 {
        self.counted_succeeded + self.late_succeeded + length(&self.uncounted_succeeded)
    }

    pub(super) fn failed(&self) -> i32 {
        self.counted_failed + self.late_failed + length(&self.uncounted_failed)
    }

    /// Whether every finished pod is in the numbers.
    pub(super) fn is_settled(&self) -> bool {
        self.uncounted_succeeded.is_empty() && self.uncounted_failed.is_empty()
    }

    pub(super) fn uncounted(&self) -> UncountedTerminatedPods {
        let list = |uids: &Vec<String>| (!uids.is_empty()).then(|| uids.clone());
        UncountedTerminatedPods {
            succeeded: list(&self.uncounted_succeeded),
            failed: list(&self.uncounted_failed),
        }
    }
}

fn length(uids: &[String]) -> i32 {
    i32::try_from(uids.len()).unwrap_or(i32::MAX)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Succeeded,
    Failed,
}

/// How a pod ended. One that is being deleted has failed, unless the job waits for such pods to end by themselves.
fn outcome(job: &Job, pod: &Pod) -> Option<Outcome> {
    let policy = job
        .spec
        .as_ref()
        .and_then(|spec| spec.pod_replacement_policy.as_deref());
    match pods::phase(pod) {
        "Succeeded" => Some(Outcome::Succeeded),
        "Failed" => Some(Outcome::Failed),
        _ if pods::is_terminating(pod) && policy != Some("Failed") => Some(Outcome::Failed),
        _ => None,
    }
}

fn end_time(pod: &Pod) -> Timestamp {
    let statuses = pod
        .status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten());
    let ends =
        statuses.filter_map(|one| one.state.as_ref()?.terminated.as_ref()?.finished_at.clone());
    if let Some(last) = ends.map(|time| time.0).max() {
        return last;
    }
    if let Some(ready) = pods::condition(pod, "Ready").filter(|ready| ready.status == "False")
        && let Some(time) = &ready.last_transition_time
    {
        return time.0;
    }
    if let Some(deleted) = &pod.metadata.deletion_timestamp {
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
        return deleted
            .0
            .checked_sub(SignedDuration::from_secs(grace))
            .unwrap_or(deleted.0);
    }
    pod.metadata
        .creation_timestamp
        .as_ref()
        .map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}
