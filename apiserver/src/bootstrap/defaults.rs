//! The objects of a fresh cluster, as recorded from the real server.

use api_meta::status::Status;
use serde_json::{Value, json};

const CLUSTER_ROLES: &str =
    include_str!("../../../crates/api/meta/data/bootstrap/clusterroles.json");
const CLUSTER_ROLE_BINDINGS: &str =
    include_str!("../../../crates/api/meta/data/bootstrap/clusterrolebindings.json");
const ROLES: &str = include_str!("../../../crates/api/meta/data/bootstrap/roles.json");
const ROLE_BINDINGS: &str =
    include_str!("../../../crates/api/meta/data/bootstrap/rolebindings.json");
const PRIORITY_CLASSES: &str =
    include_str!("../../../crates/api/meta/data/bootstrap/priorityclasses.json");
const PRIORITY_LEVELS: &str =
    include_str!("../../../crates/api/meta/data/bootstrap/prioritylevelconfigurations.json");
const FLOW_SCHEMAS: &str = include_str!("../../../crates/api/meta/data/bootstrap/flowschemas.json");

/// The namespaces that every cluster has.
pub(super) fn namespaces() -> Vec<Value> {
    ["kube-system", "kube-public", "kube-node-lease", "default"]
        .map(|name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
        .to_vec()
}

/// Since when the use of service account tokens kept in Secrets would have been seen: from `today`,
/// `YYYY-MM-DD`. kube-controller-manager removes unused ones by it.
pub(super) fn token_tracking(today: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "kube-apiserver-legacy-service-account-token-tracking",
            "namespace": "kube-system",
        },
        "data": {"since": today},
    })
}

/// Cluster roles and roles. Bindings come after them.
pub(super) fn roles() -> Result<Vec<Value>, Status> {
    Ok([read(CLUSTER_ROLES)?, read(ROLES)?].concat())
}

/// Cluster role bindings and role bindings.
pub(super) fn bindings() -> Result<Vec<Value>, Status> {
    Ok([read(CLUSTER_ROLE_BINDINGS)?, read(ROLE_BINDINGS)?].concat())
}

/// The priority classes of system pods.
pub(super) fn priority_classes() -> Result<Vec<Value>, Status> {
    read(PRIORITY_CLASSES)
}

/// Priority levels, and the flow schemas that lead to them.
pub(super) fn flow_control() -> Result<Vec<Value>, Status> {
    Ok([read(PRIORITY_LEVELS)?, read(FLOW_SCHEMAS)?].concat())
}

fn read(text: &str) -> Result<Vec<Value>, Status> {
    // Part of the program and read by a test; still no reason to panic.
    serde_json::from_str(text).map_err(Status::internal)
}

#[cfg(test)]
mod tests {
    use api_meta::{gvk, kinds::Kinds, object};

    #[test]
    fn all_defaults_are_objects_of_built_in_kinds() {
        let all = [
            super::namespaces(),
            super::roles().unwrap(),
            super::bindings().unwrap(),
            super::priority_classes().unwrap(),
            super::flow_control().unwrap(),
        ];
        let mut count = 0;
        for one in all.iter().flatten() {
            let (group, version) = gvk::split_api_version(object::api_version(one));
            let kind = Kinds::builtin()
                .by_kind(group, version, object::kind(one))
                .unwrap();
            assert_eq!(kind.namespaced, !object::namespace(one).is_empty(), "{one}");
            assert!(!object::name(one).is_empty());
            assert_eq!(object::uid(one), "");
            count += 1;
        }
        assert!(count > 100, "{count}");
    }

    #[test]
    fn the_roles_that_everything_stands_on_are_there() {
        let roles = super::roles().unwrap();
        for name in [
            "cluster-admin",
            "admin",
            "edit",
            "view",
            "system:kube-scheduler",
            "system:kube-controller-manager",
            "system:node-proxier",
            "system:discovery",
        ] {
            assert!(
                roles.iter().any(|role| object::name(role) == name),
                "{name}"
            );
        }
        let admin = roles
            .iter()
            .find(|role| object::name(role) == "admin")
            .unwrap();
        assert!(admin["aggregationRule"].is_object());
    }
}
