//! Decides what a Job's pods and status should be. Pure.

mod claims;
mod end;
mod indexes;
mod made;
mod size;
mod tally;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::core::labels::{Selector, SelectorExt};

pub(super) use self::claims::{Fate, adopt, claim, fate, release, uncount};
use self::indexes::Indexes;
use self::made::index;
use self::tally::Tally;
use crate::pods;

/// The finalizer of pods that are not counted yet.
pub(super) const FINALIZER: &str = "batch.kubernetes.io/job-tracking";

/// What to do.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The wanted status, to be written before anything else.
    pub(super) status: JobStatus,
    /// Pods that are counted, or need not be: their finalizer goes.
    pub(super) release: Vec<Arc<Pod>>,
    /// Pods to create.
    pub(super) create: Vec<Pod>,
    /// Pods to delete; those in `release`, too, are not counted.
    pub(super) delete: Vec<Arc<Pod>>,
    /// Whether the creations and deletions are to be seen before the next ones. Not those of a job that has come to its
    /// end: they must not take the place of creations that it still has to see.
    pub(super) is_expected: bool,
    /// When to look again although nothing happens.
    pub(super) again: Option<Duration>,
    /// What to tell, as type, reason and message.
    pub(super) events: Vec<(client::events::Type, String, String)>,
}

/// Whether pods with these labels are meant. An empty selector means none.
pub(super) fn selects(job: &Job, labels: &BTreeMap<String, String>) -> bool {
    let selector = job
        .spec
        .as_ref()
        .and_then(|spec| spec.selector.clone())
        .unwrap_or_default();
    Selector::try_from(selector).is_ok_and(|one| !one.selects_all() && one.matches(labels))
}

/// The condition that ends the job, once it is there.
pub(super) fn finished(job: &Job) -> Option<&JobCondition> {
    let mut conditions = job
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions
        .find(|one| ["Complete", "Failed"].contains(&one.type_.as_str()) && one.status == "True")
}

/// What the job asks for that this controller does not do.
pub(super) fn unsupported(job: &Job) -> Option<&'static str> {
    let spec = job.spec.as_ref()?;
    if spec.pod_failure_policy.is_some() {
        Some("spec.podFailurePolicy")
    } else if spec.success_policy.is_some() {
        Some("spec.successPolicy")
    } else if spec.backoff_limit_per_index.is_some() {
        Some("spec.backoffLimitPerIndex")
    } else {
        None
    }
}

/// Makes the plan. `pods` are the job's own; `may_act` is false while earlier creations or deletions are not seen yet.
pub(super) fn plan(job: &Job, pods: &[Arc<Pod>], may_act: bool, now: Timestamp) -> Plan {
    let mut work = Work::new(job, pods, now);
    if finished(job).is_some() {
        work.clean_up(pods);
        return work.plan;
    }
    let is_going = job.metadata.deletion_timestamp.is_some();
    let may_size = may_act && !is_going;
    work.start();
    let mut end = work.noted().or_else(|| work.failure());
    if end.is_none() {
        if may_size {
            work.size();
        }
        // Only now: what is not needed for success must not run on, and must not count.
        end = work.success();
        if end.is_none() && may_size {
            work.suspension();
        }
    }
    match &end {
        Some(end) => work.wind_down(end),
        None if is_going => work.let_go(),
        None => {}
    }
    // A pod that is not seen yet would outlive the job's end.
    work.settle(end.filter(|_| may_act));
    work.plan
}

fn has_finalizer(pod: &Pod) -> bool {
    pod.metadata
        .finalizers
        .iter()
        .flatten()
        .any(|name| name == FINALIZER)
}

struct Work<'a> {
    job: &'a Job,
    spec: JobSpec,
    now: Timestamp,
    tally: Tally,
    active: Vec<Arc<Pod>>,
    terminating: usize,
    done: Indexes,
    conditions: Vec<JobCondition>,
    plan: Plan,
}

impl<'a> Work<'a> {
    fn new(job: &'a Job, pods: &[Arc<Pod>], now: Timestamp) -> Self {
        let spec = job.spec.clone().unwrap_or_default();
        let status = job.status.clone().unwrap_or_default();
        let tally = Tally::of(job, pods);
        let is_live = |pod: &&Arc<Pod>| !pods::is_finished(pod);
        let (terminating, active): (Vec<_>, Vec<_>) = pods
            .iter()
            .filter(is_live)
            .cloned()
            .partition(|pod| pods::is_terminating(pod));
        let limit = spec.completions.unwrap_or(0);
        let known = status.completed_indexes.as_deref().unwrap_or_default();
        // An indexed job may shrink; what is beyond its size now counts no longer.
        let mut done = Indexes::parse(known).below(limit);
        let succeeded = pods.iter().filter(|pod| pods::phase(pod) == "Succeeded");
        done.extend(
            succeeded
                .filter_map(|pod| index(pod))
                .filter(|one| *one < limit),
        );
        Self {
            job,
            now,
            tally,
            active,
            terminating: terminating.len(),
            done,
            conditions: status.conditions.clone().unwrap_or_default(),
            plan: Plan {
                status,
                ..Plan::default()
            },
            spec,
        }
    }

    fn is_indexed(&self) -> bool {
        self.spec.completion_mode.as_deref() == Some("Indexed")
    }

    fn is_suspended(&self) -> bool {
        self.spec.suspend == Some(true)
    }

    fn succeeded(&self) -> i32 {
        if self.is_indexed() {
            self.done.count()
        } else {
            self.tally.succeeded()
        }
    }

    fn start(&mut self) {
        if self.plan.status.start_time.is_none() && !self.is_suspended() {
            self.plan.status.start_time = Some(client::times::whole_seconds(self.now));
        }
    }

    /// Keeps the Suspended condition true.
    fn suspension(&mut self) {
        let known = self
            .conditions
            .iter()
            .position(|one| one.type_ == "Suspended");
        let is_noted = known.is_some_and(|place| self.conditions[place].status == "True");
        let (status, reason, message) = match (self.is_suspended(), is_noted) {
            (true, false) => ("True", "JobSuspended", "Job suspended"),
            (false, true) => ("False", "JobResumed", "Job resumed"),
            _ => return,
        };
        let condition = self.condition("Suspended", status, reason, message);
        match known {
            Some(place) => self.conditions[place] = condition,
            None => self.conditions.push(condition),
        }
        let event = if self.is_suspended() {
            "Suspended"
        } else {
            "Resumed"
        };
        self.tell(client::events::Type::Normal, event, message);
        self.plan.status.start_time =
            (!self.is_suspended()).then(|| client::times::whole_seconds(self.now));
    }

    fn tell(&mut self, kind: client::events::Type, reason: &str, message: &str) {
        self.plan
            .events
            .push((kind, reason.to_owned(), message.to_owned()));
    }

    fn condition(&self, kind: &str, status: &str, reason: &str, message: &str) -> JobCondition {
        let now = client::times::whole_seconds(self.now);
        JobCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_probe_time: Some(now.clone()),
            last_transition_time: Some(now),
        }
    }
}

#[cfg(test)]
mod tests;
