//! How a job ends: first the condition that decides it, then every pod gone and counted, then the condition that says so.
//! Pure.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::batch::v1::JobCondition;
use k8s_openapi::api::core::v1::Pod;

use super::{Work, has_finalizer};
use crate::pods;

const SUCCESS: &str = "SuccessCriteriaMet";
const FAILURE: &str = "FailureTarget";

impl Work<'_> {
    /// The condition that decided the job's end in an earlier pass.
    pub(super) fn noted(&self) -> Option<JobCondition> {
        let is_noted = |one: &&JobCondition| {
            [SUCCESS, FAILURE].contains(&one.type_.as_str()) && one.status == "True"
        };
        self.conditions.iter().find(is_noted).cloned()
    }

    /// Decides that the job has failed.
    pub(super) fn failure(&mut self) -> Option<JobCondition> {
        let (reason, message) = if self.is_past_backoff() {
            (
                "BackoffLimitExceeded",
                "Job has reached the specified backoff limit",
            )
        } else if self.deadline_rest().is_some_and(|rest| rest.is_zero()) {
            (
                "DeadlineExceeded",
                "Job was active longer than specified deadline",
            )
        } else {
            return None;
        };
        Some(self.decide(FAILURE, reason, message))
    }

    /// Decides that the job has succeeded: no pod may run any more.
    pub(super) fn success(&mut self) -> Option<JobCondition> {
        let is_enough = match self.spec.completions {
            None => self.succeeded() > 0,
            Some(wanted) => self.succeeded() >= wanted,
        };
        let is_over = is_enough && self.active.is_empty();
        let message = "Reached expected number of succeeded pods";
        is_over.then(|| self.decide(SUCCESS, "CompletionsReached", message))
    }

    fn decide(&mut self, kind: &str, reason: &str, message: &str) -> JobCondition {
        let condition = self.condition(kind, "True", reason, message);
        self.conditions.push(condition.clone());
        condition
    }

    fn is_past_backoff(&self) -> bool {
        let limit = self.spec.backoff_limit.unwrap_or(6);
        if self.tally.failed() > limit {
            return true;
        }
        let policy = self
            .spec
            .template
            .spec
            .as_ref()
            .and_then(|spec| spec.restart_policy.as_deref());
        if policy != Some("OnFailure") {
            return false;
        }
        let restarts: i32 = self.active.iter().map(|pod| restarts(pod)).sum();
        if limit == 0 {
            restarts > 0
        } else {
            restarts >= limit
        }
    }

    /// What is left of the time that the job may run.
    fn deadline_rest(&self) -> Option<Duration> {
        let limit = self
            .spec
            .active_deadline_seconds
            .filter(|_| !self.is_suspended())?;
        let started = self.plan.status.start_time.as_ref()?;
        let limit = Duration::from_secs(u64::try_from(limit).unwrap_or(0));
        Some(limit.saturating_sub(client::times::between(started.0, self.now)))
    }

    /// The end is decided: what runs is deleted, and no pod is waited for to say how it ended. Those of a failed job have
    /// failed, those of a successful one count no more.
    pub(super) fn wind_down(&mut self, end: &JobCondition) {
        let active = std::mem::take(&mut self.active);
        self.terminating += active.len();
        self.plan.delete.extend(active);
        if end.type_ == FAILURE {
            self.tally.fail_open();
        } else {
            self.let_go();
        }
    }

    /// Nobody counts the pods that have not ended.
    pub(super) fn let_go(&mut self) {
        self.plan.release.append(&mut self.tally.open);
    }

    /// The job has ended. A pod that was not seen in time would run on, and carry the finalizer for ever.
    pub(super) fn clean_up(&mut self, pods: &[Arc<Pod>]) {
        let held = pods.iter().filter(|pod| has_finalizer(pod));
        self.plan.release = held.cloned().collect();
        self.plan.delete = std::mem::take(&mut self.active);
    }

    /// Writes counts and conditions; the job ends when its end is decided and every pod is gone and counted.
    pub(super) fn settle(&mut self, end: Option<JobCondition>) {
        let active = self.active.len() + self.plan.create.len();
        let ready = self.active.iter().filter(|pod| pods::is_ready(pod)).count();
        let number = |n: usize| Some(i32::try_from(n).unwrap_or(i32::MAX));
        let nonzero = |n: i32| (n != 0).then_some(n);
        if let Some(end) = end
            && active == 0
            && self.terminating == 0
            && self.tally.is_settled()
        {
            self.finish(&end);
        }
        let is_indexed = self.is_indexed();
        let status = &mut self.plan.status;
        status.active = number(active).filter(|n| *n != 0);
        status.ready = number(ready);
        status.terminating = number(self.terminating);
        status.failed = nonzero(self.tally.counted_failed);
        status.succeeded = nonzero(self.tally.counted_succeeded);
        if is_indexed {
            let text = self.done.to_string();
            status.completed_indexes = (!text.is_empty()).then_some(text);
            // An index counts once, however many pods succeeded at it.
            status.succeeded = nonzero(self.done.count());
        }
        status.uncounted_terminated_pods = Some(self.tally.uncounted());
        status.conditions = (!self.conditions.is_empty()).then(|| self.conditions.clone());
        self.plan.release.extend(self.tally.release.iter().cloned());
        let rest = self.deadline_rest().filter(|rest| !rest.is_zero());
        self.plan.again = [self.plan.again, rest].into_iter().flatten().min();
    }

    fn finish(&mut self, end: &JobCondition) {
        let (reason, message) = (
            end.reason.clone().unwrap_or_default(),
            end.message.clone().unwrap_or_default(),
        );
        let is_success = end.type_ == SUCCESS;
        let kind = if is_success { "Complete" } else { "Failed" };
        let condition = self.condition(kind, "True", &reason, &message);
        self.conditions.push(condition);
        if is_success {
            self.plan.status.completion_time = Some(client::times::whole_seconds(self.now));
            self.tell(client::events::Type::Normal, "Completed", "Job completed");
        } else {
            self.tell(client::events::Type::Warning, &reason, &message);
        }
    }
}

fn restarts(pod: &Pod) -> i32 {
    let Some(status) = &pod.status else { return 0 };
    let all = status
        .container_statuses
        .iter()
        .chain(status.init_container_statuses.iter());
    all.flatten().map(|one| one.restart_count).sum()
}
