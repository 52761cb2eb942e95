//! Objects for the tests of this crate.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};

use crate::framework::PodInfo;

/// A node with that many CPUs, 4 GiB of memory and room for ten pods.
pub(crate) fn node(name: &str, cpu: &str) -> Arc<Node> {
    node_with(
        name,
        json!({}),
        json!({"cpu": cpu, "memory": "4Gi", "pods": "10"}),
    )
}

/// A node with that specification and those allocatable resources; its hostname label is set.
pub(crate) fn node_with(name: &str, spec: Value, allocatable: Value) -> Arc<Node> {
    let node = json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": spec,
        "status": {"allocatable": allocatable},
    });
    Arc::new(serde_json::from_value(node).expect("a node"))
}

/// A node with four CPUs that holds those images.
pub(crate) fn node_with_images(name: &str, images: &[(&str, i64)]) -> Arc<Node> {
    let mut node = (*node(name, "4")).clone();
    let images = images
        .iter()
        .map(|(name, bytes)| json!({"names": [name], "sizeBytes": bytes}));
    node.status.get_or_insert_default().images =
        Some(serde_json::from_value(images.collect()).expect("images"));
    Arc::new(node)
}

/// A pod with that specification; containers are added where it has none.
pub(crate) fn pod(name: &str, spec: Value) -> Arc<PodInfo> {
    let mut spec = spec;
    if spec.get("containers").is_none() {
        spec["containers"] = json!([{"name": "c", "image": "i"}]);
    }
    let pod = json!({"metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}")}, "spec": spec});
    let pod: Pod = serde_json::from_value(pod).expect("a pod");
    Arc::new(PodInfo::new(Arc::new(pod)))
}

/// A pod that asks for that many CPUs.
pub(crate) fn pod_with_cpu(name: &str, cpu: &str) -> Arc<PodInfo> {
    pod(
        name,
        json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}),
    )
}

/// A pod of that priority that asks for that many CPUs.
pub(crate) fn important(name: &str, cpu: &str, priority: i32) -> Arc<PodInfo> {
    let container = json!({"name": "c", "resources": {"requests": {"cpu": cpu}}});
    pod(
        name,
        json!({"priority": priority, "containers": [container]}),
    )
}
