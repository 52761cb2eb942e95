//! What a namespace's status says about its deletion, how long to wait for what remains, and what should not remain. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition, Pod};

use crate::pods::is_finished;

/// The wait for content that finalizers keep.
const FINALIZERS_WAIT_SECONDS: i64 = 15;
/// The finalizer of this controller.
const FINALIZER: &str = "kubernetes";

/// The outcome of one resource.
#[derive(Clone, Debug, Default)]
pub(super) struct Remains {
    /// `plural.group`.
    pub resource: String,
    /// The same with its version, as Go prints it.
    pub versioned: String,
    /// Objects that are still there.
    pub count: usize,
    /// How many of them wait for each finalizer.
    pub finalizers: BTreeMap<String, usize>,
}

/// The outcome of a pass.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    /// Resources with something left.
    pub remains: Vec<Remains>,
    /// What could not be deleted, and why.
    pub errors: Vec<String>,
    /// Group versions that discovery knows nothing of.
    pub undiscovered: Vec<String>,
    /// The longest grace period of the pods, in seconds.
    pub grace_seconds: i64,
    /// Whether only pods were looked at, because some are left.
    pub is_pods_only: bool,
}

/// The longest time that running pods may take.
pub(super) fn grace_seconds(pods: &[Pod]) -> i64 {
    let running = pods.iter().filter(|pod| !is_finished(pod));
    let graces = running.filter_map(|pod| pod.spec.as_ref()?.termination_grace_period_seconds);
    graces.max().unwrap_or(0).max(0)
}

/// How long to wait before the next pass, in seconds; None if nothing is left. What has no reason to be left is an error, so
/// that it shows in the conditions and the passes become rarer.
pub(super) fn judge(
    outcome: &mut Outcome,
    namespace: &str,
    since_deletion_seconds: i64,
) -> Option<i64> {
    // Nothing but pods ends gracefully, and where any are left, nothing else was looked at.
    let grace = outcome.grace_seconds;
    let is_in_grace = outcome.is_pods_only && grace > since_deletion_seconds;
    let mut wait = None;
    for remains in &outcome.remains {
        let estimate = if is_in_grace {
            grace
        } else if remains.finalizers.is_empty() {
            outcome.errors.push(format!(
                "unexpected items still remain in namespace: {namespace} for gvr: {}",
                remains.versioned
            ));
            0
        } else {
            FINALIZERS_WAIT_SECONDS
        };
        wait = wait.max(Some(estimate));
    }
    wait
}

/// The finalizers without ours; None if ours is not there.
pub(super) fn without_ours(namespace: &Namespace) -> Option<Vec<String>> {
    let finalizers = namespace.spec.as_ref()?.finalizers.as_ref()?;
    let others = || {
        finalizers
            .iter()
            .filter(|name| *name != FINALIZER)
            .cloned()
            .collect()
    };
    finalizers.iter().any(|name| name == FINALIZER).then(others)
}

/// Writes the outcome into the conditions. True if any changed.
pub(super) fn note(namespace: &mut Namespace, outcome: &Outcome, now: Timestamp) -> bool {
    let conditions = namespace
        .status
        .get_or_insert_default()
        .conditions
        .get_or_insert_default();
    let mut is_changed = false;
    for (kind, failed, good) in texts(outcome) {
        let status = if failed.is_some() { "True" } else { "False" };
        let (reason, message) = failed.unwrap_or((good.0, good.1.to_owned()));
        let new = NamespaceCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: Some(client::times::whole_seconds(now)),
        };
        match conditions
            .iter_mut()
            .find(|condition| condition.type_ == kind)
        {
            None => conditions.push(new),
            Some(old)
                if old.status == new.status
                    && old.reason == new.reason
                    && old.message == new.message =>
            {
                continue;
            }
            Some(old) => {
                let since = (old.status == new.status).then(|| old.last_transition_time.clone());
                *old = new;
                if let Some(since) = since {
                    old.last_transition_time = since;
                }
            }
        }
        is_changed = true;
    }
    is_changed
}

type Text = (
    &'static str,
    Option<(&'static str, String)>,
    (&'static str, &'static str),
);

/// The five conditions: type, reason and message where something is wrong, and where all is well.
fn texts(outcome: &Outcome) -> [Text; 5] {
    // While pods are left the rest has not been looked at, and upstream says nothing about it.
    let counted: &[Remains] = if outcome.is_pods_only {
        &[]
    } else {
        &outcome.remains
    };
    [
        (
            "NamespaceDeletionDiscoveryFailure",
            undiscovered(outcome),
            (
                "ResourcesDiscovered",
                "All resources successfully discovered",
            ),
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            None,
            (
                "ParsedGroupVersions",
                "All legacy kube types successfully parsed",
            ),
        ),
        (
            "NamespaceDeletionContentFailure",
            failed(outcome),
            (
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization",
            ),
        ),
        (
            "NamespaceContentRemaining",
            remaining(counted),
            ("ContentRemoved", "All content successfully removed"),
        ),
        (
            "NamespaceFinalizersRemaining",
            finalizers(counted),
            (
                "ContentHasNoFinalizers",
                "All content-preserving finalizers finished",
            ),
        ),
    ]
}

type Failed = Option<(&'static str, String)>;

fn undiscovered(outcome: &Outcome) -> Failed {
    let (count, list) = (outcome.undiscovered.len(), outcome.undiscovered.join(", "));
    let text = format!("Discovery failed for some groups, {count} failing: {list}");
    (count > 0).then_some(("DiscoveryFailed", text))
}

fn failed(outcome: &Outcome) -> Failed {
    let mut errors = outcome.errors.clone();
    errors.sort();
    let (count, list) = (errors.len(), errors.join(", "));
    let text = format!("Failed to delete all resource types, {count} remaining: {list}");
    (count > 0).then_some(("ContentDeletionFailed", text))
}

fn remaining(counted: &[Remains]) -> Failed {
    let line = |one: &Remains| format!("{} has {} resource instances", one.resource, one.count);
    let mut lines: Vec<String> = counted.iter().map(line).collect();
    lines.sort();
    let text = format!("Some resources are remaining: {}", lines.join(", "));
    (!lines.is_empty()).then_some(("SomeResourcesRemain", text))
}

fn finalizers(counted: &[Remains]) -> Failed {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, count) in counted.iter().flat_map(|one| &one.finalizers) {
        *counts.entry(name).or_default() += count;
    }
    let line = |(name, count): (&&str, &usize)| format!("{name} in {count} resource instances");
    let lines: Vec<String> = counts.iter().map(line).collect();
    let text = format!(
        "Some content in the namespace has finalizers remaining: {}",
        lines.join(", ")
    );
    (!lines.is_empty()).then_some(("SomeFinalizersRemain", text))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::api::core::v1::{Namespace, NamespaceSpec, Pod, PodSpec, PodStatus};

    use super::{Outcome, Remains, grace_seconds, judge, note, without_ours};

    fn remains(finalizers: &[&str]) -> Remains {
        Remains {
            resource: "pods.".into(),
            versioned: "/v1, Resource=pods".into(),
            count: 2,
            finalizers: finalizers
                .iter()
                .map(|name| ((*name).to_owned(), 1))
                .collect(),
        }
    }

    #[test]
    fn waits_for_graces_then_for_finalizers() {
        let check = |remains: Vec<Remains>, since| {
            let mut outcome = Outcome {
                grace_seconds: 30,
                is_pods_only: true,
                remains,
                ..Outcome::default()
            };
            (judge(&mut outcome, "n", since), outcome.errors.len())
        };
        assert_eq!(check(Vec::new(), 0), (None, 0));
        assert_eq!(check(vec![remains(&[])], 5), (Some(30), 0));
        assert_eq!(check(vec![remains(&["x"])], 31), (Some(15), 0));
        assert_eq!(
            check(vec![remains(&[]), remains(&["x"])], 31),
            (Some(15), 1)
        );
    }

    #[test]
    fn what_has_no_reason_to_remain_is_an_error() {
        let mut outcome = Outcome {
            grace_seconds: 30,
            remains: vec![remains(&[])],
            ..Outcome::default()
        };
        judge(&mut outcome, "n", 5);
        let text = "unexpected items still remain in namespace: n for gvr: /v1, Resource=pods";
        assert_eq!(outcome.errors, [text]);
        let mut namespace = Namespace::default();
        note(&mut namespace, &outcome, Timestamp::UNIX_EPOCH);
        let conditions = namespace.status.unwrap().conditions.unwrap();
        assert_eq!(conditions[2].type_, "NamespaceDeletionContentFailure");
        assert_eq!(conditions[2].status, "True");
        assert!(conditions[2].message.as_deref().unwrap().contains(text));
    }

    #[test]
    fn finished_pods_have_no_grace() {
        let pod = |phase: &str, grace| Pod {
            spec: Some(PodSpec {
                termination_grace_period_seconds: Some(grace),
                ..PodSpec::default()
            }),
            status: Some(PodStatus {
                phase: Some(phase.into()),
                ..PodStatus::default()
            }),
            ..Pod::default()
        };
        assert_eq!(
            grace_seconds(&[pod("Running", 30), pod("Succeeded", 90)]),
            30
        );
    }

    #[test]
    fn conditions_tell_what_remains_and_settle() {
        let mut namespace = Namespace::default();
        let outcome = Outcome {
            remains: vec![remains(&["f"])],
            ..Outcome::default()
        };
        assert!(note(&mut namespace, &outcome, Timestamp::UNIX_EPOCH));
        assert!(!note(&mut namespace, &outcome, Timestamp::now()));
        let conditions = namespace
            .status
            .as_ref()
            .unwrap()
            .conditions
            .as_ref()
            .unwrap();
        let text = |place: usize| conditions[place].message.clone().unwrap();
        assert_eq!(conditions.len(), 5);
        assert_eq!(
            text(3),
            "Some resources are remaining: pods. has 2 resource instances"
        );
        assert_eq!(
            text(4),
            "Some content in the namespace has finalizers remaining: f in 1 resource instances"
        );
    }

    #[test]
    fn only_our_finalizer_is_taken_off() {
        let with = |finalizers: &[&str]| Namespace {
            spec: Some(NamespaceSpec {
                finalizers: Some(finalizers.iter().map(|name| (*name).to_owned()).collect()),
            }),
            ..Namespace::default()
        };
        assert_eq!(
            without_ours(&with(&["kubernetes", "x"])),
            Some(vec!["x".to_owned()])
        );
        assert_eq!(without_ours(&with(&["x"])), None);
        assert_eq!(without_ours(&with(&[])), None);
    }
}
