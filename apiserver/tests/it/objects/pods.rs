//! Pods through their subresources, and from the request for their end to it.

use http::StatusCode;
use serde_json::{Value, json};

use crate::client::{Client, version};
use crate::harness::Cluster;

pub(super) const PODS: &str = "/api/v1/namespaces/default/pods";

/// A pod with the given fields in its spec. Its service account is made if it is missing.
pub(super) async fn create(admin: &Client, name: &str, more: Value) -> Value {
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    admin
        .post(accounts, &json!({"metadata": {"name": "default"}}))
        .await;
    let mut spec = json!({"containers": [{"name": "c", "image": "x"}]});
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    let pod = json!({"metadata": {"name": name, "labels": {"app": "a"}}, "spec": spec});
    let (code, pod) = admin.post(PODS, &pod).await;
    assert_eq!(code, StatusCode::CREATED, "{pod}");
    pod
}

/// Binds a pod to a node.
pub(super) async fn bind(admin: &Client, name: &str) {
    let binding = json!({"metadata": {"name": name}, "target": {"kind": "Node", "name": "n1"}});
    let (code, status) = admin
        .post(&format!("{PODS}/{name}/binding"), &binding)
        .await;
    assert_eq!(code, StatusCode::CREATED, "{status}");
}

#[tokio::test]
async fn a_binding_is_no_change_of_the_spec() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    let node = json!({"metadata": {"name": "n1", "labels": {"topology.kubernetes.io/zone": "z1", "other": "x"}}});
    let (code, node) = admin.post("/api/v1/nodes", &node).await;
    assert_eq!(code, StatusCode::CREATED);
    assert_eq!(
        node["spec"]["taints"],
        json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]),
        "a new node is not ready"
    );
    create(&admin, "p", json!({})).await;
    let path = format!("{PODS}/p");
    let nominated = json!({"status": {"nominatedNodeName": "n2"}});
    admin.merge(&format!("{path}/status"), &nominated).await;
    let wrong = json!({"metadata": {"name": "q"}, "target": {"kind": "Node", "name": "n1"}});
    let (code, status) = admin.post(&format!("{path}/binding"), &wrong).await;
    assert_eq!(
        (code, status["message"].as_str().unwrap()),
        (
            StatusCode::BAD_REQUEST,
            "name in URL does not match name in Binding object"
        )
    );
    let binding = json!({"metadata": {"name": "p", "labels": {"bound": "yes"}}, "target": {"kind": "Node", "name": "n1"}});
    admin.post(&format!("{path}/binding"), &binding).await;
    let (_, bound) = admin.get(&path).await;
    assert_eq!(bound["spec"]["nodeName"], "n1");
    assert_eq!(bound["metadata"]["generation"], 1);
    assert!(bound["status"].get("nominatedNodeName").is_none());
    assert_eq!(
        bound["metadata"]["labels"],
        json!({"app": "a", "bound": "yes", "topology.kubernetes.io/zone": "z1"})
    );
}

#[tokio::test]
async fn a_gated_pod_waits_and_says_so() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    let gates = json!({"schedulingGates": [{"name": "example.com/g"}]});
    let pod = create(&admin, "p", gates).await;
    let told = &pod["status"]["conditions"][0];
    assert_eq!(
        (&told["type"], &told["status"], &told["reason"]),
        (
            &json!("PodScheduled"),
            &json!("False"),
            &json!("SchedulingGated")
        )
    );
}

#[tokio::test]
async fn ephemeral_containers_are_added_and_never_changed() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    create(&admin, "p", json!({})).await;
    let path = format!("{PODS}/p/ephemeralcontainers");
    let add = |name: &str, image: &str| json!({"spec": {"ephemeralContainers": [{"name": name, "image": image}]}});
    let patch = async |body: Value| {
        let body = body.to_string().into_bytes();
        let form = "application/strategic-merge-patch+json";
        admin.send(http::Method::PATCH, &path, form, body).await
    };
    let (code, pod) = patch(add("debug", "busybox")).await;
    assert_eq!(code, StatusCode::OK, "{pod}");
    assert_eq!(pod["spec"]["ephemeralContainers"][0]["name"], "debug");
    assert_eq!(pod["metadata"]["generation"], 2);
    let (code, status) = patch(add("debug", "other")).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY, "{status}");
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains("existing ephemeral containers \"debug\" may not be changed"),
        "{status}"
    );
    let (code, _) = patch(add("more", "busybox")).await;
    assert_eq!(code, StatusCode::OK);
    // What is there stands in the way of nothing else.
    let resize = json!({"spec": {"containers": [{"name": "c", "image": "x", "resources": {"requests": {"cpu": "1"}}}]}});
    let (code, status) = admin.merge(&format!("{PODS}/p/resize"), &resize).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains("QOS Class may not change"),
        "{status}"
    );
    let label = json!({"metadata": {"labels": {"x": "y"}}});
    assert_eq!(
        admin.merge(&format!("{PODS}/p"), &label).await.0,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_resize_changes_resources_and_not_the_class() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    let asks = |cpu: &str| json!({"containers": [{"name": "c", "image": "x", "resources": {"requests": {"cpu": cpu}}}]});
    create(&admin, "p", asks("1")).await;
    let path = format!("{PODS}/p/resize");
    let (code, pod) = admin.merge(&path, &json!({"spec": asks("2")})).await;
    assert_eq!(code, StatusCode::OK, "{pod}");
    assert_eq!(
        pod["spec"]["containers"][0]["resources"]["requests"]["cpu"],
        "2"
    );
    assert_eq!(pod["status"]["qosClass"], "Burstable");
    assert_eq!(pod["metadata"]["generation"], 2);
    let mut other = asks("2");
    other["containers"][0]["resources"]["requests"]["ephemeral-storage"] = "1Gi".into();
    let (code, status) = admin.merge(&path, &json!({"spec": other})).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY, "{status}");
    let (code, status) = admin
        .merge(&format!("{PODS}/p"), &json!({"spec": asks("3")}))
        .await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY, "{status}");
}

#[tokio::test]
async fn time_to_end_is_never_shortened_by_asking_twice() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    create(&admin, "p", json!({"terminationGracePeriodSeconds": 5})).await;
    bind(&admin, "p").await;
    let path = format!("{PODS}/p");
    let (_, first) = admin
        .delete(&path, &json!({"gracePeriodSeconds": 600}))
        .await;
    assert_eq!(first["metadata"]["deletionGracePeriodSeconds"], 600);
    let (code, second) = admin.delete(&path, &json!({})).await;
    assert_eq!(code, StatusCode::OK);
    assert_eq!(version(&second), version(&first), "nothing changed");
    let (_, longer) = admin
        .delete(&path, &json!({"gracePeriodSeconds": 900}))
        .await;
    assert_eq!(version(&longer), version(&first));
    let (_, shorter) = admin
        .delete(&path, &json!({"gracePeriodSeconds": 300}))
        .await;
    assert_eq!(shorter["metadata"]["deletionGracePeriodSeconds"], 300);
    let time = |pod: &Value| {
        let text = pod["metadata"]["deletionTimestamp"].as_str().unwrap();
        text.parse::<jiff::Timestamp>().unwrap().as_second()
    };
    assert_eq!(time(&first) - time(&shorter), 300);
}
