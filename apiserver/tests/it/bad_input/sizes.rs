//! Objects that are too large, for the request, for their kind and for the store.

use http::StatusCode;
use serde_json::{Value, json};

use super::support::MAPS;
use crate::harness::Cluster;

const MIB: usize = 1 << 20;

fn map(bytes: usize) -> Value {
    json!({"metadata": {"name": "big"}, "data": {"x": "y".repeat(bytes)}})
}

#[tokio::test]
async fn what_is_too_large_is_said_and_not_stored() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    let (code, status) = admin.post(MAPS, &map(3 * MIB)).await;
    assert_eq!(code, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(status["reason"], "RequestEntityTooLarge");
    assert_eq!(
        status["message"],
        "Request entity too large: limit is 3145728"
    );

    // These are the words since Kubernetes 1.32; before, it was "must have at most 1048576 bytes".
    let long = "Too long: may not be more than 1048576 bytes";
    let (code, status) = admin.post(MAPS, &map(MIB + 1)).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        (&status["reason"], &status["message"]),
        (
            &json!("Invalid"),
            &json!(format!("ConfigMap \"big\" is invalid: []: {long}"))
        )
    );
    assert_eq!(
        status["details"]["causes"][0],
        json!({"reason": "FieldValueTooLong", "message": long, "field": "[]"})
    );
    let secret = json!({"metadata": {"name": "big"}, "stringData": {"x": "y".repeat(MIB + 1)}});
    let (code, status) = admin
        .post("/api/v1/namespaces/default/secrets", &secret)
        .await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY, "{status}");
    assert_eq!(
        status["message"],
        format!("Secret \"big\" is invalid: data: {long}")
    );
    let noted =
        json!({"metadata": {"name": "big", "annotations": {"a": "y".repeat(256 * 1024 + 1)}}});
    let (code, status) = admin.post(MAPS, &noted).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY, "{status}");
    assert_eq!(
        status["message"],
        "ConfigMap \"big\" is invalid: metadata.annotations: Too long: may not be more than 262144 bytes"
    );
    let (code, _) = admin.get(&format!("{MAPS}/big")).await;
    assert_eq!(code, StatusCode::NOT_FOUND);
    // The largest that may be.
    let (code, status) = admin.post(MAPS, &map(MIB)).await;
    assert_eq!(code, StatusCode::CREATED, "{}", status["message"]);
}

#[tokio::test]
async fn what_is_too_large_for_the_store_is_said_and_not_stored() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    // Within the limit of a request, and no rule of its kind is broken: 2 MiB of names.
    let names: Vec<String> = (0..2048).map(|n| format!("{n:01024}")).collect();
    let role = json!({"metadata": {"name": "big"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"], "resourceNames": names}]});
    let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    let (code, status) = admin.post(roles, &role).await;
    assert_eq!(
        (code, &status["reason"]),
        (
            StatusCode::PAYLOAD_TOO_LARGE,
            &json!("RequestEntityTooLarge")
        ),
        "{status}"
    );
    assert_eq!(
        status["message"],
        "Request entity too large: etcdserver: request is too large"
    );
    let (code, _) = admin.get(&format!("{roles}/big")).await;
    assert_eq!(code, StatusCode::NOT_FOUND);
}
