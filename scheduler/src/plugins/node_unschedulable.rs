//! NodeUnschedulable: no new pod on a cordoned node, unless it tolerates that.

use k8s_openapi::api::core::v1::Taint;

use crate::cache::NodeInfo;
use crate::framework::points::{Filter, Plugin};
use crate::framework::taints::{UNSCHEDULABLE_TAINT, any_tolerates};
use crate::framework::{CycleState, EventSet, PodInfo, Status};

/// See the module.
pub(super) struct NodeUnschedulable;

impl Plugin for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }
    fn events(&self) -> EventSet {
        EventSet::NODE_ADD | EventSet::NODE_TAINT
    }
}

impl Filter for NodeUnschedulable {
    fn filter(&self, _state: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Status {
        let cordoned = node.spec().is_some_and(|s| s.unschedulable == Some(true));
        if !cordoned {
            return Status::SUCCESS;
        }
        let taint = Taint {
            key: UNSCHEDULABLE_TAINT.to_owned(),
            effect: "NoSchedule".to_owned(),
            ..Taint::default()
        };
        let tolerations = pod
            .spec()
            .and_then(|s| s.tolerations.as_deref())
            .unwrap_or_default();
        if any_tolerates(tolerations, &taint) {
            return Status::SUCCESS;
        }
        Status::unresolvable("node(s) were unschedulable")
    }
}
