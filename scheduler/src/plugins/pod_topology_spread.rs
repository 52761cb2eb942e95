//! PodTopologySpread: keeps the pods that a constraint means evenly over places.
//!
//! A place is a value of a node label. Hard constraints filter, soft ones score. The constraints
//! that upstream assumes for pods without any are not assumed here.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::TopologySpreadConstraint;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::node_affinity;
use crate::cache::{NodeInfo, Snapshot};
use crate::framework::points::{
    Filter, NODE_SCORE_MAX, NodeNames, Plugin, PreFilter, PreScore, Score,
};
use crate::framework::taints::untolerated;
use crate::framework::{CycleState, EventSet, PodInfo, Status};

/// See the module.
pub(super) struct PodTopologySpread;

impl Plugin for PodTopologySpread {
    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }
    fn events(&self) -> EventSet {
        EventSet::NODE_ADD
            | EventSet::NODE_DELETE
            | EventSet::NODE_LABEL
            | EventSet::NODE_TAINT
            | EventSet::ASSIGNED_POD_ADD
            | EventSet::ASSIGNED_POD_DELETE
            | EventSet::POD_UPDATE
    }
}

#[derive(Clone, Debug)]
struct Constraint {
    key: String,
    /// Without a selector the constraint means no pod; an empty selector means every pod.
    selector: Option<LabelSelector>,
    max_skew: i64,
    min_domains: usize,
    honors_affinity: bool,
    honors_taints: bool,
}

impl Constraint {
    fn of(constraint: &TopologySpreadConstraint, pod: &PodInfo) -> Self {
        let mut selector = constraint.label_selector.clone();
        let labels = pod.pod.metadata.labels.as_ref();
        for key in constraint.match_label_keys.iter().flatten() {
            if let Some(selector) = &mut selector
                && let Some(value) = labels.and_then(|l| l.get(key))
            {
                let wanted = selector.match_labels.get_or_insert_default();
                wanted.insert(key.clone(), value.clone());
            }
        }
        Self {
            key: constraint.topology_key.clone(),
            selector,
            max_skew: i64::from(constraint.max_skew),
            min_domains: usize::try_from(constraint.min_domains.unwrap_or(1)).unwrap_or(1),
            honors_affinity: constraint.node_affinity_policy.as_deref() != Some("Ignore"),
            honors_taints: constraint.node_taints_policy.as_deref() == Some("Honor"),
        }
    }

    /// Whether the node's pods count.
    fn includes(&self, pod: &PodInfo, node: &NodeInfo) -> bool {
        let tolerations = pod
            .spec()
            .and_then(|s| s.tolerations.as_deref())
            .unwrap_or_default();
        (!self.honors_affinity || node_affinity::fits(pod, node))
            && (!self.honors_taints || untolerated(node.taints(), tolerations).is_none())
    }

    /// Whether the constraint means pods like `other`.
    fn means(&self, other: &PodInfo) -> bool {
        self.selector.as_ref().is_some_and(|s| other.matches(s))
    }

    fn counts(&self, pod: &PodInfo, other: &PodInfo) -> bool {
        other.namespace == pod.namespace && !other.is_terminating() && self.means(other)
    }
}

fn constraints(pod: &PodInfo, kind: &str) -> Vec<Constraint> {
    let all = pod
        .spec()
        .and_then(|s| s.topology_spread_constraints.as_deref())
        .unwrap_or_default();
    all.iter()
        .filter(|c| c.when_unsatisfiable == kind)
        .map(|c| Constraint::of(c, pod))
        .collect()
}

/// For each constraint, how many pods it means are at each place.
#[derive(Clone, Debug)]
struct Spread {
    constraints: Vec<(Constraint, BTreeMap<String, i64>)>,
}

impl Spread {
    fn count(pod: &PodInfo, constraints: Vec<Constraint>, nodes: &Snapshot) -> Self {
        let keys: BTreeSet<String> = constraints.iter().map(|c| c.key.clone()).collect();
        let mut spread = Self {
            constraints: constraints
                .into_iter()
                .map(|c| (c, BTreeMap::new()))
                .collect(),
        };
        // A node counts only where it is a place for every constraint.
        let is_place = |node: &NodeInfo| keys.iter().all(|key| node.label(key).is_some());
        for node in nodes.nodes().iter().filter(|n| is_place(n)) {
            for (constraint, counts) in &mut spread.constraints {
                if constraint.includes(pod, node)
                    && let Some(value) = node.label(&constraint.key)
                {
                    let here = node
                        .pods
                        .values()
                        .filter(|p| constraint.counts(pod, p))
                        .count();
                    let at = counts.entry(value.to_owned()).or_default();
                    *at += i64::try_from(here).unwrap_or(i64::MAX);
                }
            }
        }
        spread
    }

    fn shift(&mut self, pod: &PodInfo, other: &PodInfo, node: &NodeInfo, by: i64) {
        for (constraint, counts) in &mut self.constraints {
            if constraint.counts(pod, other)
                && constraint.includes(pod, node)
                && let Some(at) = node.label(&constraint.key).and_then(|v| counts.get_mut(v))
            {
                *at += by;
            }
        }
    }
}

impl PreFilter for PodTopologySpread {
    fn pre_filter(
        &self,
        state: &mut CycleState,
        pod: &PodInfo,
        nodes: &Snapshot,
    ) -> Result<NodeNames, Status> {
        let hard = constraints(pod, "DoNotSchedule");
        if hard.is_empty() {
            return Err(Status::SKIP);
        }
        state.write(Spread::count(pod, hard, nodes));
        Ok(None)
    }

    fn add_pod(&self, state: &mut CycleState, pod: &PodInfo, other: &PodInfo, node: &NodeInfo) {
        if let Some(spread) = state.read_mut::<Spread>() {
            spread.shift(pod, other, node, 1);
        }
    }

    fn remove_pod(&self, state: &mut CycleState, pod: &PodInfo, other: &PodInfo, node: &NodeInfo) {
        if let Some(spread) = state.read_mut::<Spread>() {
            spread.shift(pod, other, node, -1);
        }
    }
}

impl Filter for PodTopologySpread {
    fn filter(&self, state: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Status {
        let Some(spread) = state.read::<Spread>() else {
            return Status::SUCCESS;
        };
        for (constraint, counts) in &spread.constraints {
            let Some(value) = node.label(&constraint.key) else {
                return Status::unresolvable(
                    "node(s) didn't match pod topology spread constraints (missing required label)",
                );
            };
            let least = match counts.values().min() {
                Some(least) if counts.len() >= constraint.min_domains => *least,
                _ => 0,
            };
            let own = i64::from(constraint.means(pod));
            let here = counts.get(value).copied().unwrap_or(0);
            if here + own - least > constraint.max_skew {
                return Status::unschedulable(
                    "node(s) didn't match pod topology spread constraints",
                );
            }
        }
        Status::SUCCESS
    }
}

/// The soft constraints, which are counted separately.
#[derive(Clone, Debug)]
struct Soft(Spread);

impl PreScore for PodTopologySpread {
    fn pre_score(
        &self,
        state: &mut CycleState,
        pod: &PodInfo,
        nodes: &Snapshot,
        _feasible: &[usize],
    ) -> Status {
        let soft = constraints(pod, "ScheduleAnyway");
        if soft.is_empty() {
            return Status::SKIP;
        }
        state.write(Soft(Spread::count(pod, soft, nodes)));
        Status::SUCCESS
    }
}

impl Score for PodTopologySpread {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a score, not an amount"
    )]
    fn score(&self, state: &CycleState, _pod: &PodInfo, node: &NodeInfo) -> i64 {
        let Some(Soft(spread)) = state.read::<Soft>() else {
            return 0;
        };
        let mut score = 0.0;
        for (constraint, counts) in &spread.constraints {
            let Some(value) = node.label(&constraint.key) else {
                return i64::MAX;
            };
            let here = counts.get(value).copied().unwrap_or(0);
            // More places weigh more, or hosts would never matter beside zones.
            let weight = (counts.len() as f64 + 2.0).ln();
            score += here as f64 * weight + (constraint.max_skew - 1) as f64;
        }
        score.round() as i64
    }

    fn normalize(&self, _state: &CycleState, _pod: &PodInfo, scores: &mut [i64]) {
        let known = || scores.iter().copied().filter(|s| *s != i64::MAX);
        let (least, most) = (known().min().unwrap_or(0), known().max().unwrap_or(0));
        for score in scores {
            *score = match *score {
                // Not a place for every constraint.
                i64::MAX => 0,
                _ if most == 0 => NODE_SCORE_MAX,
                score => NODE_SCORE_MAX * (most + least - score) / most,
            };
        }
    }
}
