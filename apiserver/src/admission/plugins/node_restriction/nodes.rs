//! What a node may do with its own Node, and with the claims that it mounts.

use std::collections::BTreeMap;

use api_meta::object;
use api_meta::status::Status;
use serde_json::Value;

use super::super::super::{Operation, Request};

/// The labels of Kubernetes' own domains that a kubelet sets.
const KUBELET_LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
];
/// The domains in which a kubelet sets what it likes.
const KUBELET_DOMAINS: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];
/// The domains that are not for everybody's labels.
const OUR_DOMAINS: [&str; 2] = ["kubernetes.io", "k8s.io"];
/// The domain of labels that keep workloads away from nodes that fell into wrong hands.
const RESTRICTED: &str = "node-restriction.kubernetes.io";
/// What a node says of a claim's status.
const CLAIM_STATUS: [&str; 4] = [
    "capacity",
    "conditions",
    "allocatedResourceStatuses",
    "allocatedResources",
];

pub(super) fn node(request: &Request<'_>, node: &str) -> Result<(), Status> {
    let name = super::named(request);
    if name != node {
        return Err(request.forbidden(&format!(
            "node {node:?} is not allowed to modify node {name:?}"
        )));
    }
    match (request.operation, &request.object, &request.old) {
        (Operation::Create, Some(new), _) => created(request, new, node),
        (Operation::Update, Some(new), Some(old)) => changed(request, new, old, node),
        _ => Ok(()),
    }
}

fn created(request: &Request<'_>, new: &Value, node: &str) -> Result<(), Status> {
    if object::at(new, &["spec", "configSource"]).is_some() {
        return Err(request.forbidden(&format!(
            "node {node:?} is not allowed to create pods with a non-nil configSource"
        )));
    }
    let labels = forbidden_labels(new, &Value::Null);
    if labels.is_empty() {
        return Ok(());
    }
    Err(request.forbidden(&format!(
        "node {node:?} is not allowed to set the following labels: {}",
        labels.join(", ")
    )))
}

fn changed(request: &Request<'_>, new: &Value, old: &Value, node: &str) -> Result<(), Status> {
    let differs = |path: &[&str]| object::at(new, path) != object::at(old, path);
    let refuse = |what: &str| {
        let why = format!("node {node:?} is not allowed to {what}");
        Err(request.forbidden(&why))
    };
    let source = ["spec", "configSource"];
    if object::at(new, &source).is_some() && differs(&source) {
        return refuse("update configSource to a new non-nil configSource");
    }
    if object::list_at(new, &["spec", "taints"]) != object::list_at(old, &["spec", "taints"]) {
        return refuse("modify taints");
    }
    if object::owner_references(new) != object::owner_references(old) {
        return refuse("modify ownerReferences");
    }
    let labels = forbidden_labels(new, old);
    if labels.is_empty() {
        return Ok(());
    }
    Err(request.forbidden(&format!(
        "is not allowed to modify labels: {}",
        labels.join(", ")
    )))
}

/// The labels that differ and are not a node's to set, in order.
fn forbidden_labels<'a>(new: &'a Value, old: &'a Value) -> Vec<&'a str> {
    let (now, before): (BTreeMap<_, _>, BTreeMap<_, _>) =
        (object::labels(new).collect(), object::labels(old).collect());
    let mut keys: Vec<&str> = now.keys().chain(before.keys()).copied().collect();
    keys.sort_unstable();
    keys.dedup();
    keys.retain(|key| now.get(key) != before.get(key) && is_forbidden(key));
    keys
}

fn is_forbidden(label: &str) -> bool {
    let domain = label.split_once('/').map_or("", |(domain, _)| domain);
    let lies_in = |parent: &str| {
        domain
            .strip_suffix(parent)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let is_kubelets =
        KUBELET_LABELS.contains(&label) || KUBELET_DOMAINS.iter().any(|one| lies_in(one));
    lies_in(RESTRICTED) || (OUR_DOMAINS.iter().any(|one| lies_in(one)) && !is_kubelets)
}

/// A node says how large a volume has become, and nothing else of its claim.
pub(super) fn claim_status(request: &Request<'_>, node: &str) -> Result<(), Status> {
    let (Operation::Update, Some(new), Some(old)) =
        (request.operation, &request.object, &request.old)
    else {
        let operation = format!("{:?}", request.operation).to_uppercase();
        return Err(request.forbidden(&format!("unexpected operation {operation:?}")));
    };
    if rest_of_claim(new) == rest_of_claim(old) {
        return Ok(());
    }
    Err(request.forbidden(&format!(
        "node {node:?} is not allowed to update fields other than status.quantity and status.conditions"
    )))
}

fn rest_of_claim(claim: &Value) -> Value {
    let mut rest = claim.clone();
    for field in CLAIM_STATUS {
        object::remove(&mut rest, &["status", field]);
    }
    for field in ["resourceVersion", "managedFields"] {
        object::remove(&mut rest, &["metadata", field]);
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::is_forbidden;

    #[test]
    fn labels_of_our_domains_are_not_a_nodes_but_for_a_few() {
        for label in [
            "mine",
            "example.com/x",
            "notkubernetes.io/x",
            "kubernetes.io/os",
            "node.kubernetes.io/x",
            "a.kubelet.kubernetes.io/x",
        ] {
            assert!(!is_forbidden(label), "{label}");
        }
        for label in [
            "node-restriction.kubernetes.io/x",
            "a.node-restriction.kubernetes.io/x",
            "node-role.kubernetes.io/control-plane",
            "kubernetes.io/role",
            "x.k8s.io/y",
        ] {
            assert!(is_forbidden(label), "{label}");
        }
    }
}
