//! The namespace in a manifest, and in the path.

use http::StatusCode;
use serde_json::json;

use super::{MAPS, map};
use crate::harness::Cluster;

#[tokio::test]
async fn a_namespace_in_a_manifest_means_nothing_to_what_lies_in_none() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    let role = json!({"metadata": {"name": "r", "namespace": "default"}, "rules": []});
    let (code, made) = admin.post(path, &role).await;
    assert_eq!(code, StatusCode::CREATED, "{made}");
    assert!(made["metadata"].get("namespace").is_none());
    let own = format!("{path}/r");
    let (code, put) = admin.put(&own, &role).await;
    assert_eq!(code, StatusCode::OK, "{put}");
    let patch = json!({"metadata": {"namespace": "other", "labels": {"a": "b"}}});
    let (code, patched) = admin.merge(&own, &patch).await;
    assert_eq!(code, StatusCode::OK, "{patched}");
    assert!(patched["metadata"].get("namespace").is_none());
    let namespace = json!({"metadata": {"name": "n", "namespace": "default"}});
    let (code, made) = admin.post("/api/v1/namespaces", &namespace).await;
    assert_eq!(code, StatusCode::CREATED, "{made}");
}

#[tokio::test]
async fn a_manifest_for_another_namespace_is_refused() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    admin.post(MAPS, &map("a", "1")).await;
    let mut other = map("b", "1");
    other["metadata"]["namespace"] = "other".into();
    let path = format!("{MAPS}/a");
    let patch = json!({"metadata": {"namespace": "other"}});
    for (code, status) in [
        admin.post(MAPS, &other).await,
        admin.put(&path, &other).await,
        admin.merge(&path, &patch).await,
    ] {
        assert_eq!(code, StatusCode::BAD_REQUEST, "{status}");
        assert_eq!(
            status["message"],
            "the namespace of the provided object does not match the namespace sent on the request"
        );
    }
}
