//! Refuses pods whose placement depends on something this scheduler cannot weigh yet.
//!
//! Placing such a pod without looking would break a promise made to its owner; so it stays
//! Pending, and says why.

use crate::cache::Snapshot;
use crate::framework::points::{NodeNames, Plugin, PreFilter};
use crate::framework::{CycleState, EventSet, PodInfo, Status};

/// See the module.
pub(super) struct Unsupported;

impl Plugin for Unsupported {
    fn name(&self) -> &'static str {
        "Unsupported"
    }
    fn events(&self) -> EventSet {
        EventSet::POD_UPDATE
    }
}

impl PreFilter for Unsupported {
    fn pre_filter(
        &self,
        _: &mut CycleState,
        pod: &PodInfo,
        _: &Snapshot,
    ) -> Result<NodeNames, Status> {
        match missing(pod) {
            Some(what) => Err(Status::unresolvable(format!(
                "this scheduler does not support {what} yet"
            ))),
            None => Err(Status::SKIP),
        }
    }
}

fn missing(pod: &PodInfo) -> Option<&'static str> {
    let spec = pod.spec()?;
    let claims = |v: &k8s_openapi::api::core::v1::Volume| {
        v.persistent_volume_claim.is_some() || v.ephemeral.is_some()
    };
    if spec.volumes.iter().flatten().any(claims) {
        return Some("persistent volume claims");
    }
    if spec.resource_claims.as_ref().is_some_and(|c| !c.is_empty()) {
        return Some("resource claims");
    }
    if pod.terms.by_namespace_labels {
        return Some("affinity between pods by the labels of namespaces");
    }
    None
}
