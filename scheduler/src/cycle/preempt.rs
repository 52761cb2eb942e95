//! Carries out a preemption: marks the victims as disrupted, deletes them and says so.

use std::sync::Arc;

use client::events::Type;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::json;

use super::scheduler::Shared;
use super::term::{Cut, Term, WRITE_TIME_MAX};
use crate::framework::PodInfo;

/// How far an eviction came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Eviction {
    /// Every victim is going or gone.
    Complete,
    /// One could not be removed; those after it were left alone.
    Incomplete,
}

/// Why a victim was not removed. Worth another try, which chooses anew.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// The api-server was not reached, or refused.
    #[error("write to the api-server")]
    Write(#[from] kube::Error),
    /// The write was not waited for.
    #[error("wait for the api-server")]
    Cut(#[from] Cut),
}

/// Makes room for `pod` on `node`. After a failure nobody else has to go: the pod finds another
/// remedy.
pub(super) async fn evict(
    shared: &Shared,
    term: &Term,
    pod: &PodInfo,
    node: &str,
    victims: &[Arc<PodInfo>],
) -> Eviction {
    for victim in victims.iter().filter(|v| !v.is_terminating()) {
        match remove(shared, term, victim).await {
            Ok(()) => {
                let text = format!("Preempted by pod {} on node {node}", pod.uid);
                shared
                    .recorder
                    .event(&*victim.pod, Type::Normal, "Preempted", text);
            }
            // It went away by itself.
            Err(Error::Write(kube::Error::Api(status)))
                if status.is_not_found() || status.is_conflict() => {}
            Err(Error::Cut(Cut::TermEnded)) => return Eviction::Incomplete,
            Err(error) => {
                tracing::warn!(victim = %victim.key(), error = %base::report(&error), "victim not removed");
                return Eviction::Incomplete;
            }
        }
    }
    Eviction::Complete
}

async fn remove(shared: &Shared, term: &Term, victim: &PodInfo) -> Result<(), Error> {
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
    let patch = Patch::Strategic(patch);
    let params = PatchParams {
        field_manager: Some(crate::NAME.to_owned()),
        ..PatchParams::default()
    };
    let mark = pods.patch_status(&victim.name, &params, &patch);
    term.bound(WRITE_TIME_MAX, mark).await??;
    let preconditions = Preconditions {
        uid: Some(victim.uid.clone()),
        resource_version: None,
    };
    let params = DeleteParams {
        preconditions: Some(preconditions),
        ..DeleteParams::default()
    };
    let delete = pods.delete(&victim.name, &params);
    term.bound(WRITE_TIME_MAX, delete).await??;
    Ok(())
}
