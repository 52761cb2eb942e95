//! The plugins, one a file, and the list of them that makes the default profile.
//!
//! This is the one list: order and weights are upstream's.

mod balanced_allocation;
mod default_binder;
mod default_preemption;
mod image_locality;
mod inter_pod_affinity;
mod node_affinity;
mod node_name;
mod node_ports;
mod node_resources_fit;
mod node_unschedulable;
mod pod_topology_spread;
mod priority_sort;
mod scheduling_gates;
mod taint_toleration;
mod unsupported;

use std::sync::Arc;

use crate::framework::Profile;
use crate::framework::points::{Bind, Score};
use crate::framework::profile::Weighted;

pub use default_binder::DefaultBinder;

/// Upstream's name for the profile of pods that name no scheduler.
pub const DEFAULT_SCHEDULER_NAME: &str = "default-scheduler";

/// The default profile.
pub fn default_profile(binder: Arc<dyn Bind>) -> Profile {
    let affinity = Arc::new(node_affinity::NodeAffinity);
    let ports = Arc::new(node_ports::NodePorts);
    let fit = Arc::new(node_resources_fit::NodeResourcesFit);
    let taints = Arc::new(taint_toleration::TaintToleration);
    let spread = Arc::new(pod_topology_spread::PodTopologySpread);
    let near = Arc::new(inter_pod_affinity::InterPodAffinity);
    let balanced = Arc::new(balanced_allocation::BalancedAllocation);
    let images = Arc::new(image_locality::ImageLocality);
    Profile {
        scheduler_name: DEFAULT_SCHEDULER_NAME.to_owned(),
        percentage_of_nodes_to_score: 0,
        pre_enqueue: vec![Arc::new(scheduling_gates::SchedulingGates)],
        queue_sort: Arc::new(priority_sort::PrioritySort),
        pre_filter: vec![
            affinity.clone(),
            ports.clone(),
            spread.clone(),
            near.clone(),
            Arc::new(unsupported::Unsupported),
        ],
        filter: vec![
            Arc::new(node_unschedulable::NodeUnschedulable),
            Arc::new(node_name::NodeName),
            taints.clone(),
            affinity.clone(),
            ports,
            fit.clone(),
            spread.clone(),
            near,
        ],
        post_filter: vec![Arc::new(default_preemption::DefaultPreemption)],
        pre_score: vec![
            affinity.clone(),
            spread.clone(),
            balanced.clone(),
            images.clone(),
        ],
        score: vec![
            weighted(taints, 3),
            weighted(affinity, 2),
            weighted(fit, 1),
            weighted(spread, 2),
            weighted(balanced, 1),
            weighted(images, 1),
        ],
        reserve: Vec::new(),
        permit: Vec::new(),
        pre_bind: Vec::new(),
        bind: vec![binder],
        post_bind: Vec::new(),
    }
}

fn weighted(plugin: Arc<dyn Score>, weight: i64) -> Weighted {
    Weighted { plugin, weight }
}
