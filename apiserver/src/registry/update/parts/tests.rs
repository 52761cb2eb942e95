//! Which parts of an object a request may change, and what holds a deletion back.

use api_meta::Kinds;
use serde_json::json;

use super::{is_deletion_finished, isolate, keep_system_metadata};
use crate::registry::update::Part;

#[test]
fn a_status_request_changes_the_status_only() {
    let old = json!({"kind": "Pod", "metadata": {"name": "a", "ownerReferences": [1]}, "spec": {"x": 1}, "status": {"p": 1}});
    let mut new = json!({"kind": "Pod", "metadata": {"name": "a", "labels": {"l": "v"}}, "spec": {"x": 2}, "status": {"p": 2}});
    isolate(Part::Status, &mut new, &old);
    assert_eq!(
        new,
        json!({"kind": "Pod", "metadata": {"name": "a", "ownerReferences": [1], "labels": {"l": "v"}}, "spec": {"x": 1}, "status": {"p": 2}})
    );
}

#[test]
fn a_spec_request_keeps_the_status_where_the_kind_has_one() {
    let old = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"x": 1}, "status": {"p": 1}});
    let mut new = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"x": 2}});
    isolate(Part::Whole, &mut new, &old);
    assert_eq!(new["status"], json!({"p": 1}));
}

#[test]
fn users_do_not_change_the_servers_metadata() {
    let old = json!({"metadata": {"name": "a", "uid": "u", "creationTimestamp": "t"}});
    let mut new = json!({"metadata": {"uid": "x", "deletionTimestamp": "d", "managedFields": []}});
    keep_system_metadata(&mut new, &old);
    assert_eq!(new, old);
}

#[test]
fn finalizers_and_grace_hold_an_object_back() {
    let kinds = Kinds::builtin();
    let pods = kinds.by_resource("", "v1", "pods").unwrap();
    let namespaces = kinds.by_resource("", "v1", "namespaces").unwrap();
    let meta = |extra| {
        let mut value =
            json!({"metadata": {"deletionTimestamp": "t"}, "spec": {"finalizers": ["kubernetes"]}});
        api_meta::object::set(&mut value, &["metadata", "finalizers"], extra);
        value
    };
    assert!(is_deletion_finished(pods, &meta(json!([]))));
    assert!(!is_deletion_finished(namespaces, &meta(json!([]))));
    assert!(!is_deletion_finished(pods, &meta(json!(["x"]))));
    assert!(!is_deletion_finished(pods, &json!({"metadata": {}})));
}
