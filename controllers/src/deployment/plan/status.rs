//! The status of a Deployment: counts, Available, Progressing with its deadline, ReplicaFailure. Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentCondition, DeploymentStatus, ReplicaSetCondition,
};

use super::{Plan, Set, Work, history};

const PROGRESSING: &str = "Progressing";
const REASON_TIMED_OUT: &str = "ProgressDeadlineExceeded";
const REASON_AVAILABLE: &str = "NewReplicaSetAvailable";

/// Notes that the Deployment was paused or resumed, so that the deadline does not run on.
pub(super) fn note_pause(work: &mut Work<'_>) {
    let reason = find(&work.conditions, PROGRESSING).and_then(|found| found.reason.clone());
    if deadline(work).is_none() || reason.as_deref() == Some(REASON_TIMED_OUT) {
        return;
    }
    let is_noted = reason.as_deref() == Some("DeploymentPaused");
    let (reason, message) = match (work.is_paused(), is_noted) {
        (true, false) => ("DeploymentPaused", "Deployment is paused"),
        (false, true) => ("DeploymentResumed", "Deployment is resumed"),
        _ => return,
    };
    let condition = condition(work, PROGRESSING, "Unknown", reason, message.to_owned());
    set(&mut work.conditions, condition);
}

/// Whether the server's status and this view agree that the rollout is over.
pub(super) fn is_complete_now(work: &Work<'_>) -> bool {
    let status = work.deployment().status.clone().unwrap_or_default();
    is_complete(work, &status)
}

/// The status that says that the newest set could not be made. None where it says so already, or where no progress is
/// reported at all.
pub(crate) fn not_created(
    deployment: &Deployment,
    message: String,
    now: Timestamp,
) -> Option<DeploymentStatus> {
    deadline_of(deployment)?;
    let mut status = deployment.status.clone().unwrap_or_default();
    let condition = condition_at(now, PROGRESSING, "False", "ReplicaSetCreateError", message);
    set(status.conditions.get_or_insert_default(), condition);
    (deployment.status.as_ref() != Some(&status)).then_some(status)
}

/// Turns the working copy into the plan.
pub(super) fn finish(mut work: Work<'_>, is_rollout: bool) -> Plan {
    note_newest(&mut work);
    let mut status = counts(&work);
    available(&mut work, &status);
    if is_rollout {
        progress(&mut work, &status);
        failures(&mut work);
    }
    let conditions = std::mem::take(&mut work.conditions);
    status.conditions = (!conditions.is_empty()).then_some(conditions);
    let again = if is_rollout {
        deadline_check(&work, &status)
    } else {
        None
    };
    let annotations = work.deployment().metadata.annotations.as_ref();
    let old = annotations.and_then(|all| all.get(history::REVISION));
    let revision = work.revision.take().filter(|new| Some(new) != old);
    Plan {
        sets: work.sets,
        status,
        revision,
        again,
    }
}

/// A newest set that is new, or new to the conditions, is progress.
fn note_newest(work: &mut Work<'_>) {
    let Some(newest) = work.newest.filter(|_| deadline(work).is_some()) else {
        return;
    };
    let name = work.sets[newest]
        .new
        .metadata
        .name
        .clone()
        .unwrap_or_default();
    let (reason, message) = if work.sets[newest].old.is_none() {
        (
            "NewReplicaSetCreated",
            format!("Created new replica set {name:?}"),
        )
    } else if work.is_found && find(&work.conditions, PROGRESSING).is_none() {
        (
            "FoundNewReplicaSet",
            format!("Found new replica set {name:?}"),
        )
    } else {
        return;
    };
    let condition = condition(work, PROGRESSING, "True", reason, message);
    set(&mut work.conditions, condition);
}

fn counts(work: &Work<'_>) -> DeploymentStatus {
    let old = work.deployment().status.clone().unwrap_or_default();
    let sum = |of: fn(&Set) -> i32| work.sets.iter().map(of).sum::<i32>();
    let available = sum(Set::available);
    let ready = sum(|set| {
        set.new
            .status
            .as_ref()
            .and_then(|s| s.ready_replicas)
            .unwrap_or(0)
    });
    let updated = work.newest.map_or(0, |newest| work.sets[newest].actual());
    // Zero is absent on the wire, as upstream writes it.
    let shown = |n: i32| (n != 0).then_some(n);
    DeploymentStatus {
        observed_generation: work.deployment().metadata.generation,
        replicas: shown(sum(Set::actual)),
        updated_replicas: shown(updated),
        ready_replicas: shown(ready),
        available_replicas: shown(available),
        unavailable_replicas: shown((work.total() - available).max(0)),
        terminating_replicas: terminating(work),
        collision_count: old.collision_count,
        conditions: None,
    }
}

/// None where a set's controller does not count them.
fn terminating(work: &Work<'_>) -> Option<i32> {
    let mut sum = 0;
    for set in &work.sets {
        let Some(status) = &set.new.status else {
            continue;
        };
        match status.terminating_replicas {
            Some(count) => sum += count,
            None if status.observed_generation.unwrap_or(0) == 0 => {}
            None => return None,
        }
    }
    Some(sum)
}

fn available(work: &mut Work<'_>, status: &DeploymentStatus) {
    let is_available = status.available_replicas.unwrap_or(0) >= work.sizes.min_available();
    let (value, reason, message) = if is_available {
        (
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        )
    } else {
        (
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        )
    };
    let condition = condition(work, "Available", value, reason, message.to_owned());
    set(&mut work.conditions, condition);
}

fn progress(work: &mut Work<'_>, status: &DeploymentStatus) {
    if deadline(work).is_none() {
        work.conditions
            .retain(|condition| condition.type_ != PROGRESSING);
        return;
    }
    let current = find(&work.conditions, PROGRESSING).cloned();
    let is_over = status.replicas == status.updated_replicas
        && current.as_ref().and_then(|c| c.reason.as_deref()) == Some(REASON_AVAILABLE);
    if is_over {
        return;
    }
    let subject = match work
        .newest
        .and_then(|newest| work.sets[newest].new.metadata.name.as_ref())
    {
        Some(name) => format!("ReplicaSet {name:?}"),
        None => format!(
            "Deployment {:?}",
            work.deployment().metadata.name.clone().unwrap_or_default()
        ),
    };
    if is_complete(work, status) {
        let message = format!("{subject} has successfully progressed.");
        let condition = condition(work, PROGRESSING, "True", REASON_AVAILABLE, message);
        set(&mut work.conditions, condition);
    } else if is_progressing(work, status) {
        let message = format!("{subject} is progressing.");
        let mut condition = condition(work, PROGRESSING, "True", "ReplicaSetUpdated", message);
        if let Some(current) = current {
            if current.status == "True" {
                condition.last_transition_time = current.last_transition_time;
            }
            // Replaced even if status and reason stay: the time of the last update is what the deadline counts from.
            work.conditions
                .retain(|condition| condition.type_ != PROGRESSING);
        }
        set(&mut work.conditions, condition);
    } else if is_timed_out(work) {
        let message = format!("{subject} has timed out progressing.");
        let condition = condition(work, PROGRESSING, "False", REASON_TIMED_OUT, message);
        set(&mut work.conditions, condition);
    }
}

fn is_complete(work: &Work<'_>, status: &DeploymentStatus) -> bool {
    let wanted = work.sizes.wanted;
    status.updated_replicas.unwrap_or(0) == wanted
        && status.replicas.unwrap_or(0) == wanted
        && status.available_replicas.unwrap_or(0) == wanted
        && status.observed_generation.unwrap_or(0)
            >= work.deployment().metadata.generation.unwrap_or(0)
}

fn is_progressing(work: &Work<'_>, new: &DeploymentStatus) -> bool {
    let old = work.deployment().status.clone().unwrap_or_default();
    let n = |value: Option<i32>| value.unwrap_or(0);
    let not_updated = |s: &DeploymentStatus| n(s.replicas) - n(s.updated_replicas);
    n(new.updated_replicas) > n(old.updated_replicas)
        || not_updated(new) < not_updated(&old)
        || n(new.ready_replicas) > n(old.ready_replicas)
        || n(new.available_replicas) > n(old.available_replicas)
}

fn is_timed_out(work: &Work<'_>) -> bool {
    let Some(current) = find(&work.conditions, PROGRESSING) else {
        return false;
    };
    match current.reason.as_deref() {
        Some(REASON_AVAILABLE) => false,
        Some(REASON_TIMED_OUT) => true,
        _ => since_update(work, current) > deadline(work),
    }
}

fn failures(work: &mut Work<'_>) {
    let failure = |set: &Set| -> Option<ReplicaSetCondition> {
        let conditions = set.new.status.as_ref()?.conditions.as_ref()?;
        conditions
            .iter()
            .find(|condition| condition.type_ == "ReplicaFailure")
            .cloned()
    };
    let newest = work.newest.and_then(|newest| failure(&work.sets[newest]));
    let found = newest.or_else(|| work.sets.iter().find_map(failure));
    match found {
        Some(found) => set(
            &mut work.conditions,
            DeploymentCondition {
                type_: found.type_,
                status: found.status,
                reason: found.reason,
                message: found.message,
                last_update_time: found.last_transition_time.clone(),
                last_transition_time: found.last_transition_time,
            },
        ),
        None => work
            .conditions
            .retain(|condition| condition.type_ != "ReplicaFailure"),
    }
}

/// When the deadline may be over, if the rollout still runs.
fn deadline_check(work: &Work<'_>, status: &DeploymentStatus) -> Option<Duration> {
    let limit = deadline(work)?;
    let current = find(
        status.conditions.as_deref().unwrap_or_default(),
        PROGRESSING,
    )?;
    // A rollout that is over, one way or the other, never times out: whatever it lacks now, events will tell.
    let is_over = [Some(REASON_TIMED_OUT), Some(REASON_AVAILABLE)];
    if is_complete(work, status) || is_over.contains(&current.reason.as_deref()) {
        return None;
    }
    let left = limit.saturating_sub(since_update(work, current)?);
    Some(left + Duration::from_secs(1))
}

fn since_update(work: &Work<'_>, condition: &DeploymentCondition) -> Option<Duration> {
    let updated = condition.last_update_time.as_ref()?;
    Some(client::times::between(updated.0, work.snapshot.now))
}

/// None where there is none: the largest number stands for no deadline.
fn deadline(work: &Work<'_>) -> Option<Duration> {
    deadline_of(work.deployment())
}

fn deadline_of(deployment: &Deployment) -> Option<Duration> {
    let seconds = deployment.spec.as_ref()?.progress_deadline_seconds?;
    (seconds != i32::MAX).then(|| Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

fn condition(
    work: &Work<'_>,
    kind: &str,
    status: &str,
    reason: &str,
    message: String,
) -> DeploymentCondition {
    condition_at(work.snapshot.now, kind, status, reason, message)
}

fn condition_at(
    now: Timestamp,
    kind: &str,
    status: &str,
    reason: &str,
    message: String,
) -> DeploymentCondition {
    let now = client::times::whole_seconds(now);
    DeploymentCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_update_time: Some(now.clone()),
        last_transition_time: Some(now),
    }
}

fn find<'a>(all: &'a [DeploymentCondition], kind: &str) -> Option<&'a DeploymentCondition> {
    all.iter().find(|condition| condition.type_ == kind)
}

/// Replaces the condition of the type, unless it says the same already. It moves to the end, as upstream's do.
fn set(all: &mut Vec<DeploymentCondition>, mut new: DeploymentCondition) {
    if let Some(current) = find(all, &new.type_) {
        if current.status == new.status && current.reason == new.reason {
            return;
        }
        if current.status == new.status {
            new.last_transition_time = current.last_transition_time.clone();
        }
    }
    all.retain(|condition| condition.type_ != new.type_);
    all.push(new);
}
