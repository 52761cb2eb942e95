//! Pods for which preemption is making room, by the node where they are to go.
//!
//! Filters of less important pods count them as if they were there already.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::framework::PodInfo;
use crate::framework::points::Kept;

/// The nominations.
#[derive(Debug, Default)]
pub struct Nominated {
    by_node: BTreeMap<String, BTreeMap<String, Arc<PodInfo>>>,
    node_of: BTreeMap<String, String>,
}

impl Nominated {
    /// Notes that `pod` is to go to `node`, in place of an earlier nomination.
    pub fn set(&mut self, pod: Arc<PodInfo>, node: &str) {
        self.clear(&pod.uid);
        self.node_of.insert(pod.uid.clone(), node.to_owned());
        self.by_node
            .entry(node.to_owned())
            .or_default()
            .insert(pod.uid.clone(), pod);
    }

    /// Forgets the pod's nomination.
    pub fn clear(&mut self, uid: &str) {
        let Some(node) = self.node_of.remove(uid) else {
            return;
        };
        if let Some(pods) = self.by_node.get_mut(&node) {
            pods.remove(uid);
            if pods.is_empty() {
                self.by_node.remove(&node);
            }
        }
    }

    /// The node the pod is to go to.
    pub fn node_of(&self, uid: &str) -> Option<&str> {
        self.node_of.get(uid).map(String::as_str)
    }

    /// What matters to `pod`: its own node, and the others to come that are at least as important.
    pub fn seen_by(&self, pod: &PodInfo) -> Kept {
        let matters = |p: &&Arc<PodInfo>| p.priority >= pod.priority && p.uid != pod.uid;
        let of_node = |(node, pods): (&String, &BTreeMap<String, Arc<PodInfo>>)| {
            let pods: Vec<_> = pods.values().filter(matters).cloned().collect();
            (!pods.is_empty()).then(|| (node.clone(), pods))
        };
        // What a cycle decides is in here before the status tells of it; what a failed binding took
        // away from here, the status still tells of.
        let own = self.node_of(&pod.uid).or(pod.nominated_node());
        Kept {
            own: own.map(str::to_owned),
            coming: self.by_node.iter().filter_map(of_node).collect(),
        }
    }
}
