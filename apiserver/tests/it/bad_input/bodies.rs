//! Bodies that cannot be read, or are not what the path takes.

use http::{Method, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use super::support::{Case, JSON, MAPS, check};
use crate::harness::Cluster;

#[tokio::test]
async fn bodies_that_are_no_object_are_refused() {
    let cluster = Cluster::start().await;
    let deep = format!("{{\"data\":{}", "[".repeat(100_000));
    let body = |content_type, body, words| Case {
        content_type,
        body,
        ..Case::post(MAPS, "", words)
    };
    let cases = vec![
        Case::post(MAPS, "{", "json parse error"),
        Case::post(MAPS, "", "json parse error"),
        Case::post(MAPS, "[]", ""),
        Case::post(MAPS, "\"text\"", ""),
        Case::post(MAPS, &deep, "json parse error"),
        body(JSON, b"{\"data\": {\"x\": \"\xff\xfe\"}}", ""),
        body("application/yaml", b"a: [1", "yaml parse error"),
        body(
            "application/vnd.kubernetes.protobuf",
            b"nonsense",
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]",
        ),
        body(
            "application/vnd.kubernetes.protobuf",
            b"k8s\0\xff\xff\xff\xff",
            "proto: ",
        ),
        body(
            "text/plain",
            b"{}",
            "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf",
        )
        .refused(415, "UnsupportedMediaType"),
    ];
    check(&cluster.admin(0), cases).await;
    // The server that met all that still serves.
    assert_eq!(cluster.admin(0).get(MAPS).await.0, StatusCode::OK);
}

#[tokio::test]
async fn objects_that_the_path_does_not_take_are_refused() {
    let cluster = Cluster::start().await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let account = json!({"metadata": {"name": "default"}});
    cluster.admin(0).post(accounts, &account).await;
    let cases = vec![
        Case::post(
            MAPS,
            r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"}}"#,
            "Pod in version \"v1\" cannot be handled as a ConfigMap",
        ),
        Case::post(
            MAPS,
            r#"{"kind":"ConfigMap","apiVersion":"v9","metadata":{"name":"a"}}"#,
            "the API version in the data (v9) does not match the expected API version (v1)",
        ),
        Case::post(
            MAPS,
            r#"{"metadata":{"name":"a"},"data":{"x":3}}"#,
            "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
        ),
        Case::post(
            MAPS,
            r#"{"metadata":{"name":"a","namespace":"other"}}"#,
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        Case::post(
            MAPS,
            r#"{"metadata":{"name":"a","resourceVersion":"7"}}"#,
            "resourceVersion should not be set on objects to be created",
        ),
        Case::post(MAPS, "{}", "name or generateName is required").refused(422, "Invalid"),
        Case::post(
            MAPS,
            r#"{"metadata":{"name":"A_b"}}"#,
            "metadata.name: Invalid value: \"A_b\": a lowercase RFC 1123 subdomain must consist of",
        )
        .refused(422, "Invalid"),
        Case::post(
            MAPS,
            r#"{"metadata":{"name":"a/../b"}}"#,
            "metadata.name: Invalid value: \"a/../b\"",
        )
        .refused(422, "Invalid"),
        Case::post(
            "/api/v1/namespaces/default/pods",
            r#"{"metadata":{"name":"a"},"spec":{"containers":[]}}"#,
            "Pod \"a\" is invalid: spec.containers: Required value",
        )
        .refused(422, "Invalid"),
    ];
    check(&cluster.admin(0), cases).await;
    let (_, list) = cluster.admin(0).get(MAPS).await;
    assert!(
        !list.to_string().contains("\"name\":\"a\""),
        "a refused object must not be stored"
    );
}

#[tokio::test]
async fn paths_and_methods_that_do_not_exist_are_refused() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    for path in [
        "/api/v1/namespaces/default/nonsenses",
        "/api/v9/namespaces/default/configmaps",
        "/apis/nonsense/v1/things",
        "/apis/apps/v9/namespaces/default/deployments",
        "/nonsense",
    ] {
        for method in [Method::GET, Method::POST] {
            let (code, text) = admin.send(method.clone(), path, JSON, b"{}".to_vec()).await;
            let expected = if path == "/nonsense" && method == Method::POST {
                StatusCode::METHOD_NOT_ALLOWED
            } else {
                StatusCode::NOT_FOUND
            };
            assert_eq!(code, expected, "{method} {path}: {text}");
        }
    }
    let words = "the server does not allow this method on the requested resource";
    let method = |method, path| {
        Case {
            method,
            ..Case::post(path, "{}", words)
        }
        .refused(405, "MethodNotAllowed")
    };
    let cases = vec![
        method(Method::PUT, MAPS),
        method(Method::POST, "/api/v1/namespaces/default/configmaps/a"),
        method(Method::DELETE, "/api/v1/namespaces"),
        Case::post(
            "/api/v1/namespaces/default/configmaps/a/nonsense",
            "{}",
            "the server could not find the requested resource",
        )
        .refused(404, "NotFound"),
    ];
    check(&admin, cases).await;
}

/// Creates a ConfigMap with `query`: the code, the warnings, the answer.
async fn create(cluster: &Cluster, query: &str, body: &str) -> (u16, Vec<String>, Value) {
    let admin = cluster.admin(0);
    let request = admin
        .request(Method::POST, &format!("{MAPS}?{query}"))
        .header("content-type", JSON)
        .body(Full::from(body.to_owned()))
        .unwrap();
    let (headers, (code, answer)) = admin.exchange(request).await;
    let warnings = headers.get_all("warning").iter();
    let warnings = warnings.map(|value| value.to_str().unwrap().to_owned());
    (code.as_u16(), warnings.collect(), answer)
}

#[tokio::test]
async fn unknown_fields_are_treated_as_the_client_wants() {
    let cluster = Cluster::start().await;
    let odd = |name: &str| {
        format!(
            r#"{{"metadata":{{"name":"{name}","nonsense":1}},"foo":1,"data":{{"x":"1","x":"2"}}}}"#
        )
    };
    let (code, warnings, status) = create(&cluster, "fieldValidation=Strict", &odd("a")).await;
    assert_eq!((code, &status["reason"]), (400, &json!("BadRequest")));
    assert!(warnings.is_empty(), "{warnings:?}");
    let message = status["message"].as_str().unwrap();
    for words in [
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: ",
        "unknown field \"foo\"",
        "unknown field \"metadata.nonsense\"",
        "duplicate field \"data.x\"",
    ] {
        assert!(message.contains(words), "{words:?} is not in {message:?}");
    }
    // Upstream's default for clients that say nothing is to warn.
    for query in ["", "fieldValidation=Warn"] {
        let name = if query.is_empty() { "b" } else { "c" };
        let (code, warnings, made) = create(&cluster, query, &odd(name)).await;
        assert_eq!((code, made.get("foo")), (201, None), "{made}");
        for words in [
            r#"299 - "unknown field \"foo\"""#,
            r#"299 - "unknown field \"metadata.nonsense\"""#,
            r#"299 - "duplicate field \"data.x\"""#,
        ] {
            assert!(warnings.contains(&words.to_owned()), "{warnings:?}");
        }
    }
    let (code, warnings, made) = create(&cluster, "fieldValidation=Ignore", &odd("d")).await;
    assert_eq!((code, made.get("foo")), (201, None), "{made}");
    assert!(warnings.is_empty(), "{warnings:?}");
    let found = cluster.admin(0).get(&format!("{MAPS}/a")).await;
    assert_eq!(found.0, StatusCode::NOT_FOUND, "{}", found.1);
}

#[tokio::test]
async fn options_of_writes_that_do_not_exist_are_refused() {
    let cluster = Cluster::start().await;
    let body = r#"{"metadata":{"name":"a"}}"#;
    let invalid = |path: &'static str, words| Case::post(path, body, words).refused(422, "Invalid");
    let cases = vec![
        invalid(
            "/api/v1/namespaces/default/configmaps?fieldValidation=Sometimes",
            "CreateOptions.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported value: \"Sometimes\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"",
        ),
        invalid(
            "/api/v1/namespaces/default/configmaps?dryRun=Maybe",
            "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: \"Maybe\": supported values: \"All\"",
        ),
    ];
    check(&cluster.admin(0), cases).await;
    let (code, _) = cluster.admin(0).get(&format!("{MAPS}/a")).await;
    assert_eq!(code, StatusCode::NOT_FOUND);
}
