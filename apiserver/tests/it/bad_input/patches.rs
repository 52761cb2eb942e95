//! Patches and deletions that make no sense, and leave the object as it is.

use http::{Method, StatusCode};
use serde_json::json;

use super::support::{Case, JSON, MAPS, check};
use crate::client::version;
use crate::harness::Cluster;

const MAP: &str = "/api/v1/namespaces/default/configmaps/a";

#[tokio::test]
async fn bad_patches_are_refused_and_change_nothing() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    let body = json!({"metadata": {"name": "a"}, "data": {"x": "1"}});
    let (code, before) = admin.post(MAPS, &body).await;
    assert_eq!(code, StatusCode::CREATED);
    let patch = |form: &'static str, body: &'static str, words| Case {
        method: Method::PATCH,
        content_type: form,
        ..Case::post(MAP, body, words)
    };
    let (json_patch, merge, strategic) = (
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
    );
    let rejected = "the server rejected our request due to an error in our request";
    let cases = vec![
        patch(
            JSON,
            "{}",
            "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json",
        )
        .refused(415, "UnsupportedMediaType"),
        patch(merge, "{", "error decoding patch: "),
        patch(merge, "", "error decoding patch: "),
        patch(merge, "[]", "error decoding patch: "),
        patch(json_patch, "{}", "error decoding patch: "),
        patch(json_patch, r#"[{"op":"nonsense","path":"/data/x"}]"#, ""),
        patch(
            json_patch,
            r#"[{"op":"test","path":"/data/x","value":"2"}]"#,
            rejected,
        )
        .refused(422, "Invalid"),
        patch(json_patch, r#"[{"op":"remove","path":"/data/y"}]"#, rejected)
            .refused(422, "Invalid"),
        patch(merge, r#"{"data":{"x":3}}"#, "json: cannot unmarshal number"),
        patch(strategic, r#"{"data":{"x":3}}"#, "patch: Invalid value: ").refused(422, "Invalid"),
        patch(
            merge,
            r#"{"metadata":{"name":"b"}}"#,
            "the name of the object (b) does not match the name on the URL (a)",
        ),
        // Upstream says 409 with the same words as for an update.
        patch(
            merge,
            r#"{"metadata":{"resourceVersion":"1"}}"#,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
        .refused(409, "Conflict"),
    ];
    check(&admin, cases).await;
    let missing = admin.merge(&format!("{MAPS}/none"), &json!({})).await;
    assert_eq!(missing.0, StatusCode::NOT_FOUND, "{}", missing.1);
    let (_, after) = admin.get(MAP).await;
    assert_eq!((version(&after), &after), (version(&before), &before));
}

#[tokio::test]
async fn bad_updates_are_refused_and_change_nothing() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    let body = json!({"metadata": {"name": "a"}, "data": {"x": "1"}});
    let (_, before) = admin.post(MAPS, &body).await;
    let put = |body: &'static str, words| Case {
        method: Method::PUT,
        ..Case::post(MAP, body, words)
    };
    let cases = vec![
        put(
            r#"{"metadata":{"name":"b"}}"#,
            "the name of the object (b) does not match the name on the URL (a)",
        ),
        put(
            r#"{"metadata":{"name":"a","namespace":"other"}}"#,
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        put("{", "json parse error"),
        put(
            r#"{"metadata":{"name":"a","resourceVersion":"1"}}"#,
            "Operation cannot be fulfilled on configmaps \"a\": the object has been modified",
        )
        .refused(409, "Conflict"),
    ];
    check(&admin, cases).await;
    let odd = json!({"metadata": {"name": "a", "resourceVersion": "new"}});
    let (code, status) = admin.put(MAP, &odd).await;
    assert!(code.is_client_error(), "{status}");
    let (_, after) = admin.get(MAP).await;
    assert_eq!((version(&after), &after), (version(&before), &before));
}

#[tokio::test]
async fn bad_deletions_are_refused_and_delete_nothing() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    let body = json!({"metadata": {"name": "a"}});
    admin.post(MAPS, &body).await;
    let delete = |path: &'static str, body: &'static str, words| Case {
        method: Method::DELETE,
        ..Case::post(path, body, words)
    };
    let cases = vec![
        delete(MAP, "{", ""),
        delete(
            MAP,
            r#"{"propagationPolicy":"Sideways"}"#,
            "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"Sideways\"",
        )
        .refused(422, "Invalid"),
        delete(
            "/api/v1/namespaces/default/configmaps/a?gracePeriodSeconds=soon",
            "",
            "strconv.ParseInt: parsing \"soon\": invalid syntax",
        ),
        delete(
            MAP,
            r#"{"preconditions":{"uid":"other"}}"#,
            "Operation cannot be fulfilled on ConfigMap \"a\": the UID in the precondition (other) does not match the UID in record (",
        )
        .refused(409, "Conflict"),
        delete(
            "/api/v1/namespaces/default/configmaps/none",
            "",
            "configmaps \"none\" not found",
        )
        .refused(404, "NotFound"),
    ];
    check(&admin, cases).await;
    assert_eq!(admin.get(MAP).await.0, StatusCode::OK);
}
