//! Tables of who may do what under given roles and bindings, in upstream's words.

use serde_json::{Value, json};

use super::Rbac;
use crate::authn::UserInfo;
use crate::authz::testing::Objects;
use crate::authz::{Attributes, Authorizer};

fn role(kind: &str, namespace: &str, name: &str, rules: Value) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}, "rules": rules})
}

fn binding(kind: &str, namespace: &str, name: &str, role: (&str, &str), subjects: Value) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name, "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role.0, "name": role.1}, "subjects": subjects,
    })
}

fn user(name: &str, groups: &[&str]) -> UserInfo {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    UserInfo {
        name: name.to_owned(),
        groups,
        ..UserInfo::default()
    }
}

/// The answer to `verb resource` in a namespace, with its reason.
fn ask(rbac: &Rbac, user: &UserInfo, verb: &str, resource: &str, namespace: &str) -> String {
    let decision = rbac.authorize(&Attributes {
        user,
        verb,
        group: "",
        version: "v1",
        resource,
        subresource: "",
        namespace,
        name: "",
        path: "",
        is_resource: true,
    });
    let word = if decision.is_allowed() { "yes" } else { "no" };
    format!("{word} {}", decision.reason()).trim().to_owned()
}

fn world() -> Vec<Value> {
    let read = json!([{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}]);
    let all = json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, {"verbs": ["*"], "nonResourceURLs": ["*"]}]);
    vec![
        role("ClusterRole", "", "all", all),
        role("ClusterRole", "", "read", read.clone()),
        role("Role", "a", "local", read),
        binding(
            "ClusterRoleBinding",
            "",
            "roots",
            ("ClusterRole", "all"),
            json!([{"kind": "Group", "name": "roots"}]),
        ),
        binding(
            "RoleBinding",
            "a",
            "readers",
            ("Role", "local"),
            json!([
                {"kind": "User", "name": "jane"}, {"kind": "ServiceAccount", "name": "bot"}, {"kind": "ServiceAccount", "name": "far", "namespace": "b"},
            ]),
        ),
        binding(
            "RoleBinding",
            "b",
            "shared",
            ("ClusterRole", "read"),
            json!([{"kind": "Group", "name": "devs"}]),
        ),
        binding(
            "RoleBinding",
            "b",
            "wrong",
            ("Role", "local"),
            json!([{"kind": "User", "name": "joe"}]),
        ),
        binding("RoleBinding", "c", "empty", ("Role", "local"), Value::Null),
    ]
}

#[test]
fn bindings_give_rights_where_they_are() {
    let rbac = Rbac::new(Objects::shared(&world()));
    let jane = user("jane", &[]);
    assert_eq!(
        ask(&rbac, &jane, "get", "pods", "a"),
        r#"yes RBAC: allowed by RoleBinding "readers/a" of Role "local" to User "jane""#
    );
    assert_eq!(ask(&rbac, &jane, "delete", "pods", "a"), "no");
    assert_eq!(ask(&rbac, &jane, "get", "pods", "b"), "no");
    assert_eq!(ask(&rbac, &jane, "get", "pods", ""), "no");
    let bot = user("system:serviceaccount:a:bot", &[]);
    assert_eq!(
        ask(&rbac, &bot, "list", "pods", "a"),
        r#"yes RBAC: allowed by RoleBinding "readers/a" of Role "local" to ServiceAccount "bot/a""#
    );
    let far = user("system:serviceaccount:b:far", &[]);
    assert!(ask(&rbac, &far, "list", "pods", "a").starts_with("yes"));
    assert_eq!(
        ask(
            &rbac,
            &user("system:serviceaccount:b:bot", &[]),
            "list",
            "pods",
            "a"
        ),
        "no"
    );
    let dev = user("x", &["devs"]);
    assert_eq!(
        ask(&rbac, &dev, "get", "pods", "b"),
        r#"yes RBAC: allowed by RoleBinding "shared/b" of ClusterRole "read" to Group "devs""#
    );
    let root = user("x", &["devs", "roots"]);
    assert_eq!(
        ask(&rbac, &root, "get", "pods", "b"),
        r#"yes RBAC: allowed by ClusterRoleBinding "roots" of ClusterRole "all" to Group "roots""#
    );
    assert!(ask(&rbac, &root, "anything", "nodes", "").starts_with("yes"));
}

#[test]
fn a_role_that_is_not_there_is_the_reason() {
    let rbac = Rbac::new(Objects::shared(&world()));
    assert_eq!(
        ask(&rbac, &user("joe", &[]), "get", "pods", "b"),
        r#"no RBAC: role.rbac.authorization.k8s.io "local" not found"#
    );
}

#[test]
fn changes_are_seen_at_once() {
    let objects = Objects::shared(&[]);
    let rbac = Rbac::new(objects.clone());
    let jane = user("jane", &[]);
    assert_eq!(ask(&rbac, &jane, "get", "pods", "a"), "no");
    objects.replace(&world());
    assert!(ask(&rbac, &jane, "get", "pods", "a").starts_with("yes"));
    objects.replace(&[]);
    assert_eq!(ask(&rbac, &jane, "get", "pods", "a"), "no");
}

#[test]
fn rules_can_be_listed() {
    let rbac = Rbac::new(Objects::shared(&world()));
    let rules = rbac.rules_for(&user("x", &["devs", "roots"]), "b").rules;
    assert_eq!(rules.len(), 3);
    assert_eq!(rules[0].resources, ["*"]);
    assert_eq!(rules[2].resources, ["pods"]);
    let listed = rbac.rules_for(&user("joe", &[]), "b");
    assert!(listed.rules.is_empty());
    assert_eq!(
        listed.errors,
        [r#"role.rbac.authorization.k8s.io "local" not found"#]
    );
}
