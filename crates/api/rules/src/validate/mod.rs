//! Whether an object makes sense as a whole: names, references between its fields, what may not
//! change. Each fault is a cause with upstream's field path and words.
//!
//! Mirrors the validation of kube-apiserver 1.36 for the kinds listed below; the metadata of every
//! kind is checked. Types and unknown fields are not: the schema's check comes before. The object
//! has its defaults.

mod batch;
mod certificates;
mod config;
mod container;
mod environment;
mod ephemeral;
mod meta;
mod network;
mod placement;
mod pod;
mod policy;
mod probe;
mod rbac;
mod resize;
mod resources;
mod selector;
mod service;
mod tools;
mod volume;
mod workloads;

use api_meta::{Cause, Gvk};
use serde_json::Value;

/// Checks one kind: the object, and the older one where it is an update.
type Check = fn(&Value, Option<&Value>, &mut Vec<Cause>);

/// Group, kind and its check. A kind that is not listed has only its metadata checked.
const KINDS: &[(&str, &str, Check)] = &[
    ("", "ConfigMap", config::config_map),
    ("", "Endpoints", network::endpoints),
    ("", "Event", config::event),
    ("", "LimitRange", policy::limit_range),
    ("", "Node", config::node),
    ("", "PersistentVolume", config::persistent_volume),
    ("", "PersistentVolumeClaim", config::persistent_volume_claim),
    ("", "Pod", pod::pod),
    (
        "",
        "ReplicationController",
        workloads::replication_controller,
    ),
    ("", "ResourceQuota", policy::resource_quota),
    ("", "Secret", config::secret),
    ("", "Service", service::service),
    ("apps", "DaemonSet", workloads::daemon_set),
    ("apps", "Deployment", workloads::deployment),
    ("apps", "ReplicaSet", workloads::replica_set),
    ("apps", "StatefulSet", workloads::stateful_set),
    ("autoscaling", "HorizontalPodAutoscaler", policy::autoscaler),
    ("batch", "CronJob", batch::cron_job),
    ("batch", "Job", batch::job),
    (
        "certificates.k8s.io",
        "CertificateSigningRequest",
        certificates::request,
    ),
    ("coordination.k8s.io", "Lease", config::lease),
    ("discovery.k8s.io", "EndpointSlice", network::endpoint_slice),
    ("networking.k8s.io", "Ingress", network::ingress),
    ("networking.k8s.io", "IngressClass", network::ingress_class),
    (
        "networking.k8s.io",
        "NetworkPolicy",
        network::network_policy,
    ),
    ("policy", "PodDisruptionBudget", policy::disruption_budget),
    ("rbac.authorization.k8s.io", "ClusterRole", rbac::role),
    (
        "rbac.authorization.k8s.io",
        "ClusterRoleBinding",
        rbac::binding,
    ),
    ("rbac.authorization.k8s.io", "Role", rbac::role),
    ("rbac.authorization.k8s.io", "RoleBinding", rbac::binding),
    ("scheduling.k8s.io", "PriorityClass", policy::priority_class),
    ("storage.k8s.io", "StorageClass", config::storage_class),
];

/// Checks a change that came through a subresource: the object, and the older one.
type ChangeCheck = fn(&Value, &Value, &mut Vec<Cause>);

/// Group, kind, subresource and the check of what may change through it, where that differs from
/// what a plain update may change.
const SUBRESOURCES: &[(&str, &str, &str, ChangeCheck)] = &[
    ("", "Pod", "ephemeralcontainers", ephemeral::change),
    ("", "Pod", "resize", resize::change),
    (
        "certificates.k8s.io",
        "CertificateSigningRequest",
        "approval",
        certificates::approved,
    ),
    (
        "certificates.k8s.io",
        "CertificateSigningRequest",
        "status",
        certificates::signed,
    ),
];

/// The faults of a new object.
pub fn create(gvk: &Gvk, object: &Value) -> Vec<Cause> {
    let mut faults = Vec::new();
    meta::create(gvk, object, &mut faults);
    if let Some(check) = find(gvk) {
        check(object, None, &mut faults);
    }
    faults
}

/// The faults of a changed object.
pub fn update(gvk: &Gvk, new: &Value, old: &Value) -> Vec<Cause> {
    let mut faults = Vec::new();
    meta::update(gvk, new, old, &mut faults);
    if let Some(check) = find(gvk) {
        check(new, Some(old), &mut faults);
    }
    faults
}

/// The faults of an object that was changed through a subresource. Where nothing is known of it, the
/// status is judged as by an update, and all else as an object that is stored already: without the
/// rules for new objects, and without those against changes, since the subresource knows what it does.
pub fn subresource(gvk: &Gvk, name: &str, new: &Value, old: &Value) -> Vec<Cause> {
    let listed = SUBRESOURCES.iter().find(|(group, kind, subresource, _)| {
        *group == gvk.group && *kind == gvk.kind && *subresource == name
    });
    let mut faults = Vec::new();
    match (listed, name) {
        (None, "status") => return update(gvk, new, old),
        (Some((_, _, _, check)), _) => {
            meta::update(gvk, new, old, &mut faults);
            check(new, old, &mut faults);
        }
        (None, _) => {
            meta::update(gvk, new, old, &mut faults);
            if let Some(check) = find(gvk) {
                check(new, Some(new), &mut faults);
            }
        }
    }
    faults
}

fn find(gvk: &Gvk) -> Option<Check> {
    let found = KINDS
        .iter()
        .find(|(group, kind, _)| *group == gvk.group && *kind == gvk.kind);
    found.map(|(_, _, check)| *check)
}
