//! Tells pods in which zone and region they run, by the labels of their node.

use std::sync::Arc;

use api_meta::object;
use api_meta::status::Status;
use async_trait::async_trait;

use super::super::{Operation, Plugin, Request};
use crate::authz::builtin_kind;
use crate::cache::ObjectReader;

const LABELS: [&str; 2] = [
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
];

/// See the module.
pub struct PodTopologyLabels {
    reader: Arc<dyn ObjectReader>,
}

impl PodTopologyLabels {
    /// `reader` knows the nodes.
    pub fn new(reader: Arc<dyn ObjectReader>) -> Self {
        Self { reader }
    }
}

#[async_trait]
impl Plugin for PodTopologyLabels {
    fn name(&self) -> &'static str {
        "PodTopologyLabels"
    }

    /// A binding comes here as the pod that it makes.
    async fn mutate(&self, request: &mut Request<'_>) -> Result<(), Status> {
        let places = matches!(request.subresource, None | Some("" | "binding"));
        let concerned =
            request.operation == Operation::Create && places && request.is_for_any_of("", "pods");
        let Some(pod) = request.object.as_mut().filter(|_| concerned) else {
            return Ok(());
        };
        let name = object::str_at(pod, &["spec", "nodeName"]).unwrap_or_default();
        let kind = builtin_kind("", "v1", "nodes");
        // A node that nobody knows is no reason to refuse the pod.
        let Some(node) = self.reader.get(kind, "", name).filter(|_| !name.is_empty()) else {
            return Ok(());
        };
        let node = node.value()?;
        for label in LABELS {
            if let Some(value) = object::label(&node, label) {
                object::set(pod, &["metadata", "labels", label], value.into());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::PodTopologyLabels;
    use crate::admission::{Operation, Plugin, Request};
    use crate::authz::testing::{Objects, pod_request};

    async fn labels(operation: Operation, subresource: Option<&str>, node: &str) -> Value {
        let known = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "labels": {
            "topology.kubernetes.io/zone": "z", "topology.kubernetes.io/region": "r", "other": "x"}}});
        let plugin = PodTopologyLabels::new(Objects::shared(&[known]));
        let pod = json!({"metadata": {"labels": {"topology.kubernetes.io/zone": "mine"}}, "spec": {"nodeName": node}});
        let mut request = Request {
            subresource,
            ..pod_request(operation, pod, None)
        };
        plugin.mutate(&mut request).await.unwrap();
        request.object.unwrap()["metadata"]["labels"].take()
    }

    #[tokio::test]
    async fn a_pod_is_where_its_node_is() {
        let here =
            json!({"topology.kubernetes.io/zone": "z", "topology.kubernetes.io/region": "r"});
        let mine = json!({"topology.kubernetes.io/zone": "mine"});
        assert_eq!(labels(Operation::Create, None, "n").await, here);
        assert_eq!(labels(Operation::Create, Some("binding"), "n").await, here);
        assert_eq!(labels(Operation::Create, None, "unknown").await, mine);
        assert_eq!(labels(Operation::Create, None, "").await, mine);
        assert_eq!(labels(Operation::Update, None, "n").await, mine);
        assert_eq!(labels(Operation::Create, Some("eviction"), "n").await, mine);
    }
}
