//! Initialises nodes that a kubelet registered for an external provider: provider id and labels, then off with the taint.

use std::sync::Arc;

use async_trait::async_trait;
use client::store::Key;
use client::{Client, Queue, Store};
use k8s_openapi::api::core::v1::{Node, Taint};
use kube::Api;
use kube::api::Patch;
use serde_json::{Value, json};

use super::provider::{NodeMetadata, Provider};
use crate::act;
use crate::driver::{After, Builder, Part, Reconciler, all_of, enqueue};
use crate::error::{Error, Result, is_not_found};

const TAINT: &str = "node.cloudprovider.kubernetes.io/uninitialized";

struct Controller {
    client: Client,
    nodes: Store<Node>,
    provider: Arc<dyn Provider>,
}

/// Adds the controller.
pub(crate) fn build(builder: &mut Builder) {
    let queue = Queue::new();
    let nodes = builder.informers.nodes();
    nodes.add_handler(enqueue(&queue));
    let nodes = nodes.store();
    builder.part(Part {
        name: "cloud-node-controller",
        queue,
        workers: 2,
        all: all_of(&nodes),
        reconciler: Arc::new(Controller {
            client: builder.client.clone(),
            nodes,
            provider: super::provider(&builder.options),
        }),
    });
}

fn taints(node: &Node) -> &[Taint] {
    node.spec
        .as_ref()
        .and_then(|spec| spec.taints.as_deref())
        .unwrap_or_default()
}

fn is_uninitialized(node: &Node) -> bool {
    taints(node).iter().any(|taint| taint.key == TAINT)
}

/// The patch that initialises a node. A provider id, once set, cannot change.
fn patch(node: &Node, metadata: &NodeMetadata) -> Value {
    let left: Vec<&Taint> = taints(node)
        .iter()
        .filter(|taint| taint.key != TAINT)
        .collect();
    let known = node.spec.as_ref().and_then(|spec| spec.provider_id.clone());
    let provider_id = known
        .filter(|id| !id.is_empty())
        .unwrap_or_else(|| metadata.provider_id.clone());
    json!({
        "metadata": {
            "resourceVersion": node.metadata.resource_version,
            "labels": metadata.labels,
        },
        "spec": { "providerID": provider_id, "taints": left },
    })
}

#[async_trait]
impl Reconciler for Controller {
    async fn reconcile(&self, key: &Key) -> Result<After> {
        let Some(node) = self.nodes.get("", &key.name) else {
            return Ok(After::Done);
        };
        if !is_uninitialized(&node) {
            return Ok(After::Done);
        }
        let metadata = self.provider.node(&node).await;
        let metadata = metadata.map_err(|error| Error::Unready(error.to_string()))?;
        let api: Api<Node> = Api::all(self.client.clone());
        let patch = Patch::Merge(patch(&node, &metadata));
        match api.patch(&key.name, &act::patch(), &patch).await {
            Ok(_) => Ok(After::Done),
            Err(error) if is_not_found(&error) => Ok(After::Done),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{Node, NodeSpec, Taint};

    use super::super::provider::NodeMetadata;
    use super::{TAINT, is_uninitialized, patch};

    #[test]
    fn the_taint_goes_and_others_stay() {
        let taint = |key: &str| Taint {
            key: key.into(),
            effect: "NoSchedule".into(),
            ..Taint::default()
        };
        let node = Node {
            spec: Some(NodeSpec {
                taints: Some(vec![taint(TAINT), taint("other")]),
                ..NodeSpec::default()
            }),
            ..Node::default()
        };
        assert!(is_uninitialized(&node));
        let metadata = NodeMetadata {
            provider_id: "local://n".into(),
            ..NodeMetadata::default()
        };
        let patch = patch(&node, &metadata);
        assert_eq!(patch["spec"]["providerID"], "local://n");
        assert_eq!(patch["spec"]["taints"].as_array().unwrap().len(), 1);
        assert!(!is_uninitialized(&Node::default()));
    }
}
