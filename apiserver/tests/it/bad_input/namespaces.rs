//! Requests for namespaces that end, do not exist, or never end.

use http::{Method, StatusCode};
use serde_json::json;

use super::support::{Case, check};
use crate::harness::Cluster;

#[tokio::test]
async fn namespaces_that_end_or_do_not_exist_take_nothing() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    admin
        .post("/api/v1/namespaces", &json!({"metadata": {"name": "n"}}))
        .await;
    admin.delete("/api/v1/namespaces/n", &json!({})).await;
    let body = r#"{"metadata":{"name":"a"}}"#;
    let (code, status) = admin
        .post(
            "/api/v1/namespaces/n/configmaps",
            &json!({"metadata": {"name": "a"}}),
        )
        .await;
    assert_eq!(code, StatusCode::FORBIDDEN);
    assert_eq!(
        status["message"],
        "configmaps \"a\" is forbidden: unable to create new content in namespace n because it is being terminated"
    );
    assert_eq!(
        status["details"],
        json!({"name": "a", "kind": "configmaps", "causes": [{
            "reason": "NamespaceTerminating",
            "message": "namespace n is being terminated",
            "field": "metadata.namespace",
        }]})
    );
    let cases = vec![
        Case::post(
            "/apis/apps/v1/namespaces/n/deployments",
            r#"{"metadata":{"name":"a"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"x"}]}}}}"#,
            "deployments.apps \"a\" is forbidden: unable to create new content in namespace n",
        )
        .refused(403, "Forbidden"),
        Case::post(
            "/api/v1/namespaces/none/configmaps",
            body,
            "namespaces \"none\" not found",
        )
        .refused(404, "NotFound"),
        Case {
            method: Method::DELETE,
            ..Case::post(
                "/api/v1/namespaces/default",
                "",
                "namespaces \"default\" is forbidden: this namespace may not be deleted",
            )
            .refused(403, "Forbidden")
        },
    ];
    check(&admin, cases).await;
    // Reading is no fault, wherever.
    let (code, list) = admin.get("/api/v1/namespaces/none/configmaps").await;
    assert_eq!((code, &list["items"]), (StatusCode::OK, &json!([])));
}
