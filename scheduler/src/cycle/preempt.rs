//! Carries out a preemption: marks the victims as disrupted, deletes them and says so.

use client::events::Type;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::json;

use super::scheduler::Shared;
use crate::framework::PodInfo;

/// Makes room for `pod` on `node`. A victim that cannot be removed is only logged: the pod is
/// tried again anyway, and finds another remedy then.
pub(super) async fn evict(
    shared: &Shared,
    pod: &PodInfo,
    node: &str,
    victims: &[std::sync::Arc<PodInfo>],
) {
    for victim in victims.iter().filter(|v| !v.is_terminating()) {
        match remove(shared, victim).await {
            Ok(()) => {
                let text = format!("Preempted by pod {} on node {node}", pod.uid);
                shared
                    .recorder
                    .event(&*victim.pod, Type::Normal, "Preempted", text);
            }
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {}
            Err(error) => {
                tracing::warn!(victim = %victim.key(), error = %base::report(&error), "victim not removed");
            }
        }
    }
}

async fn remove(shared: &Shared, victim: &PodInfo) -> Result<(), kube::Error> {
    let pods: Api<Pod> = Api::namespaced(shared.client.clone(), &victim.namespace);
    let mut condition = json!({
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "PreemptionByScheduler",
        "message": format!("{}: preempting to accommodate a higher priority pod", shared.profile.scheduler_name),
        "lastProbeTime": null,
        "lastTransitionTime": client::times::now(),
    });
    if let Some(generation) = victim.pod.metadata.generation {
        condition["observedGeneration"] = generation.into();
    }
    let patch = json!({"metadata": {"uid": victim.uid}, "status": {"conditions": [condition]}});
    let params = PatchParams {
        field_manager: Some(crate::NAME.to_owned()),
        ..PatchParams::default()
    };
    pods.patch_status(&victim.name, &params, &Patch::Strategic(patch))
        .await?;
    let preconditions = Preconditions {
        uid: Some(victim.uid.clone()),
        resource_version: None,
    };
    let params = DeleteParams {
        preconditions: Some(preconditions),
        ..DeleteParams::default()
    };
    pods.delete(&victim.name, &params).await.map(|_| ())
}
