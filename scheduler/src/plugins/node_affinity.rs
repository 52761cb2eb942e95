//! NodeAffinity: what a pod demands of and prefers in a node's labels and name.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{NodeAffinity as Terms, NodeSelector, PreferredSchedulingTerm};

use crate::cache::{NodeInfo, Snapshot};
use crate::framework::points::{
    Direction, Filter, NodeNames, Plugin, PreFilter, PreScore, Score, default_normalize,
};
use crate::framework::selectors::{matches_node, matches_term, node_names};
use crate::framework::{CycleState, EventSet, PodInfo, Status};

/// See the module.
pub(super) struct NodeAffinity;

impl Plugin for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }
    fn events(&self) -> EventSet {
        EventSet::NODE_ADD | EventSet::NODE_LABEL
    }
}

fn terms(pod: &PodInfo) -> Option<&Terms> {
    pod.spec()?.affinity.as_ref()?.node_affinity.as_ref()
}

fn required(pod: &PodInfo) -> Option<&NodeSelector> {
    terms(pod)?
        .required_during_scheduling_ignored_during_execution
        .as_ref()
}

fn preferred(pod: &PodInfo) -> &[PreferredSchedulingTerm] {
    terms(pod)
        .and_then(|t| {
            t.preferred_during_scheduling_ignored_during_execution
                .as_deref()
        })
        .unwrap_or_default()
}

impl PreFilter for NodeAffinity {
    fn pre_filter(
        &self,
        _: &mut CycleState,
        pod: &PodInfo,
        _: &Snapshot,
    ) -> Result<NodeNames, Status> {
        let selector = pod
            .spec()
            .and_then(|s| s.node_selector.as_ref())
            .filter(|s| !s.is_empty());
        let Some(required) = required(pod) else {
            return if selector.is_none() {
                Err(Status::SKIP)
            } else {
                Ok(None)
            };
        };
        let mut names = BTreeSet::new();
        for term in &required.node_selector_terms {
            // Terms are alternatives: one that allows any name allows all of them.
            let Some(allowed) = node_names(term) else {
                return Ok(None);
            };
            names.extend(allowed.iter().cloned());
        }
        if names.is_empty() {
            return Err(Status::unresolvable("pod affinity terms conflict"));
        }
        Ok(Some(names))
    }
}

/// Whether the node is one that the pod demands.
pub(super) fn fits(pod: &PodInfo, node: &NodeInfo) -> bool {
    let selector = pod.spec().and_then(|s| s.node_selector.as_ref());
    let mut wanted = selector.into_iter().flatten();
    wanted.all(|(key, value)| node.label(key) == Some(value))
        && required(pod).is_none_or(|selector| matches_node(selector, &node.node))
}

impl Filter for NodeAffinity {
    fn filter(&self, _state: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Status {
        if fits(pod, node) {
            Status::SUCCESS
        } else {
            Status::unresolvable("node(s) didn't match Pod's node affinity/selector")
        }
    }
}

impl PreScore for NodeAffinity {
    fn pre_score(&self, _: &mut CycleState, pod: &PodInfo, _: &Snapshot, _: &[usize]) -> Status {
        if preferred(pod).is_empty() {
            Status::SKIP
        } else {
            Status::SUCCESS
        }
    }
}

impl Score for NodeAffinity {
    fn score(&self, _state: &CycleState, pod: &PodInfo, node: &NodeInfo) -> i64 {
        let matched = preferred(pod)
            .iter()
            .filter(|term| matches_term(&term.preference, &node.node));
        matched.map(|term| i64::from(term.weight)).sum()
    }
    fn normalize(&self, _state: &CycleState, _pod: &PodInfo, scores: &mut [i64]) {
        default_normalize(scores, Direction::MoreIsBetter);
    }
}
