//! What may be granted by whom, with upstream's refusals.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Grant, check, kinds_read};
use crate::authn::UserInfo;
use crate::authz::testing::Objects;
use crate::authz::{Chain, Mode};

const API: &str = "rbac.authorization.k8s.io/v1";

fn chain() -> Chain {
    let cluster_role = |name: &str, rules: Value| json!({"apiVersion": API, "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules});
    let bound = |user: &str, role: &str| {
        json!({
            "apiVersion": API, "kind": "ClusterRoleBinding", "metadata": {"name": user},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}, "subjects": [{"kind": "User", "name": user}],
        })
    };
    let rbac = |verb: &str, resource: &str| json!([{"verbs": [verb], "apiGroups": ["rbac.authorization.k8s.io"], "resources": [resource]}]);
    let objects = [
        cluster_role(
            "everything",
            json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, {"verbs": ["*"], "nonResourceURLs": ["*"]}]),
        ),
        cluster_role(
            "reader",
            json!([{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}]),
        ),
        cluster_role("escalator", rbac("escalate", "roles")),
        cluster_role("binder", rbac("bind", "clusterroles")),
        bound("boss", "everything"),
        bound("reader", "reader"),
        bound("escalator", "escalator"),
        bound("binder", "binder"),
    ];
    Chain::new(&[Mode::Rbac], Objects::shared(&objects))
}

fn role(verbs: &[&str]) -> Value {
    json!({"metadata": {"name": "r"}, "rules": [{"verbs": verbs, "apiGroups": [""], "resources": ["pods"]}]})
}

fn binding(role: &str) -> Value {
    json!({"metadata": {"name": "b"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}})
}

fn grant(user: &str, resource: &str, object: &Value) -> Result<(), String> {
    let user = UserInfo {
        name: user.to_owned(),
        groups: vec!["system:authenticated".to_owned()],
        ..UserInfo::default()
    };
    let grant = Grant {
        user: &user,
        resource,
        namespace: "a",
        request_name: "",
        object,
        old: None,
    };
    check(&grant, &chain()).map_err(|status| status.message)
}

#[test]
fn roles_hold_only_what_their_writer_holds() {
    grant("boss", "roles", &role(&["delete"])).unwrap();
    grant("reader", "roles", &role(&["get"])).unwrap();
    grant("escalator", "roles", &role(&["delete"])).unwrap();
    assert_eq!(
        grant("reader", "roles", &role(&["get", "delete"])).unwrap_err(),
        "roles.rbac.authorization.k8s.io \"r\" is forbidden: user \"reader\" (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\"]}"
    );
}

#[test]
fn bindings_give_only_what_their_writer_holds() {
    grant("boss", "rolebindings", &binding("everything")).unwrap();
    grant("reader", "rolebindings", &binding("reader")).unwrap();
    grant("binder", "rolebindings", &binding("everything")).unwrap();
    assert!(
        grant("reader", "rolebindings", &binding("everything"))
            .unwrap_err()
            .contains("not currently held")
    );
    assert_eq!(
        grant("reader", "rolebindings", &binding("none")).unwrap_err(),
        r#"clusterroles.rbac.authorization.k8s.io "none" not found"#
    );
}

#[test]
fn aggregation_is_for_those_who_hold_everything() {
    let gathering =
        json!({"metadata": {"name": "r"}, "aggregationRule": {"clusterRoleSelectors": [{}]}});
    grant("boss", "clusterroles", &gathering).unwrap();
    assert!(
        grant("reader", "clusterroles", &gathering)
            .unwrap_err()
            .contains("must have cluster-admin privileges to use the aggregationRule")
    );
}

#[test]
fn masters_and_the_garbage_collector_pass() {
    let chain = Arc::new(chain());
    let object = role(&["delete"]);
    let mut owned = object.clone();
    owned["metadata"]["ownerReferences"] = json!([{"uid": "1"}]);
    let collector = UserInfo {
        name: "gc".to_owned(),
        ..UserInfo::default()
    };
    let grant = Grant {
        user: &collector,
        resource: "roles",
        namespace: "a",
        request_name: "r",
        object: &owned,
        old: Some(&object),
    };
    check(&grant, &chain).unwrap();
    check(&Grant { old: None, ..grant }, &chain).unwrap_err();
    check(
        &Grant {
            user: &UserInfo::internal(),
            old: None,
            ..grant
        },
        &chain,
    )
    .unwrap();
}

#[test]
fn a_checked_write_is_checked_against_all_that_was_written_before_it() {
    let resources = |user: &UserInfo, group: &str, verb: &str| {
        let kinds = kinds_read(user, group, verb).into_iter();
        kinds.map(|kind| kind.resource.clone()).collect::<Vec<_>>()
    };
    let group = "rbac.authorization.k8s.io";
    let anyone = UserInfo::default();
    for verb in ["create", "update", "patch"] {
        assert_eq!(
            resources(&anyone, group, verb),
            [
                "roles",
                "clusterroles",
                "rolebindings",
                "clusterrolebindings"
            ]
        );
        assert!(resources(&UserInfo::internal(), group, verb).is_empty());
        assert!(resources(&anyone, "apps", verb).is_empty());
    }
    assert!(resources(&anyone, group, "delete").is_empty());
}
