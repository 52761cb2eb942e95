//! The nodes as one scheduling cycle sees them: unchanged while the cycle runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::NodeInfo;
use super::images::ImageCounts;

/// A view of all nodes. Taking it again touches only what changed.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    nodes: Vec<Arc<NodeInfo>>,
    index: BTreeMap<String, usize>,
    images: Arc<ImageCounts>,
}

impl Snapshot {
    /// A view of `nodes`, which hold images as counted.
    pub(super) fn new(nodes: Vec<Arc<NodeInfo>>, images: Arc<ImageCounts>) -> Self {
        let index = nodes
            .iter()
            .enumerate()
            .map(|(i, n)| (n.name().to_owned(), i))
            .collect();
        Self {
            nodes,
            index,
            images,
        }
    }

    /// Every node, in a fixed order.
    pub fn nodes(&self) -> &[Arc<NodeInfo>] {
        &self.nodes
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The node of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<NodeInfo>> {
        self.nodes.get(self.position(name)?)
    }

    /// Where the node of that name stands in [`Snapshot::nodes`].
    pub fn position(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// How many of the nodes hold the image.
    pub fn nodes_with_image(&self, name: &str) -> i64 {
        self.images.nodes_with(name)
    }

    /// Takes the counts that go with the nodes.
    pub(super) fn set_images(&mut self, images: &Arc<ImageCounts>) {
        self.images = images.clone();
    }

    /// Replaces a node that is there already. False if it is not.
    pub(super) fn replace(&mut self, name: &str, node: &Arc<NodeInfo>) -> bool {
        let Some(slot) = self.index.get(name).and_then(|i| self.nodes.get_mut(*i)) else {
            return false;
        };
        *slot = node.clone();
        true
    }
}
