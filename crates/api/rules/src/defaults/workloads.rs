//! Defaults of what makes pods and keeps them.

use serde_json::{Map, Value, json};

use super::pod::template;
use super::{child, default, default_text, each, made};

/// `apps/v1` Deployment.
pub(super) fn deployment(object: &mut Map<String, Value>) {
    let Some(spec) = made(object, "spec") else {
        return;
    };
    default(spec, "replicas", 1);
    default(spec, "revisionHistoryLimit", 10);
    default(spec, "progressDeadlineSeconds", 600);
    if let Some(strategy) = made(spec, "strategy") {
        rolling_update(
            strategy,
            &[("maxUnavailable", json!("25%")), ("maxSurge", json!("25%"))],
        );
    }
    template(spec);
}

/// `apps/v1` ReplicaSet.
pub(super) fn replica_set(object: &mut Map<String, Value>) {
    let Some(spec) = made(object, "spec") else {
        return;
    };
    default(spec, "replicas", 1);
    template(spec);
}

/// `apps/v1` StatefulSet.
pub(super) fn stateful_set(object: &mut Map<String, Value>) {
    let Some(spec) = made(object, "spec") else {
        return;
    };
    default(spec, "replicas", 1);
    default(spec, "revisionHistoryLimit", 10);
    default_text(spec, "podManagementPolicy", "OrderedReady");
    if let Some(strategy) = made(spec, "updateStrategy") {
        rolling_update(strategy, &[("partition", json!(0))]);
    }
    if let Some(policy) = made(spec, "persistentVolumeClaimRetentionPolicy") {
        default_text(policy, "whenDeleted", "Retain");
        default_text(policy, "whenScaled", "Retain");
    }
    for claim in each(spec, "volumeClaimTemplates") {
        default_text(claim, "apiVersion", "v1");
        default_text(claim, "kind", "PersistentVolumeClaim");
        super::storage::persistent_volume_claim(claim);
    }
    template(spec);
}

/// `apps/v1` DaemonSet.
pub(super) fn daemon_set(object: &mut Map<String, Value>) {
    let Some(spec) = made(object, "spec") else {
        return;
    };
    default(spec, "revisionHistoryLimit", 10);
    if let Some(strategy) = made(spec, "updateStrategy") {
        rolling_update(
            strategy,
            &[("maxUnavailable", json!(1)), ("maxSurge", json!(0))],
        );
    }
    template(spec);
}

/// ReplicationController: its selector and labels come from the template's labels.
pub(super) fn replication_controller(object: &mut Map<String, Value>) {
    let labels = object
        .get("spec")
        .and_then(|spec| spec.pointer("/template/metadata/labels"))
        .filter(|labels| labels.as_object().is_some_and(|labels| !labels.is_empty()))
        .cloned();
    if let (Some(labels), Some(metadata)) = (&labels, child(object, "metadata")) {
        default(metadata, "labels", labels.clone());
    }
    let Some(spec) = made(object, "spec") else {
        return;
    };
    default(spec, "replicas", 1);
    if let Some(labels) = labels {
        default(spec, "selector", labels);
    }
    template(spec);
}

/// The strategy is `RollingUpdate` unless another is named, and then has these parameters.
fn rolling_update(strategy: &mut Map<String, Value>, parameters: &[(&str, Value)]) {
    default_text(strategy, "type", "RollingUpdate");
    if super::text(strategy, "type") != "RollingUpdate" {
        return;
    }
    if let Some(update) = made(strategy, "rollingUpdate") {
        for (field, value) in parameters {
            default(update, field, value.clone());
        }
    }
}
