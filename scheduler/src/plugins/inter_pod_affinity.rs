//! InterPodAffinity: pods that have to be, or must not be, where certain other pods are.
//!
//! Only what is required is weighed; preferences do not count yet.

use std::collections::BTreeMap;

use crate::cache::{NodeInfo, Snapshot};
use crate::framework::affinity::Term;
use crate::framework::points::{Filter, NodeNames, Plugin, PreFilter};
use crate::framework::{CycleState, EventSet, PodInfo, Status};

/// See the module.
pub(super) struct InterPodAffinity;

impl Plugin for InterPodAffinity {
    fn name(&self) -> &'static str {
        "InterPodAffinity"
    }
    fn events(&self) -> EventSet {
        EventSet::NODE_ADD
            | EventSet::NODE_LABEL
            | EventSet::ASSIGNED_POD_ADD
            | EventSet::ASSIGNED_POD_DELETE
            | EventSet::POD_UPDATE
    }
}

/// How many pods count at each place: a node label and its value.
type Counts = BTreeMap<(String, String), i64>;

#[derive(Clone, Debug, Default)]
struct Seen {
    /// Pods that do not want this pod near them.
    unwelcome: Counts,
    /// Pods that this pod must not be near.
    avoided: Counts,
    /// Pods that this pod has to be near.
    wanted: Counts,
}

fn count(counts: &mut Counts, key: &str, node: &NodeInfo, by: i64) {
    if let Some(value) = node.label(key) {
        let place = (key.to_owned(), value.to_owned());
        let at = counts.entry(place.clone()).or_default();
        *at += by;
        if *at == 0 {
            counts.remove(&place);
        }
    }
}

impl Seen {
    fn add(&mut self, pod: &PodInfo, other: &PodInfo, node: &NodeInfo, by: i64) {
        for term in other.terms.apart.iter().filter(|t| t.means(pod)) {
            count(&mut self.unwelcome, &term.topology_key, node, by);
        }
        for term in pod.terms.apart.iter().filter(|t| t.means(other)) {
            count(&mut self.avoided, &term.topology_key, node, by);
        }
        // Only a pod that every term means makes a place good.
        if means_all(&pod.terms.near, other) {
            for term in &pod.terms.near {
                count(&mut self.wanted, &term.topology_key, node, by);
            }
        }
    }
}

fn means_all(terms: &[Term], pod: &PodInfo) -> bool {
    !terms.is_empty() && terms.iter().all(|t| t.means(pod))
}

fn is_at(counts: &Counts, key: &str, node: &NodeInfo) -> bool {
    node.label(key)
        .is_some_and(|value| counts.contains_key(&(key.to_owned(), value.to_owned())))
}

impl PreFilter for InterPodAffinity {
    fn pre_filter(
        &self,
        state: &mut CycleState,
        pod: &PodInfo,
        nodes: &Snapshot,
    ) -> Result<NodeNames, Status> {
        let own = !pod.terms.near.is_empty() || !pod.terms.apart.is_empty();
        let mut seen = Seen::default();
        for node in nodes.nodes() {
            if own {
                node.pods
                    .values()
                    .for_each(|other| seen.add(pod, other, node, 1));
            } else {
                node.wary_pods
                    .values()
                    .for_each(|other| seen.add(pod, other, node, 1));
            }
        }
        if !own && seen.unwelcome.is_empty() {
            return Err(Status::SKIP);
        }
        state.write(seen);
        Ok(None)
    }

    fn add_pod(&self, state: &mut CycleState, pod: &PodInfo, other: &PodInfo, node: &NodeInfo) {
        if let Some(seen) = state.read_mut::<Seen>() {
            seen.add(pod, other, node, 1);
        }
    }

    fn remove_pod(&self, state: &mut CycleState, pod: &PodInfo, other: &PodInfo, node: &NodeInfo) {
        if let Some(seen) = state.read_mut::<Seen>() {
            seen.add(pod, other, node, -1);
        }
    }
}

impl Filter for InterPodAffinity {
    fn filter(&self, state: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Status {
        let Some(seen) = state.read::<Seen>() else {
            return Status::SUCCESS;
        };
        let has_place = |term: &Term| node.label(&term.topology_key).is_some();
        let near = &pod.terms.near;
        let is_near = near
            .iter()
            .all(|t| is_at(&seen.wanted, &t.topology_key, node));
        // The first of a group that wants to be together may be anywhere.
        let may_be_first =
            seen.wanted.is_empty() && means_all(near, pod) && near.iter().all(has_place);
        if !is_near && !may_be_first {
            return Status::unresolvable("node(s) didn't match pod affinity rules");
        }
        if pod
            .terms
            .apart
            .iter()
            .any(|t| is_at(&seen.avoided, &t.topology_key, node))
        {
            return Status::unschedulable("node(s) didn't match pod anti-affinity rules");
        }
        let is_unwelcome =
            |(key, value): &(String, String)| node.label(key) == Some(value.as_str());
        if seen.unwelcome.keys().any(is_unwelcome) {
            return Status::unschedulable(
                "node(s) didn't satisfy existing pods anti-affinity rules",
            );
        }
        Status::SUCCESS
    }
}
