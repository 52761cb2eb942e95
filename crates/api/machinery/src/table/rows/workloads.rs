//! Rows of what makes pods and keeps them.

use jiff::Timestamp;
use serde_json::Value;

use super::text::{NONE, age, at, containers, either, labels, list, number, selector};

/// Deployment.
pub(super) fn deployment(object: &Value, now: Timestamp) -> Vec<Value> {
    let ready = format!(
        "{}/{}",
        number(object, "/status/readyReplicas"),
        number(object, "/spec/replicas")
    );
    let [names, images] = template(object);
    vec![
        ready.into(),
        number(object, "/status/updatedReplicas").into(),
        number(object, "/status/availableReplicas").into(),
        age(object, now),
        names,
        images,
        selector(object.pointer("/spec/selector")).into(),
    ]
}

/// ReplicaSet and ReplicationController, whose selector is a plain map.
pub(super) fn replica_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let [names, images] = template(object);
    let chosen = object.pointer("/spec/selector");
    let is_map = at(object, "/kind") == "ReplicationController";
    vec![
        number(object, "/spec/replicas").into(),
        number(object, "/status/replicas").into(),
        number(object, "/status/readyReplicas").into(),
        age(object, now),
        names,
        images,
        if is_map {
            labels(chosen)
        } else {
            selector(chosen)
        }
        .into(),
    ]
}

/// StatefulSet.
pub(super) fn stateful_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let ready = format!(
        "{}/{}",
        number(object, "/status/readyReplicas"),
        number(object, "/spec/replicas")
    );
    let [names, images] = template(object);
    vec![ready.into(), age(object, now), names, images]
}

/// DaemonSet.
pub(super) fn daemon_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let [names, images] = template(object);
    vec![
        number(object, "/status/desiredNumberScheduled").into(),
        number(object, "/status/currentNumberScheduled").into(),
        number(object, "/status/numberReady").into(),
        number(object, "/status/updatedNumberScheduled").into(),
        number(object, "/status/numberAvailable").into(),
        labels(object.pointer("/spec/template/spec/nodeSelector")).into(),
        age(object, now),
        names,
        images,
        selector(object.pointer("/spec/selector")).into(),
    ]
}

/// ControllerRevision.
pub(super) fn controller_revision(object: &Value, now: Timestamp) -> Vec<Value> {
    let owners = list(object, "/metadata/ownerReferences").iter();
    let controller = owners
        .into_iter()
        .find(|owner| owner.get("controller") == Some(&Value::Bool(true)));
    let controller = controller.map_or_else(
        || NONE.to_owned(),
        |owner| {
            let (group, kind) = (at(owner, "/apiVersion"), at(owner, "/kind").to_lowercase());
            match group.split_once('/') {
                Some((group, _)) => format!("{kind}.{group}/{}", at(owner, "/name")),
                None => format!("{kind}/{}", at(owner, "/name")),
            }
        },
    );
    vec![
        controller.into(),
        number(object, "/revision").into(),
        age(object, now),
    ]
}

/// PodDisruptionBudget.
pub(super) fn pod_disruption_budget(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        either(object.pointer("/spec/minAvailable"), "N/A").into(),
        either(object.pointer("/spec/maxUnavailable"), "N/A").into(),
        number(object, "/status/disruptionsAllowed").into(),
        age(object, now),
    ]
}

fn template(object: &Value) -> [Value; 2] {
    containers(object.pointer("/spec/template/spec"))
}
