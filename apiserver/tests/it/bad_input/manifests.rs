//! Manifests and commands that are wrong, and what kubectl shows of it.

use crate::harness::Cluster;

/// Writes a manifest and runs `kubectl create` on it with further arguments.
async fn create(cluster: &Cluster, manifest: &str, more: &[&str]) -> (bool, String) {
    std::fs::write(cluster.dir.path().join("m.yaml"), manifest).unwrap();
    let args = [&["create", "-f", "m.yaml"], more].concat();
    cluster.kubectl(&args).await
}

async fn refused(cluster: &Cluster, manifest: &str, words: &str) {
    let (ok, text) = create(cluster, manifest, &[]).await;
    assert!(!ok, "it must be refused: {text}");
    assert!(text.contains(words), "{words:?} is not in {text}");
}

#[tokio::test]
async fn manifests_that_do_not_fit_are_refused_in_the_words_that_users_know() {
    let cluster = Cluster::start().await;
    cluster
        .kubectl_ok(&["create", "serviceaccount", "default"])
        .await;
    for (manifest, words) in [
        (
            "{apiVersion: v1, kind: Nonsense, metadata: {name: x}}",
            "error: resource mapping not found for name: \"x\" namespace: \"\" from \"m.yaml\": no matches for kind \"Nonsense\" in version \"v1\"",
        ),
        (
            "{apiVersion: apps/v9, kind: Deployment, metadata: {name: x}}",
            "no matches for kind \"Deployment\" in version \"apps/v9\"",
        ),
        (
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, foo: 1}",
            "Error from server (BadRequest): error when creating \"m.yaml\": ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field \"foo\"",
        ),
        (
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, data: {x: 3}}",
            "Error from server (BadRequest): error when creating \"m.yaml\": ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
        ),
        (
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: X_y}}",
            "The ConfigMap \"X_y\" is invalid: metadata.name: Invalid value: \"X_y\": a lowercase RFC 1123 subdomain",
        ),
        (
            "{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {}}",
            "The Pod \"x\" is invalid: spec.containers: Required value",
        ),
        (
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: none}}",
            "Error from server (NotFound): error when creating \"m.yaml\": namespaces \"none\" not found",
        ),
        (
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}",
            "error: error parsing m.yaml: ",
        ),
    ] {
        refused(&cluster, manifest, words).await;
    }
    let (ok, text) = cluster.kubectl(&["get", "configmap", "x"]).await;
    assert!(!ok, "nothing of it was stored: {text}");
    assert_eq!(
        text.trim(),
        "Error from server (NotFound): configmaps \"x\" not found"
    );
}

#[tokio::test]
async fn unknown_fields_are_warned_of_or_passed_over_where_the_user_says_so() {
    let cluster = Cluster::start().await;
    let odd = |name: &str| {
        format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}, foo: 1}}")
    };
    let (ok, text) = create(&cluster, &odd("warned"), &["--validate=warn"]).await;
    assert!(ok, "{text}");
    assert!(text.contains("Warning: unknown field \"foo\""), "{text}");
    let (ok, text) = create(&cluster, &odd("ignored"), &["--validate=ignore"]).await;
    assert!(ok, "{text}");
    assert_eq!(text.trim(), "configmap/ignored created");
}

#[tokio::test]
async fn manifests_that_are_too_large_are_refused() {
    let cluster = Cluster::start().await;
    let map = |bytes: usize| {
        format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: big}}, data: {{x: \"{}\"}}}}",
            "y".repeat(bytes)
        )
    };
    refused(
        &cluster,
        &map(3 << 20),
        "Error from server (RequestEntityTooLarge): error when creating \"m.yaml\": Request entity too large: limit is 3145728",
    )
    .await;
    refused(
        &cluster,
        &map((1 << 20) + 1),
        "The ConfigMap \"big\" is invalid: []: Too long: may not be more than 1048576 bytes",
    )
    .await;
}

#[tokio::test]
async fn commands_on_what_is_not_there_are_refused() {
    let cluster = Cluster::start().await;
    cluster
        .kubectl_ok(&["create", "configmap", "a", "--from-literal=x=1"])
        .await;
    for (args, words) in [
        (
            &["get", "nonsenses"][..],
            "error: the server doesn't have a resource type \"nonsenses\"",
        ),
        (
            &["get", "configmaps", "-l", "a,"],
            "found '', expected: identifier after ','",
        ),
        (
            &["get", "configmaps", "--field-selector", "data.x=1"],
            "Error from server (BadRequest): Unable to find \"/v1, Resource=configmaps\" that match label selector \"\", field selector \"data.x=1\"",
        ),
        (
            &[
                "patch",
                "configmap",
                "a",
                "--type=json",
                "-p",
                r#"[{"op":"test","path":"/data/x","value":"2"}]"#,
            ],
            "The request is invalid: the server rejected our request due to an error in our request",
        ),
        (
            &["patch", "configmap", "none", "-p", "{}"],
            "Error from server (NotFound): configmaps \"none\" not found",
        ),
        (
            &["create", "configmap", "a"],
            "error: failed to create configmap: configmaps \"a\" already exists",
        ),
        (
            &["delete", "namespace", "default"],
            "Error from server (Forbidden): namespaces \"default\" is forbidden: this namespace may not be deleted",
        ),
    ] {
        let (ok, text) = cluster.kubectl(args).await;
        assert!(!ok && text.contains(words), "{words:?} is not in {text}");
    }
    let text = cluster
        .kubectl_ok(&["get", "configmap", "a", "-o", "jsonpath={.data}"])
        .await;
    assert_eq!(text, r#"{"x":"1"}"#);
}
