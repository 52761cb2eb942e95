//! NodeResourcesFit: a pod fits where what it asks for is free; emptier nodes are better.

use std::borrow::Cow;

use crate::cache::NodeInfo;
use crate::framework::points::{Filter, NODE_SCORE_MAX, Plugin, Score};
use crate::framework::{Code, CycleState, EventSet, PodInfo, Status};

/// See the module.
pub(super) struct NodeResourcesFit;

impl Plugin for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }
    fn events(&self) -> EventSet {
        EventSet::NODE_ADD
            | EventSet::NODE_ALLOCATABLE
            | EventSet::ASSIGNED_POD_DELETE
            | EventSet::POD_UPDATE
    }
}

/// Collects what is short, and whether the whole node would be too small.
#[derive(Default)]
struct Shortage {
    reasons: Vec<Cow<'static, str>>,
    beyond_node: bool,
}

impl Shortage {
    fn check(&mut self, reason: Cow<'static, str>, wanted: i64, used: i64, capacity: i64) {
        if wanted > 0 && wanted > capacity.saturating_sub(used) {
            self.reasons.push(reason);
            self.beyond_node |= wanted > capacity;
        }
    }
}

impl Filter for NodeResourcesFit {
    fn filter(&self, _state: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Status {
        let (want, used, has) = (&pod.requests, &node.requested, &node.allocatable);
        let mut short = Shortage::default();
        if i64::try_from(node.pods.len()).unwrap_or(i64::MAX) >= has.pods {
            short.reasons.push("Too many pods".into());
        }
        short.check(
            "Insufficient cpu".into(),
            want.milli_cpu,
            used.milli_cpu,
            has.milli_cpu,
        );
        short.check(
            "Insufficient memory".into(),
            want.memory,
            used.memory,
            has.memory,
        );
        let storage = (
            want.ephemeral_storage,
            used.ephemeral_storage,
            has.ephemeral_storage,
        );
        short.check(
            "Insufficient ephemeral-storage".into(),
            storage.0,
            storage.1,
            storage.2,
        );
        for (name, wanted) in want.scalar.iter().filter(|(_, wanted)| **wanted > 0) {
            let used = used.scalar.get(name).copied().unwrap_or(0);
            let has = has.scalar.get(name).copied().unwrap_or(0);
            short.check(format!("Insufficient {name}").into(), *wanted, used, has);
        }
        match (short.reasons.is_empty(), short.beyond_node) {
            (true, _) => Status::SUCCESS,
            (false, beyond) => Status {
                code: if beyond {
                    Code::UnschedulableAndUnresolvable
                } else {
                    Code::Unschedulable
                },
                reasons: short.reasons,
                plugin: "",
            },
        }
    }
}

impl Score for NodeResourcesFit {
    fn score(&self, _state: &CycleState, pod: &PodInfo, node: &NodeInfo) -> i64 {
        let (want, used, has) = (
            &pod.scored_requests,
            &node.scored_requested,
            &node.allocatable,
        );
        let parts = [
            (used.milli_cpu.saturating_add(want.milli_cpu), has.milli_cpu),
            (used.memory.saturating_add(want.memory), has.memory),
        ];
        let scores: Vec<i64> = parts
            .iter()
            .filter(|(_, has)| *has > 0)
            .map(|(used, has)| free(*used, *has))
            .collect();
        let count = i64::try_from(scores.len()).unwrap_or(1).max(1);
        scores.iter().sum::<i64>() / count
    }
}

/// The free share of a resource, in hundredths.
fn free(used: i64, has: i64) -> i64 {
    if used > has {
        0
    } else {
        (has - used).saturating_mul(NODE_SCORE_MAX) / has
    }
}
