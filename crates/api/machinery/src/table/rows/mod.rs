//! The cells of a row in a Table: what `kubectl get` prints for one object.
//!
//! The cells of a resource match its columns, which are data read from a real kube-apiserver. A
//! resource that is not listed here is shown by name and age of creation. Pure: the present time is
//! an argument.

mod access;
mod batch;
mod cluster;
mod network;
mod pod;
mod policy;
mod storage;
#[cfg(test)]
mod tests;
mod text;
mod workloads;

use jiff::Timestamp;
use serde_json::Value;

/// Makes the cells after the name.
type Cells = fn(&Value, Timestamp) -> Vec<Value>;

/// Group, resource and its cells.
const RESOURCES: &[(&str, &str, Cells)] = &[
    ("", "componentstatuses", policy::component_status),
    ("", "podtemplates", policy::pod_template),
    ("", "resourcequotas", policy::resource_quota),
    (
        "admissionregistration.k8s.io",
        "mutatingadmissionpolicies",
        policy::admission_policy,
    ),
    (
        "admissionregistration.k8s.io",
        "mutatingadmissionpolicybindings",
        policy::admission_binding,
    ),
    (
        "admissionregistration.k8s.io",
        "mutatingwebhookconfigurations",
        policy::webhooks,
    ),
    (
        "admissionregistration.k8s.io",
        "validatingadmissionpolicies",
        policy::admission_policy,
    ),
    (
        "admissionregistration.k8s.io",
        "validatingadmissionpolicybindings",
        policy::admission_binding,
    ),
    (
        "admissionregistration.k8s.io",
        "validatingwebhookconfigurations",
        policy::webhooks,
    ),
    ("apiregistration.k8s.io", "apiservices", policy::api_service),
    (
        "autoscaling",
        "horizontalpodautoscalers",
        policy::autoscaler,
    ),
    (
        "certificates.k8s.io",
        "certificatesigningrequests",
        policy::signing_request,
    ),
    (
        "flowcontrol.apiserver.k8s.io",
        "flowschemas",
        policy::flow_schema,
    ),
    (
        "flowcontrol.apiserver.k8s.io",
        "prioritylevelconfigurations",
        policy::priority_level,
    ),
    ("resource.k8s.io", "resourceclaims", policy::resource_claim),
    ("resource.k8s.io", "resourceslices", policy::resource_slice),
    ("storage.k8s.io", "csidrivers", policy::csi_driver),
    (
        "storage.k8s.io",
        "volumeattributesclasses",
        policy::volume_attributes_class,
    ),
    ("", "configmaps", access::config_map),
    ("", "endpoints", network::endpoints),
    ("", "events", cluster::event),
    ("", "namespaces", cluster::namespace),
    ("", "nodes", cluster::node),
    (
        "",
        "persistentvolumeclaims",
        storage::persistent_volume_claim,
    ),
    ("", "persistentvolumes", storage::persistent_volume),
    ("", "pods", pod::pod),
    ("", "replicationcontrollers", workloads::replica_set),
    ("", "secrets", access::secret),
    ("", "serviceaccounts", age_alone),
    ("", "services", network::service),
    (
        "apps",
        "controllerrevisions",
        workloads::controller_revision,
    ),
    ("apps", "daemonsets", workloads::daemon_set),
    ("apps", "deployments", workloads::deployment),
    ("apps", "replicasets", workloads::replica_set),
    ("apps", "statefulsets", workloads::stateful_set),
    ("batch", "cronjobs", batch::cron_job),
    ("batch", "jobs", batch::job),
    ("coordination.k8s.io", "leases", cluster::lease),
    (
        "discovery.k8s.io",
        "endpointslices",
        network::endpoint_slice,
    ),
    ("events.k8s.io", "events", cluster::event),
    (
        "networking.k8s.io",
        "ingressclasses",
        network::ingress_class,
    ),
    ("networking.k8s.io", "ingresses", network::ingress),
    ("networking.k8s.io", "ipaddresses", network::ip_address),
    (
        "networking.k8s.io",
        "networkpolicies",
        network::network_policy,
    ),
    ("networking.k8s.io", "servicecidrs", network::service_cidr),
    ("node.k8s.io", "runtimeclasses", cluster::runtime_class),
    (
        "policy",
        "poddisruptionbudgets",
        workloads::pod_disruption_budget,
    ),
    (
        "rbac.authorization.k8s.io",
        "clusterrolebindings",
        access::role_binding,
    ),
    (
        "rbac.authorization.k8s.io",
        "rolebindings",
        access::role_binding,
    ),
    ("resource.k8s.io", "deviceclasses", age_alone),
    ("resource.k8s.io", "resourceclaimtemplates", age_alone),
    (
        "scheduling.k8s.io",
        "priorityclasses",
        cluster::priority_class,
    ),
    ("storage.k8s.io", "csinodes", storage::csi_node),
    ("storage.k8s.io", "storageclasses", storage::storage_class),
    (
        "storage.k8s.io",
        "volumeattachments",
        storage::volume_attachment,
    ),
];

/// True if [`cells`] knows the columns of this resource.
pub fn is_known(group: &str, resource: &str) -> bool {
    find(group, resource).is_some()
}

/// The cells of `object`, the name first; one a column of the resource, or name and creation time
/// where the resource is not known.
pub fn cells(group: &str, resource: &str, object: &Value, now: Timestamp) -> Vec<Value> {
    let mut name = api_meta::object::name(object).to_owned();
    if resource == "storageclasses" && storage::is_default_class(object) {
        name.push_str(" (default)");
    }
    let mut cells = vec![Value::from(name)];
    match find(group, resource) {
        // An event is looked at for when and why, so its name comes last.
        Some(make) if resource == "events" => cells = make(object, now),
        Some(make) => cells.extend(make(object, now)),
        None => cells.push(text::at(object, "/metadata/creationTimestamp").into()),
    }
    cells
}

fn find(group: &str, resource: &str) -> Option<Cells> {
    let found = RESOURCES
        .iter()
        .find(|(g, r, _)| *g == group && *r == resource);
    found.map(|(_, _, cells)| *cells)
}

fn age_alone(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![text::age(object, now)]
}
