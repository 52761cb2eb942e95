//! NodeResourcesBalancedAllocation: prefers nodes whose use of CPU and memory the pod evens out.

use crate::cache::{NodeInfo, Snapshot};
use crate::framework::points::{NODE_SCORE_MAX, Plugin, PreScore, Score};
use crate::framework::{CycleState, PodInfo, Status};

/// See the module.
pub(super) struct BalancedAllocation;

impl Plugin for BalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }
}

impl PreScore for BalancedAllocation {
    fn pre_score(&self, _: &mut CycleState, pod: &PodInfo, _: &Snapshot, _: &[usize]) -> Status {
        // A pod that asks for nothing changes no balance.
        if pod.requests.milli_cpu == 0 && pod.requests.memory == 0 {
            Status::SKIP
        } else {
            Status::SUCCESS
        }
    }
}

impl Score for BalancedAllocation {
    fn score(&self, _state: &CycleState, pod: &PodInfo, node: &NodeInfo) -> i64 {
        let (want, used, has) = (&pod.requests, &node.requested, &node.allocatable);
        let before = [(used.milli_cpu, has.milli_cpu), (used.memory, has.memory)];
        let after = [
            (used.milli_cpu.saturating_add(want.milli_cpu), has.milli_cpu),
            (used.memory.saturating_add(want.memory), has.memory),
        ];
        let half = NODE_SCORE_MAX / 2;
        // Each balance is in half..=max, so the sum comes back to that range.
        half + (half + balance(&after) - balance(&before)) / 2
    }
}

/// How even the used shares of two resources are: the maximum less their standard deviation.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a score, not an amount"
)]
fn balance(parts: &[(i64, i64); 2]) -> i64 {
    let shares: Vec<f64> = parts
        .iter()
        .filter(|(_, has)| *has > 0)
        .map(|(used, has)| (*used as f64 / *has as f64).min(1.0))
        .collect();
    let deviation = match shares.as_slice() {
        [a, b] => ((a - b) / 2.0).abs(),
        _ => 0.0,
    };
    ((1.0 - deviation) * NODE_SCORE_MAX as f64) as i64
}
