//! Writes down that a pod could not be placed: its PodScheduled condition and an event.

use client::events::Type;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use super::scheduler::Shared;
use super::term::{Cut, Term, WRITE_TIME_MAX};
use crate::framework::PodInfo;

/// What to write.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// `Unschedulable` or `SchedulerError`.
    pub(super) reason: &'static str,
    /// For the user.
    pub(super) message: String,
    /// The node to keep for the pod; `Some("")` gives a kept one up.
    pub(super) nominated: Option<String>,
}

/// Writes the event and, where it says something new, the condition.
pub(super) async fn record(shared: &Shared, term: &Term, pod: &PodInfo, failure: &Failure) {
    if term.has_ended() {
        return;
    }
    shared.recorder.event(
        &*pod.pod,
        Type::Warning,
        "FailedScheduling",
        failure.message.clone(),
    );
    let Some(patch) = patch(pod, failure, client::times::now().0.to_string()) else {
        return;
    };
    let patch = Patch::Strategic(patch);
    let pods: Api<Pod> = Api::namespaced(shared.client.clone(), &pod.namespace);
    let params = PatchParams {
        field_manager: Some(crate::NAME.to_owned()),
        ..PatchParams::default()
    };
    let write = pods.patch_status(&pod.name, &params, &patch);
    match term.bound(WRITE_TIME_MAX, write).await {
        Ok(Ok(_)) => {}
        Ok(Err(kube::Error::Api(status))) if status.is_not_found() || status.is_conflict() => {}
        Ok(Err(error)) => {
            tracing::warn!(pod = %pod.key(), error = %base::report(&error), "condition not written")
        }
        Err(Cut::TooLate) => tracing::warn!(pod = %pod.key(), "condition not written in time"),
        Err(Cut::TermEnded) => {}
    }
}

/// The strategic merge patch of the pod, or None where it says all of this already.
fn patch(pod: &PodInfo, failure: &Failure, now: String) -> Option<Value> {
    let conditions = pod
        .status()
        .and_then(|s| s.conditions.as_deref())
        .unwrap_or_default();
    let old = conditions.iter().find(|c| c.type_ == "PodScheduled");
    let generation = pod.pod.metadata.generation;
    let same_condition = old.is_some_and(|c| {
        c.status == "False"
            && c.reason.as_deref() == Some(failure.reason)
            && c.message.as_deref() == Some(&failure.message)
            && (c.observed_generation.is_none() || c.observed_generation == generation)
    });
    let nominated = failure
        .nominated
        .as_deref()
        .filter(|n| *n != pod.nominated_node().unwrap_or_default());
    if same_condition && nominated.is_none() {
        return None;
    }
    let since = match old
        .filter(|c| c.status == "False")
        .and_then(|c| c.last_transition_time.as_ref())
    {
        Some(time) => time.0.to_string(),
        None => now,
    };
    let mut condition = json!({
        "type": "PodScheduled",
        "status": "False",
        "reason": failure.reason,
        "message": failure.message,
        "lastProbeTime": null,
        "lastTransitionTime": since,
    });
    if let Some(generation) = generation {
        condition["observedGeneration"] = generation.into();
    }
    let mut status = json!({"conditions": [condition]});
    match nominated {
        Some("") => status["nominatedNodeName"] = Value::Null,
        Some(node) => status["nominatedNodeName"] = node.into(),
        None => {}
    }
    // The uid keeps the patch away from a pod of the same name that came later.
    Some(json!({"metadata": {"uid": pod.uid}, "status": status}))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Failure, patch};
    use crate::testing::pod_with_cpu;

    #[test]
    fn writes_only_what_is_new() {
        let pod = pod_with_cpu("p", "1");
        let failure = Failure {
            reason: "Unschedulable",
            message: "m".to_owned(),
            nominated: Some(String::new()),
        };
        let first = patch(&pod, &failure, "2026-01-01T00:00:00Z".to_owned()).expect("a patch");
        assert_eq!(first["metadata"], json!({"uid": "uid-p"}));
        assert!(first["status"].get("nominatedNodeName").is_none());
        let mut known = (*pod.pod).clone();
        known.status = Some(serde_json::from_value(first["status"].clone()).expect("a status"));
        let known = crate::framework::PodInfo::new(std::sync::Arc::new(known));
        assert_eq!(
            patch(&known, &failure, "2027-01-01T00:00:00Z".to_owned()),
            None
        );
        let nominated = Failure {
            nominated: Some("n".to_owned()),
            ..failure
        };
        let again = patch(&known, &nominated, "2027-01-01T00:00:00Z".to_owned()).expect("a patch");
        assert_eq!(again["status"]["nominatedNodeName"], "n");
        assert_eq!(
            again["status"]["conditions"][0]["lastTransitionTime"],
            "2026-01-01T00:00:00Z"
        );
    }
}
