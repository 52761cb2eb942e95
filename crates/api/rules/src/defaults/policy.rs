//! Defaults of what rules others: namespaces, access, priorities, limits.

use serde_json::{Map, Value, json};

use super::{child, default, default_text, each, made, text};

const RBAC: &str = "rbac.authorization.k8s.io";

/// Namespace: a label holds its name, for selectors.
pub(super) fn namespace(object: &mut Map<String, Value>) {
    let Some(metadata) = child(object, "metadata") else {
        return;
    };
    let name = text(metadata, "name").to_owned();
    if !name.is_empty()
        && let Some(labels) = made(metadata, "labels")
    {
        labels.insert("kubernetes.io/metadata.name".to_owned(), name.into());
    }
}

/// Secret.
pub(super) fn secret(object: &mut Map<String, Value>) {
    default_text(object, "type", "Opaque");
}

/// LimitRange: for containers a default is the limit, and a default request the default.
pub(super) fn limit_range(object: &mut Map<String, Value>) {
    let Some(spec) = child(object, "spec") else {
        return;
    };
    for item in each(spec, "limits").filter(|item| text(item, "type") == "Container") {
        for (to, from) in [
            ("default", "max"),
            ("defaultRequest", "default"),
            ("defaultRequest", "min"),
        ] {
            let known = item
                .get(from)
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default();
            if known.is_empty() {
                continue;
            }
            if let Some(target) = made(item, to) {
                for (resource, quantity) in known {
                    target.entry(resource).or_insert(quantity);
                }
            }
        }
    }
}

/// `networking.k8s.io/v1` NetworkPolicy.
pub(super) fn network_policy(object: &mut Map<String, Value>) {
    let Some(spec) = child(object, "spec") else {
        return;
    };
    let has_egress = spec
        .get("egress")
        .and_then(Value::as_array)
        .is_some_and(|rules| !rules.is_empty());
    let types = if has_egress {
        json!(["Ingress", "Egress"])
    } else {
        json!(["Ingress"])
    };
    default(spec, "policyTypes", types);
    for rules in ["ingress", "egress"] {
        for rule in each(spec, rules) {
            for port in each(rule, "ports") {
                default(port, "protocol", "TCP");
            }
        }
    }
}

/// RoleBinding and ClusterRoleBinding.
pub(super) fn role_binding(object: &mut Map<String, Value>) {
    if let Some(role) = child(object, "roleRef") {
        default_text(role, "apiGroup", RBAC);
    }
    for subject in each(object, "subjects") {
        if matches!(text(subject, "kind"), "User" | "Group") {
            default_text(subject, "apiGroup", RBAC);
        }
    }
}

/// `scheduling.k8s.io/v1` PriorityClass.
pub(super) fn priority_class(object: &mut Map<String, Value>) {
    default(object, "preemptionPolicy", "PreemptLowerPriority");
}
