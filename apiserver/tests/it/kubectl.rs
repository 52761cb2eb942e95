//! What a user does with kubectl: each command must work, and show what it did.

use crate::harness::Cluster;

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: 'x:1'}]}
";

#[tokio::test]
async fn config_maps_and_secrets_live_a_whole_life() {
    let cluster = Cluster::start().await;
    let text = cluster
        .kubectl_ok(&["create", "configmap", "a", "--from-literal=x=y"])
        .await;
    assert_eq!(text.trim(), "configmap/a created");
    let (ok, text) = cluster.kubectl(&["create", "configmap", "a"]).await;
    assert!(
        !ok && text.contains("configmaps \"a\" already exists"),
        "{text}"
    );
    let text = cluster
        .kubectl_ok(&["get", "configmap", "a", "--no-headers"])
        .await;
    assert_eq!(
        text.split_whitespace().take(2).collect::<Vec<_>>(),
        ["a", "1"]
    );
    cluster
        .kubectl_ok(&["patch", "cm", "a", "-p", r#"{"data":{"x":"z"}}"#])
        .await;
    cluster.kubectl_ok(&["label", "cm", "a", "l=v"]).await;
    let text = cluster
        .kubectl_ok(&[
            "get",
            "cm",
            "-l",
            "l=v",
            "-o",
            "jsonpath={.items[*].data.x}",
        ])
        .await;
    assert_eq!(text, "z");
    cluster
        .kubectl_ok(&["create", "secret", "generic", "s", "--from-literal=p=q"])
        .await;
    let text = cluster
        .kubectl_ok(&["get", "secret", "s", "-o", "jsonpath={.data.p}{.type}"])
        .await;
    assert_eq!(text, "cQ==Opaque");
    cluster.kubectl_ok(&["delete", "cm/a", "secret/s"]).await;
    let (ok, text) = cluster.kubectl(&["get", "cm", "a"]).await;
    assert!(
        !ok && text.contains("Error from server (NotFound): configmaps \"a\" not found"),
        "{text}"
    );
}

#[tokio::test]
async fn a_deployment_is_applied_scaled_patched_and_deleted() {
    let cluster = Cluster::start().await;
    std::fs::write(cluster.dir.path().join("web.yaml"), DEPLOYMENT).unwrap();
    let apply = ["apply", "-f", "web.yaml"];
    assert!(
        cluster
            .kubectl_ok(&apply)
            .await
            .contains("deployment.apps/web created")
    );
    assert!(
        cluster
            .kubectl_ok(&apply)
            .await
            .contains("deployment.apps/web unchanged")
    );
    cluster
        .kubectl_ok(&["scale", "deployment", "web", "--replicas=5"])
        .await;
    cluster
        .kubectl_ok(&["set", "image", "deployment/web", "c=x:2"])
        .await;
    let path = "jsonpath={.spec.replicas} {.metadata.generation} {.spec.template.spec.containers[0].image}";
    assert_eq!(
        cluster
            .kubectl_ok(&["get", "deployment", "web", "-o", path])
            .await,
        "5 3 x:2"
    );
    assert!(
        cluster
            .kubectl_ok(&apply)
            .await
            .contains("deployment.apps/web configured")
    );
    assert_eq!(
        cluster
            .kubectl_ok(&["get", "deployment", "web", "-o", path])
            .await,
        "2 4 x:1"
    );
    assert!(
        cluster
            .kubectl_ok(&["describe", "deployment", "web"])
            .await
            .contains("2 desired")
    );
    assert!(
        cluster
            .kubectl_ok(&["get", "all", "-A"])
            .await
            .contains("deployment.apps/web")
    );
    cluster.kubectl_ok(&["delete", "-f", "web.yaml"]).await;
    assert!(!cluster.kubectl_ok(&["get", "all"]).await.contains("web"));
}

#[tokio::test]
async fn kubectl_finds_its_way_around() {
    let cluster = Cluster::start().await;
    let text = cluster.kubectl_ok(&["api-resources"]).await;
    assert!(
        text.contains("deployments") && text.contains("storageclasses"),
        "{text}"
    );
    assert!(
        cluster
            .kubectl_ok(&["explain", "pod.spec.nodeName"])
            .await
            .contains("nodeName <string>")
    );
    assert!(
        cluster
            .kubectl_ok(&["version"])
            .await
            .contains("Server Version: v1.36")
    );
    assert_eq!(
        cluster
            .kubectl_ok(&["auth", "can-i", "create", "pods"])
            .await
            .trim(),
        "yes"
    );
    let (ok, text) = cluster.kubectl(&["get", "nonsense"]).await;
    assert!(
        !ok && text.contains("the server doesn't have a resource type \"nonsense\""),
        "{text}"
    );
    let text = cluster
        .kubectl_ok(&["get", "ns", "default", "-o", "yaml"])
        .await;
    assert!(
        text.contains("kubernetes.io/metadata.name: default"),
        "{text}"
    );
    let (ok, text) = cluster.kubectl(&["get", "pods", "--as", "bob"]).await;
    assert!(
        !ok && text.contains("User \"bob\" cannot list resource \"pods\""),
        "{text}"
    );
}
