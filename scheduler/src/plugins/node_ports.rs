//! NodePorts: two pods cannot take one port of a node.

use crate::cache::{NodeInfo, Snapshot};
use crate::framework::points::{Filter, NodeNames, Plugin, PreFilter};
use crate::framework::{CycleState, EventSet, PodInfo, Status};

/// See the module.
pub(super) struct NodePorts;

impl Plugin for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
    }
    fn events(&self) -> EventSet {
        EventSet::NODE_ADD | EventSet::ASSIGNED_POD_DELETE
    }
}

impl PreFilter for NodePorts {
    fn pre_filter(
        &self,
        _: &mut CycleState,
        pod: &PodInfo,
        _: &Snapshot,
    ) -> Result<NodeNames, Status> {
        if pod.host_ports.is_empty() {
            Err(Status::SKIP)
        } else {
            Ok(None)
        }
    }
}

impl Filter for NodePorts {
    fn filter(&self, _state: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Status {
        if node.takes_port(&pod.host_ports) {
            return Status::unschedulable(
                "node(s) didn't have free ports for the requested pod ports",
            );
        }
        Status::SUCCESS
    }
}
