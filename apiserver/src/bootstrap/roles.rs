//! How roles, bindings and flow schemas that are there are brought up to what this version needs.
//!
//! Rules and subjects are added and never taken away. An object annotated with
//! `rbac.authorization.kubernetes.io/autoupdate: "false"` is left alone. Pure.

use api_meta::object;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::ensure::Mend;
use crate::authz::rule::{Rule, uncovered};

const PROTECT: &str = "rbac.authorization.kubernetes.io/autoupdate";
const FLOW_UPDATE: &str = "apf.kubernetes.io/autoupdate-spec";

/// A Role or ClusterRole.
pub(super) fn role(present: &Value, wanted: &Value) -> Mend {
    if is_protected(present) {
        return Mend::Keep;
    }
    let mut mended = present.clone();
    merge_metadata(&mut mended, wanted);
    let (held, needed) = (rules(present), rules(wanted));
    let missing = uncovered(&held, &needed);
    if !missing.is_empty() {
        let mut list = object::list_at(present, &["rules"]).to_vec();
        list.extend(
            missing
                .iter()
                .filter_map(|rule| serde_json::to_value(rule).ok()),
        );
        object::set(&mut mended, &["rules"], Value::Array(list));
    }
    let path = ["aggregationRule", "clusterRoleSelectors"];
    match object::at(wanted, &["aggregationRule"]) {
        None => {
            object::remove(&mut mended, &["aggregationRule"]);
        }
        Some(_) => {
            let mut selectors = object::list_at(present, &path).to_vec();
            for selector in object::list_at(wanted, &path) {
                if !selectors.contains(selector) {
                    selectors.push(selector.clone());
                }
            }
            object::set(&mut mended, &path, Value::Array(selectors));
        }
    }
    changed(present, mended)
}

/// A RoleBinding or ClusterRoleBinding. Its role cannot be changed, only replaced with it.
pub(super) fn binding(present: &Value, wanted: &Value) -> Mend {
    if is_protected(present) {
        return Mend::Keep;
    }
    if ["kind", "name"].iter().any(|field| {
        let path = ["roleRef", field];
        object::str_at(present, &path) != object::str_at(wanted, &path)
    }) {
        return Mend::Replace;
    }
    let mut mended = present.clone();
    merge_metadata(&mut mended, wanted);
    let identity = |subject: &Value| {
        ["kind", "name", "namespace"].map(|field| {
            object::str_at(subject, &[field])
                .unwrap_or_default()
                .to_owned()
        })
    };
    let mut subjects = object::list_at(present, &["subjects"]).to_vec();
    let before = subjects.len();
    for subject in object::list_at(wanted, &["subjects"]) {
        if !subjects
            .iter()
            .any(|held| identity(held) == identity(subject))
        {
            subjects.push(subject.clone());
        }
    }
    if subjects.len() > before {
        object::set(&mut mended, &["subjects"], Value::Array(subjects));
    }
    changed(present, mended)
}

/// A FlowSchema or PriorityLevelConfiguration: renewed as long as its annotation says so.
pub(super) fn flow_control(present: &Value, wanted: &Value) -> Mend {
    if object::annotation(present, FLOW_UPDATE) != Some("true") {
        return Mend::Keep;
    }
    let spec = object::at(wanted, &["spec"]).unwrap_or(&Value::Null);
    if covers(object::at(present, &["spec"]).unwrap_or(&Value::Null), spec) {
        return Mend::Keep;
    }
    let mut mended = present.clone();
    object::set(&mut mended, &["spec"], spec.clone());
    changed(present, mended)
}

fn changed(present: &Value, mended: Value) -> Mend {
    if mended == *present {
        Mend::Keep
    } else {
        Mend::Update(mended)
    }
}

fn is_protected(present: &Value) -> bool {
    object::annotation(present, PROTECT) == Some("false")
}

fn rules(role: &Value) -> Vec<Rule> {
    object::list_at(role, &["rules"])
        .iter()
        .filter_map(|rule| Rule::deserialize(rule).ok())
        .collect()
}

/// Adds the labels and annotations that are missing; those that are there win.
fn merge_metadata(mended: &mut Value, wanted: &Value) {
    for field in ["labels", "annotations"] {
        let path = ["metadata", field];
        let Some(needed) = object::map_at(wanted, &path) else {
            continue;
        };
        let present: Map<String, Value> =
            object::map_at(mended, &path).cloned().unwrap_or_default();
        for (key, value) in needed {
            if !present.contains_key(key) {
                object::set(mended, &["metadata", field, key], json!(value));
            }
        }
    }
}

/// True if everything that `wanted` says is so in `present`, which may say more by defaulting.
fn covers(present: &Value, wanted: &Value) -> bool {
    match (present, wanted) {
        (Value::Object(present), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, value)| covers(present.get(key).unwrap_or(&Value::Null), value)),
        (Value::Array(present), Value::Array(wanted)) => {
            present.len() == wanted.len() && present.iter().zip(wanted).all(|(a, b)| covers(a, b))
        }
        (present, wanted) => present == wanted,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Mend, binding, flow_control, role};

    fn a_role(verbs: &[&str]) -> Value {
        json!({"metadata": {"name": "r", "labels": {"a": "1"}}, "rules": [{"verbs": verbs, "apiGroups": [""], "resources": ["pods"]}]})
    }

    fn updated(mend: Mend) -> Value {
        match mend {
            Mend::Update(value) => value,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn rules_are_added_and_never_removed() {
        assert_eq!(
            role(&a_role(&["get", "list"]), &a_role(&["get"])),
            Mend::Keep
        );
        assert_eq!(role(&a_role(&["*"]), &a_role(&["get"])), Mend::Keep);
        let mended = updated(role(
            &a_role(&["get", "custom"]),
            &a_role(&["get", "watch"]),
        ));
        assert_eq!(mended["rules"].as_array().unwrap().len(), 2);
        assert_eq!(mended["rules"][0]["verbs"], json!(["get", "custom"]));
        assert_eq!(
            mended["rules"][1],
            json!({"verbs": ["watch"], "apiGroups": [""], "resources": ["pods"]})
        );
        assert_eq!(role(&mended, &a_role(&["get", "watch"])), Mend::Keep);
    }

    #[test]
    fn labels_are_added_and_the_users_win() {
        let mut present = a_role(&["get"]);
        present["metadata"]["labels"] = json!({"a": "mine"});
        assert_eq!(role(&present, &a_role(&["get"])), Mend::Keep);
        present["metadata"]["labels"] = json!({"b": "2"});
        assert_eq!(
            updated(role(&present, &a_role(&["get"])))["metadata"]["labels"],
            json!({"a": "1", "b": "2"})
        );
    }

    #[test]
    fn protected_objects_are_left_alone() {
        let mut present = a_role(&["get"]);
        present["metadata"]["annotations"] =
            json!({"rbac.authorization.kubernetes.io/autoupdate": "false"});
        assert_eq!(role(&present, &a_role(&["get", "watch"])), Mend::Keep);
    }

    #[test]
    fn aggregations_gain_selectors() {
        let gather = |labels: &[&str]| {
            let selectors: Vec<Value> = labels
                .iter()
                .map(|label| json!({"matchLabels": {"to": label}}))
                .collect();
            json!({"metadata": {"name": "r"}, "aggregationRule": {"clusterRoleSelectors": selectors}, "rules": null})
        };
        assert_eq!(role(&gather(&["a", "b"]), &gather(&["a"])), Mend::Keep);
        let mended = updated(role(&gather(&["b"]), &gather(&["a"])));
        assert_eq!(
            mended["aggregationRule"],
            gather(&["b", "a"])["aggregationRule"]
        );
        // What a controller gathered into the rules is not touched.
        let mut filled = gather(&["a"]);
        filled["rules"] = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]);
        assert_eq!(role(&filled, &gather(&["a"])), Mend::Keep);
    }

    #[test]
    fn bindings_gain_subjects_and_another_role_replaces_them() {
        let bound = |role: &str, users: &[&str]| {
            let subjects: Vec<Value> = users.iter().map(|name| json!({"kind": "User", "name": name, "apiGroup": "rbac.authorization.k8s.io"})).collect();
            json!({"metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": role}, "subjects": subjects})
        };
        assert_eq!(
            binding(&bound("r", &["a", "b"]), &bound("r", &["a"])),
            Mend::Keep
        );
        assert_eq!(
            updated(binding(&bound("r", &["b"]), &bound("r", &["a"]))),
            bound("r", &["b", "a"])
        );
        assert_eq!(
            binding(&bound("other", &["a"]), &bound("r", &["a"])),
            Mend::Replace
        );
    }

    #[test]
    fn flow_schemas_follow_until_a_user_takes_them() {
        let schema = |auto: &str, spec: Value| json!({"metadata": {"name": "f", "annotations": {"apf.kubernetes.io/autoupdate-spec": auto}}, "spec": spec});
        let wanted = schema("true", json!({"precedence": 1}));
        assert_eq!(
            flow_control(
                &schema("true", json!({"precedence": 1, "defaulted": true})),
                &wanted
            ),
            Mend::Keep
        );
        assert_eq!(
            flow_control(&schema("false", json!({"precedence": 2})), &wanted),
            Mend::Keep
        );
        assert_eq!(
            updated(flow_control(
                &schema("true", json!({"precedence": 2})),
                &wanted
            )),
            wanted
        );
    }
}
