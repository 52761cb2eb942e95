//! Decides which pods a ReplicaSet owns, adopts, lets go, creates and deletes, and what its status says. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::core::labels::{ParseExpressionError, Selector, SelectorExt};

use crate::owners::{self, Claim, controller_reference};
use crate::pods::{self, Ranked, deletion_order, pod_of};

/// Creations or deletions in one pass, as upstream's.
pub(super) const BURST_MAX: usize = 500;

/// The pods around a ReplicaSet, sorted by what is to be done.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Active pods that are its own, and, once adopted, its new ones.
    pub active: Vec<Arc<Pod>>,
    /// Its own that are going away.
    pub terminating: Vec<Arc<Pod>>,
    /// To be adopted; also in `active`.
    pub adopt: Vec<Arc<Pod>>,
    /// To be let go.
    pub release: Vec<Arc<Pod>>,
}

/// What to do about the number of pods.
#[derive(Debug)]
pub(super) enum Scale {
    /// It is right.
    Keep,
    /// So many more.
    Create(usize),
    /// These are too many.
    Delete(Vec<Arc<Pod>>),
}

/// The number of pods that is asked for.
pub(super) fn wanted(set: &ReplicaSet) -> i32 {
    set.spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1)
}

/// The parsed selector.
pub(super) fn selector(set: &ReplicaSet) -> Result<Selector, ParseExpressionError> {
    let selector = set
        .spec
        .as_ref()
        .map(|spec| spec.selector.clone())
        .unwrap_or_default();
    Selector::try_from(selector)
}

/// Whether pods with these labels are meant. An empty selector means none.
pub(super) fn selects(set: &ReplicaSet, labels: &BTreeMap<String, String>) -> bool {
    selector(set).is_ok_and(|selector| !selector.selects_all() && selector.matches(labels))
}

/// Sorts `candidates`: the set's own pods and the namespace's orphans.
pub(super) fn claim(set: &ReplicaSet, selector: &Selector, candidates: Vec<Arc<Pod>>) -> Claims {
    let mut claims = Claims::default();
    for pod in candidates {
        if pods::is_finished(&pod) {
            continue;
        }
        let labels = pod.metadata.labels.clone().unwrap_or_default();
        let is_selected = !selector.selects_all() && selector.matches(&labels);
        let claim = owners::claim(&set.metadata, &pod.metadata, is_selected);
        match claim {
            Claim::Keep if pods::is_terminating(&pod) => claims.terminating.push(pod),
            Claim::Keep => claims.active.push(pod),
            Claim::Adopt => {
                claims.adopt.push(pod.clone());
                claims.active.push(pod);
            }
            Claim::Release if pods::is_terminating(&pod) => {}
            Claim::Release => claims.release.push(pod),
            Claim::Ignore => {}
        }
    }
    claims
}

/// Compares the active pods with what is asked for. `related` are all pods of the same Deployment: of two pods, the one
/// with more company on its node goes first.
pub(super) fn scale(
    set: &ReplicaSet,
    active: &[Arc<Pod>],
    related: &[Arc<Pod>],
    now: Timestamp,
) -> Scale {
    let wanted = usize::try_from(wanted(set)).unwrap_or(0);
    if active.len() < wanted {
        return Scale::Create((wanted - active.len()).min(BURST_MAX));
    }
    let surplus = (active.len() - wanted).min(BURST_MAX);
    if surplus == 0 {
        return Scale::Keep;
    }
    let mut company: HashMap<&str, usize> = HashMap::new();
    for pod in related.iter().filter(|pod| pods::is_active(pod)) {
        *company.entry(pods::node(pod)).or_default() += 1;
    }
    let mut ranked: Vec<(Ranked<'_>, &Arc<Pod>)> = active
        .iter()
        .map(|pod| {
            let rank = company.get(pods::node(pod)).copied().unwrap_or(0);
            (Ranked { pod, rank }, pod)
        })
        .collect();
    ranked.sort_by(|a, b| deletion_order(&a.0, &b.0, now));
    Scale::Delete(
        ranked
            .into_iter()
            .take(surplus)
            .map(|(_, pod)| pod.clone())
            .collect(),
    )
}

/// A pod of the template.
pub(super) fn pod(set: &ReplicaSet) -> Pod {
    let template = set
        .spec
        .as_ref()
        .and_then(|spec| spec.template.clone())
        .unwrap_or_default();
    let owner = controller_reference("apps/v1", "ReplicaSet", &set.metadata);
    let mut pod = pod_of(template);
    pod.metadata.generate_name = set.metadata.name.as_ref().map(|name| format!("{name}-"));
    pod.metadata.owner_references = Some(vec![owner]);
    pod
}

/// The failure of a pass, for the status.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// `FailedCreate` or `FailedDelete`.
    pub reason: &'static str,
    /// The server's words.
    pub message: String,
}

/// The status after a pass.
pub(super) fn status(
    set: &ReplicaSet,
    claims: &Claims,
    failure: Option<&Failure>,
    now: Timestamp,
) -> ReplicaSetStatus {
    let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    let min_ready = set
        .spec
        .as_ref()
        .and_then(|spec| spec.min_ready_seconds)
        .unwrap_or(0);
    let template = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
    let template_labels = template
        .and_then(|t| t.metadata.as_ref()?.labels.clone())
        .unwrap_or_default();
    let is_full = |pod: &&Arc<Pod>| {
        let labels = pod.metadata.labels.as_ref();
        template_labels
            .iter()
            .all(|(k, v)| labels.and_then(|all| all.get(k)) == Some(v))
    };
    let active = &claims.active;
    let ready = active.iter().filter(|pod| pods::is_ready(pod)).count();
    let available = active
        .iter()
        .filter(|pod| pods::is_available(pod, min_ready, now))
        .count();
    let old = set.status.clone().unwrap_or_default();
    ReplicaSetStatus {
        replicas: count(active.len()),
        fully_labeled_replicas: Some(count(active.iter().filter(is_full).count())),
        ready_replicas: Some(count(ready)),
        available_replicas: Some(count(available)),
        terminating_replicas: Some(count(claims.terminating.len())),
        observed_generation: set.metadata.generation,
        conditions: conditions(old.conditions, failure, now),
    }
}

fn conditions(
    old: Option<Vec<ReplicaSetCondition>>,
    failure: Option<&Failure>,
    now: Timestamp,
) -> Option<Vec<ReplicaSetCondition>> {
    let mut conditions = old.unwrap_or_default();
    let is_noted = conditions
        .iter()
        .any(|condition| condition.type_ == "ReplicaFailure");
    match failure {
        Some(failure) if !is_noted => conditions.push(ReplicaSetCondition {
            type_: "ReplicaFailure".to_owned(),
            status: "True".to_owned(),
            reason: Some(failure.reason.to_owned()),
            message: Some(failure.message.clone()),
            last_transition_time: Some(client::times::whole_seconds(now)),
        }),
        Some(_) => {}
        None => conditions.retain(|condition| condition.type_ != "ReplicaFailure"),
    }
    (!conditions.is_empty()).then_some(conditions)
}

/// Whether the server has this status already; absent numbers read as zero.
pub(super) fn is_same(old: &ReplicaSetStatus, new: &ReplicaSetStatus) -> bool {
    let number = |n: Option<i32>| n.unwrap_or(0);
    old.replicas == new.replicas
        && number(old.fully_labeled_replicas) == number(new.fully_labeled_replicas)
        && number(old.ready_replicas) == number(new.ready_replicas)
        && number(old.available_replicas) == number(new.available_replicas)
        && old.terminating_replicas == new.terminating_replicas
        && old.observed_generation.unwrap_or(0) == new.observed_generation.unwrap_or(0)
        && old.conditions.as_deref().unwrap_or_default()
            == new.conditions.as_deref().unwrap_or_default()
}

/// When the next pod becomes available by the mere passing of time.
pub(super) fn next_available(
    set: &ReplicaSet,
    claims: &Claims,
    now: Timestamp,
) -> Option<Duration> {
    let min_ready = set
        .spec
        .as_ref()
        .and_then(|spec| spec.min_ready_seconds)
        .unwrap_or(0);
    let waits = claims
        .active
        .iter()
        .filter_map(|pod| pods::available_in(pod, min_ready, now));
    waits.filter(|wait| !wait.is_zero()).min()
}

#[cfg(test)]
mod tests;
