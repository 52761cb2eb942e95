//! Roles and their bindings.

use api_meta::{Cause, names, object};
use serde_json::{Value, json};

use super::tools::{is_empty, list, reasons, text};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Role and ClusterRole.
pub(super) fn role(object: &Value, _: Option<&Value>, faults: &mut Vec<Cause>) {
    let is_namespaced = object::kind(object) == "Role";
    for (i, rule) in list(object, "rules").iter().enumerate() {
        let path = format!("rules[{i}]");
        if list(rule, "verbs").is_empty() {
            let why = "verbs must contain at least one value";
            faults.push(Cause::required(format!("{path}.verbs"), why));
        }
        let urls = list(rule, "nonResourceURLs");
        if !urls.is_empty() {
            let path = format!("{path}.nonResourceURLs");
            if is_namespaced {
                let why = "namespaced rules cannot apply to non-resource URLs";
                faults.push(Cause::invalid(path, &json!(urls), why));
            } else if !is_empty(rule.get("apiGroups")) || !is_empty(rule.get("resources")) {
                let why = "rules cannot apply to both regular resources and non-resource URLs";
                faults.push(Cause::invalid(path, &json!(urls), why));
            }
            continue;
        }
        if list(rule, "apiGroups").is_empty() {
            let why = "resource rules must supply at least one api group";
            faults.push(Cause::required(format!("{path}.apiGroups"), why));
        }
        if list(rule, "resources").is_empty() {
            let why = "resource rules must supply at least one resource";
            faults.push(Cause::required(format!("{path}.resources"), why));
        }
    }
}

/// RoleBinding and ClusterRoleBinding.
pub(super) fn binding(object: &Value, old: Option<&Value>, faults: &mut Vec<Cause>) {
    let is_namespaced = object::kind(object) == "RoleBinding";
    let nothing = json!({});
    let role = object.get("roleRef").unwrap_or(&nothing);
    if text(role, "apiGroup") != GROUP {
        faults.push(Cause::not_supported(
            "roleRef.apiGroup",
            text(role, "apiGroup"),
            &[GROUP],
        ));
    }
    let kinds: &[&str] = if is_namespaced {
        &["Role", "ClusterRole"]
    } else {
        &["ClusterRole"]
    };
    if !kinds.contains(&text(role, "kind")) {
        faults.push(Cause::not_supported(
            "roleRef.kind",
            text(role, "kind"),
            kinds,
        ));
    }
    let name = text(role, "name");
    if name.is_empty() {
        faults.push(Cause::required("roleRef.name", ""));
    } else {
        reasons(faults, "roleRef.name", name, names::path_segment(name));
    }
    for (i, subject) in list(object, "subjects").iter().enumerate() {
        self::subject(faults, &format!("subjects[{i}]"), subject, is_namespaced);
    }
    if let Some(old) = old
        && old.get("roleRef") != object.get("roleRef")
    {
        let message = format!(
            "Invalid value: {}: cannot change roleRef",
            reference_json(role)
        );
        faults.push(Cause::new("FieldValueInvalid", "roleRef", message));
    }
}

fn subject(faults: &mut Vec<Cause>, path: &str, subject: &Value, is_namespaced: bool) {
    let (name, group) = (text(subject, "name"), text(subject, "apiGroup"));
    if name.is_empty() {
        faults.push(Cause::required(format!("{path}.name"), ""));
    }
    match text(subject, "kind") {
        "ServiceAccount" => {
            if !name.is_empty() {
                reasons(
                    faults,
                    &format!("{path}.name"),
                    name,
                    names::dns1123_subdomain(name),
                );
            }
            if !group.is_empty() {
                faults.push(Cause::not_supported(
                    format!("{path}.apiGroup"),
                    group,
                    &[""],
                ));
            }
            if !is_namespaced && text(subject, "namespace").is_empty() {
                faults.push(Cause::required(format!("{path}.namespace"), ""));
            }
        }
        "User" | "Group" => {
            if group != GROUP {
                faults.push(Cause::not_supported(
                    format!("{path}.apiGroup"),
                    group,
                    &[GROUP],
                ));
            }
        }
        other => {
            const KINDS: &[&str] = &["ServiceAccount", "User", "Group"];
            faults.push(Cause::not_supported(format!("{path}.kind"), other, KINDS));
        }
    }
}

/// Upstream shows this value by the names of its own fields.
fn reference_json(role: &Value) -> String {
    let part = |field| Value::from(text(role, field));
    format!(
        "{{\"APIGroup\":{},\"Kind\":{},\"Name\":{}}}",
        part("apiGroup"),
        part("kind"),
        part("name")
    )
}
