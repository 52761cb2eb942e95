//! A node with the pods on it and the sums of what they ask for.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, NodeSpec, Taint};

use crate::framework::selectors::Labels;
use crate::framework::{HostPort, PodInfo, Resources};

/// A node as the scheduler sees it.
#[derive(Clone, Debug, Default)]
pub struct NodeInfo {
    /// The object; empty while only pods of the node are known.
    pub node: Arc<Node>,
    /// What pods can use.
    pub allocatable: Resources,
    /// What the pods ask for.
    pub requested: Resources,
    /// What the pods ask for, as scores count it.
    pub scored_requested: Resources,
    /// The pods by uid.
    pub pods: BTreeMap<String, Arc<PodInfo>>,
    /// Those of them that do not want certain pods near them.
    pub wary_pods: BTreeMap<String, Arc<PodInfo>>,
    /// Sizes of the images on the node by name.
    pub images: Arc<BTreeMap<String, i64>>,
}

impl NodeInfo {
    /// A node without pods.
    pub fn new(node: Arc<Node>) -> Self {
        let mut info = Self::default();
        info.set_node(node);
        info
    }

    /// Takes a new version of the object; the pods stay.
    pub fn set_node(&mut self, node: Arc<Node>) {
        let status = node.status.as_ref();
        self.allocatable = status
            .and_then(|s| s.allocatable.as_ref())
            .map(Resources::of)
            .unwrap_or_default();
        let mut images = BTreeMap::new();
        for image in status.and_then(|s| s.images.as_ref()).into_iter().flatten() {
            for name in image.names.iter().flatten() {
                images.insert(name.clone(), image.size_bytes.unwrap_or(0));
            }
        }
        self.images = Arc::new(images);
        self.node = node;
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        self.node.metadata.name.as_deref().unwrap_or_default()
    }

    /// The node's labels.
    pub fn labels(&self) -> Option<&Labels> {
        self.node.metadata.labels.as_ref()
    }

    /// The value of one label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels()?.get(key).map(String::as_str)
    }

    /// The node's specification.
    pub fn spec(&self) -> Option<&NodeSpec> {
        self.node.spec.as_ref()
    }

    /// The node's taints.
    pub fn taints(&self) -> &[Taint] {
        self.spec()
            .and_then(|s| s.taints.as_deref())
            .unwrap_or_default()
    }

    /// Whether one of the ports is taken.
    pub fn takes_port(&self, ports: &[HostPort]) -> bool {
        !ports.is_empty()
            && self
                .pods
                .values()
                .flat_map(|p| &p.host_ports)
                .any(|taken| ports.iter().any(|p| p.conflicts(taken)))
    }

    /// Puts a pod on the node; a pod of the same uid is replaced.
    pub fn add_pod(&mut self, pod: Arc<PodInfo>) {
        self.requested.add(&pod.requests);
        self.scored_requested.add(&pod.scored_requests);
        if pod.terms.apart.is_empty() {
            self.wary_pods.remove(&pod.uid);
        } else {
            self.wary_pods.insert(pod.uid.clone(), pod.clone());
        }
        if let Some(old) = self.pods.insert(pod.uid.clone(), pod) {
            self.release(&old);
        }
    }

    /// Takes a pod away.
    pub fn remove_pod(&mut self, uid: &str) -> Option<Arc<PodInfo>> {
        let old = self.pods.remove(uid)?;
        self.wary_pods.remove(uid);
        self.release(&old);
        Some(old)
    }

    fn release(&mut self, old: &PodInfo) {
        self.requested.subtract(&old.requests);
        self.scored_requested.subtract(&old.scored_requests);
    }
}
