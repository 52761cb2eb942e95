//! The cache itself: nodes by name, pods by uid, and which of them are only assumed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;

use super::images::{ImageCounts, Images};
use super::{NodeInfo, Nominated, Snapshot};
use crate::framework::PodInfo;

/// Everything known of nodes and assigned pods.
#[derive(Debug, Default)]
pub struct Cache {
    nodes: BTreeMap<String, Arc<NodeInfo>>,
    /// Nodes whose object is known; the others only hold pods that arrived first.
    known: BTreeSet<String>,
    pods: HashMap<String, Placed>,
    /// Invariant: exactly the known nodes are counted.
    images: Arc<ImageCounts>,
    /// Nodes that changed since the last snapshot.
    dirty: BTreeSet<String>,
    /// Pods for which preemption makes room.
    pub nominated: Nominated,
}

#[derive(Debug)]
struct Placed {
    node: String,
    assumed: bool,
}

impl Cache {
    /// Takes a node or its new version. The former version, if there was one.
    pub fn set_node(&mut self, node: Arc<Node>) -> Option<Arc<Node>> {
        let name = node.metadata.name.clone().unwrap_or_default();
        let was_known = !self.known.insert(name.clone());
        let info = Arc::make_mut(self.nodes.entry(name.clone()).or_default());
        let old = was_known.then(|| info.node.clone());
        let held = if was_known {
            info.images.clone()
        } else {
            Arc::default()
        };
        info.set_node(node);
        let holds = info.images.clone();
        self.count_images(&held, &holds);
        self.dirty.insert(name);
        old
    }

    /// Drops a node. Its pods stay known until they go away themselves.
    pub fn remove_node(&mut self, name: &str) {
        if self.known.remove(name)
            && let Some(held) = self.nodes.get(name).map(|info| info.images.clone())
        {
            self.count_images(&held, &Images::new());
        }
        self.drop_if_unused(name);
        self.dirty.insert(name.to_owned());
    }

    /// The names of all known nodes.
    pub fn node_names(&self) -> impl Iterator<Item = &str> {
        self.known.iter().map(String::as_str)
    }

    /// Takes what the api-server says of an assigned pod; it overrules an assumption.
    pub fn set_pod(&mut self, pod: Arc<PodInfo>) {
        let Some(node) = pod.node_name().map(str::to_owned) else {
            return;
        };
        self.place(pod, &node, false);
    }

    /// Places a pod on a node before the api-server knows.
    pub fn assume(&mut self, pod: Arc<PodInfo>, node: &str) {
        self.place(pod, node, true);
    }

    fn place(&mut self, pod: Arc<PodInfo>, node: &str, assumed: bool) {
        self.nominated.clear(&pod.uid);
        if self.pods.get(&pod.uid).is_some_and(|p| p.node != node) {
            self.remove_pod(&pod.uid.clone());
        }
        self.pods.insert(
            pod.uid.clone(),
            Placed {
                node: node.to_owned(),
                assumed,
            },
        );
        Arc::make_mut(self.nodes.entry(node.to_owned()).or_default()).add_pod(pod);
        self.dirty.insert(node.to_owned());
    }

    /// Drops a pod. Whether it was there.
    pub fn remove_pod(&mut self, uid: &str) -> bool {
        let Some(placed) = self.pods.remove(uid) else {
            return false;
        };
        if let Some(info) = self.nodes.get_mut(&placed.node) {
            Arc::make_mut(info).remove_pod(uid);
        }
        self.drop_if_unused(&placed.node);
        self.dirty.insert(placed.node);
        true
    }

    /// Drops a pod whose binding failed; a pod that the api-server has confirmed stays.
    pub fn forget(&mut self, uid: &str) {
        if self.is_assumed(uid) {
            self.remove_pod(uid);
        }
    }

    /// Whether the pod is placed but unconfirmed.
    pub fn is_assumed(&self, uid: &str) -> bool {
        self.pods.get(uid).is_some_and(|p| p.assumed)
    }

    /// The pod as it stands on its node.
    pub fn pod(&self, uid: &str) -> Option<&Arc<PodInfo>> {
        self.nodes.get(&self.pods.get(uid)?.node)?.pods.get(uid)
    }

    /// The uids of all confirmed pods.
    pub fn confirmed(&self) -> impl Iterator<Item = &str> {
        self.pods
            .iter()
            .filter(|(_, p)| !p.assumed)
            .map(|(uid, _)| uid.as_str())
    }

    fn count_images(&mut self, held: &Images, holds: &Images) {
        // Heartbeats change nothing; without this each would copy the counts that a snapshot shares.
        if held != holds {
            Arc::make_mut(&mut self.images).exchange(held, holds);
        }
    }

    fn drop_if_unused(&mut self, name: &str) {
        if !self.known.contains(name) && self.nodes.get(name).is_some_and(|n| n.pods.is_empty()) {
            self.nodes.remove(name);
        }
    }

    /// Brings `snapshot` up to now.
    pub fn refresh(&mut self, snapshot: &mut Snapshot) {
        let mut rebuild = snapshot.len() != self.known.len();
        for name in std::mem::take(&mut self.dirty) {
            let node = self.nodes.get(&name).filter(|_| self.known.contains(&name));
            rebuild |= match node {
                Some(node) => !snapshot.replace(&name, node),
                None => snapshot.position(&name).is_some(),
            };
        }
        if rebuild {
            let known = self
                .known
                .iter()
                .filter_map(|name| self.nodes.get(name).cloned());
            *snapshot = Snapshot::new(known.collect(), self.images.clone());
        } else {
            snapshot.set_images(&self.images);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Cache, Snapshot};
    use crate::testing::{node, node_with_images, pod_with_cpu};

    fn cpu(cache: &mut Cache, snapshot: &mut Snapshot, name: &str) -> Option<i64> {
        cache.refresh(snapshot);
        snapshot.get(name).map(|n| n.requested.milli_cpu)
    }

    #[test]
    fn counts_pods_where_they_stand() {
        let (mut cache, mut snapshot) = (Cache::default(), Snapshot::default());
        cache.set_node(node("a", "4"));
        cache.set_node(node("b", "4"));
        assert_eq!(cpu(&mut cache, &mut snapshot, "a"), Some(0));
        let pod = pod_with_cpu("p", "1");
        cache.assume(pod.clone(), "a");
        assert!(cache.is_assumed(&pod.uid));
        assert_eq!(cpu(&mut cache, &mut snapshot, "a"), Some(1000));
        cache.forget(&pod.uid);
        assert_eq!(cpu(&mut cache, &mut snapshot, "a"), Some(0));
        cache.assume(pod.clone(), "a");
        let mut bound = (*pod.pod).clone();
        bound.spec.as_mut().expect("a spec").node_name = Some("b".to_owned());
        cache.set_pod(Arc::new(crate::framework::PodInfo::new(Arc::new(bound))));
        assert_eq!(cpu(&mut cache, &mut snapshot, "a"), Some(0));
        assert_eq!(cpu(&mut cache, &mut snapshot, "b"), Some(1000));
        // A confirmed pod is not forgotten by a binding that failed late.
        cache.forget(&pod.uid);
        assert_eq!(cpu(&mut cache, &mut snapshot, "b"), Some(1000));
        cache.remove_node("b");
        assert_eq!(cpu(&mut cache, &mut snapshot, "b"), None);
        cache.set_node(node("b", "4"));
        assert_eq!(cpu(&mut cache, &mut snapshot, "b"), Some(1000));
        assert!(cache.remove_pod(&pod.uid));
        assert_eq!(cpu(&mut cache, &mut snapshot, "b"), Some(0));
    }

    #[test]
    fn counts_the_nodes_that_hold_an_image() {
        let (mut cache, mut snapshot) = (Cache::default(), Snapshot::default());
        let mut check = |cache: &mut Cache, want: [i64; 2]| {
            cache.refresh(&mut snapshot);
            assert_eq!(
                ["i:1", "i:2"].map(|name| snapshot.nodes_with_image(name)),
                want
            );
        };
        cache.set_node(node_with_images("a", &[("i:1", 1), ("i:2", 1)]));
        cache.set_node(node_with_images("b", &[("i:1", 1)]));
        check(&mut cache, [2, 1]);
        // A heartbeat, then a change.
        cache.set_node(node_with_images("b", &[("i:1", 1)]));
        check(&mut cache, [2, 1]);
        cache.set_node(node_with_images("b", &[("i:2", 1)]));
        check(&mut cache, [1, 2]);
        // A node that is only remembered for its pod holds nothing, and is not counted twice after.
        cache.assume(pod_with_cpu("p", "1"), "b");
        cache.remove_node("b");
        check(&mut cache, [1, 1]);
        cache.set_node(node_with_images("b", &[("i:2", 1)]));
        check(&mut cache, [1, 2]);
        cache.remove_node("a");
        check(&mut cache, [0, 1]);
    }
}
