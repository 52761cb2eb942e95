//! NodeName: a pod that names its node fits only there.

use crate::cache::NodeInfo;
use crate::framework::points::{Filter, Plugin};
use crate::framework::{CycleState, EventSet, PodInfo, Status};

/// See the module.
pub(super) struct NodeName;

impl Plugin for NodeName {
    fn name(&self) -> &'static str {
        "NodeName"
    }
    fn events(&self) -> EventSet {
        EventSet::NODE_ADD
    }
}

impl Filter for NodeName {
    fn filter(&self, _state: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Status {
        if pod.node_name().is_none_or(|name| name == node.name()) {
            Status::SUCCESS
        } else {
            Status::unresolvable("node(s) didn't match the requested node name")
        }
    }
}
