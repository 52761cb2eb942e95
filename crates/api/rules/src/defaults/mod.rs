//! Fills in what a user may leave out, as upstream does when it decodes an object. Applying the
//! defaults twice is the same as once; a field that is set is never touched.
//!
//! Mirrors the defaulting of kube-apiserver 1.36 for the kinds that it serves by default.

mod batch;
mod extensions;
mod pod;
mod pod_level;
mod policy;
mod service;
mod storage;
#[cfg(test)]
mod tests;
mod workloads;

use api_meta::Gvk;
use serde_json::{Map, Value};

/// Defaults of one kind, on the whole object.
type Apply = fn(&mut Map<String, Value>);

/// Group, kind and its defaults. A kind that is not listed has none beyond its schema.
const KINDS: &[(&str, &str, Apply)] = &[
    ("", "Pod", pod::pod),
    ("", "PodTemplate", pod::pod_template_object),
    (
        "",
        "ReplicationController",
        workloads::replication_controller,
    ),
    ("", "Service", service::service),
    ("", "Endpoints", service::endpoints),
    ("", "Namespace", policy::namespace),
    ("", "Secret", policy::secret),
    ("", "LimitRange", policy::limit_range),
    ("", "PersistentVolume", storage::persistent_volume),
    (
        "",
        "PersistentVolumeClaim",
        storage::persistent_volume_claim,
    ),
    ("apps", "Deployment", workloads::deployment),
    ("apps", "ReplicaSet", workloads::replica_set),
    ("apps", "StatefulSet", workloads::stateful_set),
    ("apps", "DaemonSet", workloads::daemon_set),
    ("batch", "Job", batch::job),
    ("batch", "CronJob", batch::cron_job),
    ("discovery.k8s.io", "EndpointSlice", service::endpoint_slice),
    ("networking.k8s.io", "NetworkPolicy", policy::network_policy),
    (
        "rbac.authorization.k8s.io",
        "RoleBinding",
        policy::role_binding,
    ),
    (
        "rbac.authorization.k8s.io",
        "ClusterRoleBinding",
        policy::role_binding,
    ),
    ("scheduling.k8s.io", "PriorityClass", policy::priority_class),
    (
        "admissionregistration.k8s.io",
        "ValidatingWebhookConfiguration",
        extensions::validating_webhooks,
    ),
    (
        "admissionregistration.k8s.io",
        "MutatingWebhookConfiguration",
        extensions::mutating_webhooks,
    ),
    (
        "autoscaling",
        "HorizontalPodAutoscaler",
        extensions::autoscaler,
    ),
    (
        "flowcontrol.apiserver.k8s.io",
        "FlowSchema",
        extensions::flow_schema,
    ),
    (
        "flowcontrol.apiserver.k8s.io",
        "PriorityLevelConfiguration",
        extensions::priority_level,
    ),
    (
        "resource.k8s.io",
        "ResourceClaim",
        extensions::resource_claim,
    ),
    (
        "resource.k8s.io",
        "ResourceClaimTemplate",
        extensions::resource_claim_template,
    ),
    ("storage.k8s.io", "StorageClass", storage::storage_class),
    ("storage.k8s.io", "CSIDriver", storage::csi_driver),
];

/// Applies the defaults of `gvk` to `object`. What is not an object is left alone: its type error is
/// reported elsewhere.
pub fn apply(gvk: &Gvk, object: &mut Value) {
    let found = KINDS
        .iter()
        .find(|(group, kind, _)| *group == gvk.group && *kind == gvk.kind);
    if let (Some((_, _, apply)), Some(object)) = (found, object.as_object_mut()) {
        apply(object);
    }
}

/// Sets `field` unless it is there. An explicit null counts as left out, as in a decoded pointer.
fn default(object: &mut Map<String, Value>, field: &str, value: impl Into<Value>) {
    if object.get(field).is_none_or(Value::is_null) {
        object.insert(field.to_owned(), value.into());
    }
}

/// As [`default`] for a string, where the empty one counts as left out.
fn default_text(object: &mut Map<String, Value>, field: &str, value: &str) {
    if text(object, field).is_empty() {
        object.insert(field.to_owned(), value.into());
    }
}

/// As [`default`] for a number, where zero counts as left out.
fn default_number(object: &mut Map<String, Value>, field: &str, value: i64) {
    if object.get(field).and_then(Value::as_i64).unwrap_or(0) == 0 {
        object.insert(field.to_owned(), value.into());
    }
}

/// The object at `field`, if there is one.
fn child<'a>(
    object: &'a mut Map<String, Value>,
    field: &str,
) -> Option<&'a mut Map<String, Value>> {
    object.get_mut(field)?.as_object_mut()
}

/// The object at `field`, made if there is none.
fn made<'a>(object: &'a mut Map<String, Value>, field: &str) -> Option<&'a mut Map<String, Value>> {
    default(object, field, Map::new());
    child(object, field)
}

/// The objects in the list at `field`.
fn each<'a>(
    object: &'a mut Map<String, Value>,
    field: &str,
) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    let list = object.get_mut(field).and_then(Value::as_array_mut);
    list.into_iter().flatten().filter_map(Value::as_object_mut)
}

/// The string at `field`, or the empty one.
fn text<'a>(object: &'a Map<String, Value>, field: &str) -> &'a str {
    object
        .get(field)
        .and_then(Value::as_str)
        .unwrap_or_default()
}
