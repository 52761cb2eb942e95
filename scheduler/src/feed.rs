//! Turns what the informers see into changes of the cache and the queue.
//!
//! Runs on the informers' tasks: it takes locks briefly and never waits.

use std::sync::Arc;

use client::Delta;
use k8s_openapi::api::core::v1::{Node, Pod};

use crate::cycle::Shared;
use crate::framework::{EventSet, PodInfo, Resources};

/// A node appeared, changed or went away.
pub(crate) fn node(shared: &Shared, delta: &Delta<'_, Node>) {
    let event = match delta {
        Delta::Deleted(node) => {
            shared
                .cache
                .lock()
                .remove_node(node.metadata.name.as_deref().unwrap_or_default());
            EventSet::NODE_DELETE
        }
        Delta::Added(node) | Delta::Updated { new: node, .. } => {
            let old = shared.cache.lock().set_node((*node).clone());
            old.map_or(EventSet::NODE_ADD, |old| node_changes(&old, node))
        }
    };
    if !event.is_empty() {
        shared.queue.cluster_changed(event);
    }
}

/// What in a node's change can matter to a waiting pod. Heartbeats do not.
fn node_changes(old: &Node, new: &Node) -> EventSet {
    let taints = |n: &Node| {
        n.spec
            .as_ref()
            .map(|s| (s.taints.clone(), s.unschedulable.unwrap_or(false)))
    };
    let allocatable = |n: &Node| {
        n.status
            .as_ref()
            .and_then(|s| s.allocatable.as_ref())
            .map(Resources::of)
    };
    let mut event = EventSet::NONE;
    if allocatable(old) != allocatable(new) {
        event = event | EventSet::NODE_ALLOCATABLE;
    }
    if old.metadata.labels != new.metadata.labels {
        event = event | EventSet::NODE_LABEL;
    }
    if taints(old) != taints(new) {
        event = event | EventSet::NODE_TAINT;
    }
    event
}

/// A pod appeared, changed or went away.
pub(crate) fn pod(shared: &Shared, delta: &Delta<'_, Pod>) {
    let pod = Arc::new(PodInfo::new(delta.object().clone()));
    if delta.is_deleted() || pod.is_terminal() {
        return gone(shared, &pod);
    }
    if pod.node_name().is_some() {
        return assigned(shared, pod);
    }
    let is_ours = pod
        .spec()
        .is_some_and(|s| s.scheduler_name.as_deref() == Some(&shared.profile.scheduler_name));
    let is_placed = {
        let mut cache = shared.cache.lock();
        let is_placed = cache.is_assumed(&pod.uid);
        if let Some(node) = pod.nominated_node().filter(|_| !is_placed) {
            cache.nominated.set(pod.clone(), node);
        }
        is_placed
    };
    if is_ours && !is_placed {
        shared.queue.set(pod);
    }
}

fn assigned(shared: &Shared, pod: Arc<PodInfo>) {
    let event = {
        let mut cache = shared.cache.lock();
        let event = match cache.pod(&pod.uid) {
            None => EventSet::ASSIGNED_POD_ADD,
            Some(old) => pod_changes(old, &pod),
        };
        cache.set_pod(pod.clone());
        event
    };
    shared.queue.remove(&pod.uid);
    if !event.is_empty() {
        shared.queue.cluster_changed(event);
    }
}

fn pod_changes(old: &PodInfo, new: &PodInfo) -> EventSet {
    let mut event = EventSet::NONE;
    // The assumed pod had no node; the confirmation is the assignment.
    if old.pod.metadata.labels != new.pod.metadata.labels || old.node_name().is_none() {
        event = event | EventSet::ASSIGNED_POD_ADD;
    }
    if old.requests != new.requests {
        event = event | EventSet::ASSIGNED_POD_DELETE;
    }
    event
}

fn gone(shared: &Shared, pod: &PodInfo) {
    // The queue first: a cycle keeps no node for a pod that is not in the queue.
    shared.queue.remove(&pod.uid);
    let freed = {
        let mut cache = shared.cache.lock();
        let was_kept = cache.nominated.node_of(&pod.uid).is_some();
        cache.nominated.clear(&pod.uid);
        cache.remove_pod(&pod.uid) || was_kept
    };
    if freed {
        shared.queue.cluster_changed(EventSet::ASSIGNED_POD_DELETE);
    }
}
