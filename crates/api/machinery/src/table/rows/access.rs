//! Rows of configuration and of who may do what.

use jiff::Timestamp;
use serde_json::Value;

use super::text::{age, at, list, size};

/// ConfigMap.
pub(super) fn config_map(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        (size(object, "/data") + size(object, "/binaryData")).into(),
        age(object, now),
    ]
}

/// Secret.
pub(super) fn secret(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        at(object, "/type").into(),
        size(object, "/data").into(),
        age(object, now),
    ]
}

/// RoleBinding and ClusterRoleBinding.
pub(super) fn role_binding(object: &Value, now: Timestamp) -> Vec<Value> {
    let names = |kind: &str| {
        let subjects = list(object, "/subjects")
            .iter()
            .filter(|subject| at(subject, "/kind") == kind);
        let names: Vec<String> = subjects
            .map(|subject| match kind {
                "ServiceAccount" => {
                    format!("{}/{}", at(subject, "/namespace"), at(subject, "/name"))
                }
                _ => at(subject, "/name").to_owned(),
            })
            .collect();
        Value::from(names.join(", "))
    };
    let role = format!(
        "{}/{}",
        at(object, "/roleRef/kind"),
        at(object, "/roleRef/name")
    );
    vec![
        role.into(),
        age(object, now),
        names("User"),
        names("Group"),
        names("ServiceAccount"),
    ]
}
