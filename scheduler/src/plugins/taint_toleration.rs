//! TaintToleration: taints keep pods away, hard ones by filter and soft ones by score.

use crate::cache::NodeInfo;
use crate::framework::points::{Direction, Filter, Plugin, Score, default_normalize};
use crate::framework::taints::{tolerates, untolerated};
use crate::framework::{CycleState, EventSet, PodInfo, Status};

/// See the module.
pub(super) struct TaintToleration;

impl Plugin for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }
    fn events(&self) -> EventSet {
        EventSet::NODE_ADD | EventSet::NODE_TAINT | EventSet::POD_UPDATE
    }
}

impl Filter for TaintToleration {
    fn filter(&self, _state: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Status {
        let tolerations = pod
            .spec()
            .and_then(|s| s.tolerations.as_deref())
            .unwrap_or_default();
        match untolerated(node.taints(), tolerations) {
            None => Status::SUCCESS,
            // Keys and values stay out of the text, so that the message of many nodes is short.
            Some(_) => Status::unresolvable("node(s) had untolerated taint(s)"),
        }
    }
}

impl Score for TaintToleration {
    fn score(&self, _state: &CycleState, pod: &PodInfo, node: &NodeInfo) -> i64 {
        let tolerations = pod
            .spec()
            .and_then(|s| s.tolerations.as_deref())
            .unwrap_or_default();
        let soft = node
            .taints()
            .iter()
            .filter(|t| t.effect == "PreferNoSchedule");
        let count = soft
            .filter(|taint| !tolerations.iter().any(|t| tolerates(t, taint)))
            .count();
        i64::try_from(count).unwrap_or(i64::MAX)
    }
    fn normalize(&self, _state: &CycleState, _pod: &PodInfo, scores: &mut [i64]) {
        default_normalize(scores, Direction::LessIsBetter);
    }
}
