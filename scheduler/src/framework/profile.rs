//! A profile: the plugins of each extension point, in order, with the weights of the scores.

use std::sync::Arc;

use super::points::{
    Bind, Filter, Kept, NodeNames, Permit, PostBind, PostFilter, PreBind, PreEnqueue, PreFilter,
    PreScore, QueueSort, Reserve, Score,
};
use super::{CycleState, EventSet, PodInfo, Status};
use crate::cache::{NodeInfo, Snapshot};

/// A score plugin and how much it counts.
pub struct Weighted {
    /// The plugin.
    pub plugin: Arc<dyn Score>,
    /// Its factor.
    pub weight: i64,
}

/// The plugins that serve the pods of one `schedulerName`.
pub struct Profile {
    /// The `schedulerName` of pods.
    pub scheduler_name: String,
    /// How many of a hundred nodes are tried before the search may stop; 0 adapts to the cluster.
    pub percentage_of_nodes_to_score: u32,
    /// PreEnqueue.
    pub pre_enqueue: Vec<Arc<dyn PreEnqueue>>,
    /// QueueSort.
    pub queue_sort: Arc<dyn QueueSort>,
    /// PreFilter.
    pub pre_filter: Vec<Arc<dyn PreFilter>>,
    /// Filter.
    pub filter: Vec<Arc<dyn Filter>>,
    /// PostFilter.
    pub post_filter: Vec<Arc<dyn PostFilter>>,
    /// PreScore.
    pub pre_score: Vec<Arc<dyn PreScore>>,
    /// Score and NormalizeScore.
    pub score: Vec<Weighted>,
    /// Reserve.
    pub reserve: Vec<Arc<dyn Reserve>>,
    /// Permit.
    pub permit: Vec<Arc<dyn Permit>>,
    /// PreBind.
    pub pre_bind: Vec<Arc<dyn PreBind>>,
    /// Bind.
    pub bind: Vec<Arc<dyn Bind>>,
    /// PostBind.
    pub post_bind: Vec<Arc<dyn PostBind>>,
}

/// The plugins that said Skip at PreFilter or PreScore, and whose later points are passed over.
#[derive(Clone, Debug, Default)]
pub struct Skipped(pub Vec<&'static str>);

impl Profile {
    /// Runs PreEnqueue; the refusal, if there is one.
    pub fn run_pre_enqueue(&self, pod: &PodInfo) -> Status {
        for plugin in &self.pre_enqueue {
            let status = plugin.pre_enqueue(pod);
            if !status.is_success() {
                return status.from_plugin(plugin.name());
            }
        }
        Status::SUCCESS
    }

    /// Runs PreFilter. The names left by several plugins are intersected; the plugins that
    /// narrowed them come along for the message.
    pub fn run_pre_filter(
        &self,
        state: &mut CycleState,
        pod: &PodInfo,
        nodes: &Snapshot,
    ) -> Result<(NodeNames, Vec<&'static str>), Status> {
        let mut names: NodeNames = None;
        let mut narrowed = Vec::new();
        let mut skipped = Skipped::default();
        for plugin in &self.pre_filter {
            match plugin.pre_filter(state, pod, nodes) {
                Ok(None) => {}
                Ok(Some(left)) => {
                    narrowed.push(plugin.name());
                    names = Some(
                        names.map_or(left.clone(), |n| n.intersection(&left).cloned().collect()),
                    );
                }
                Err(status) if status.is_success() => skipped.0.push(plugin.name()),
                Err(status) => return Err(status.from_plugin(plugin.name())),
            }
        }
        state.write(skipped);
        Ok((names, narrowed))
    }

    /// Runs Filter on one node; the first refusal, if there is one.
    pub fn run_filter(&self, state: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Status {
        let skipped = state.read::<Skipped>();
        for plugin in &self.filter {
            if skipped.is_some_and(|s| s.0.contains(&plugin.name())) {
                continue;
            }
            let status = plugin.filter(state, pod, node);
            if !status.is_success() {
                return status.from_plugin(plugin.name());
            }
        }
        Status::SUCCESS
    }

    /// Runs Filter on one node. Where pods are to come that are at least as important, the pod must
    /// fit with them and, because they may not come after all, without them.
    pub fn run_filter_beside(
        &self,
        state: &CycleState,
        pod: &PodInfo,
        node: &NodeInfo,
        kept: &Kept,
    ) -> Status {
        if let Some(others) = kept.coming.get(node.name()) {
            let mut state = state.clone();
            let mut crowded = node.clone();
            for other in others {
                crowded.add_pod(other.clone());
                self.run_add_pod(&mut state, pod, other, &crowded);
            }
            let status = self.run_filter(&state, pod, &crowded);
            if !status.is_success() {
                return status;
            }
        }
        self.run_filter(state, pod, node)
    }

    /// Tells the PreFilter plugins that `other` is imagined on `node`.
    pub fn run_add_pod(
        &self,
        state: &mut CycleState,
        pod: &PodInfo,
        other: &PodInfo,
        node: &NodeInfo,
    ) {
        self.pre_filter
            .iter()
            .for_each(|plugin| plugin.add_pod(state, pod, other, node));
    }

    /// Tells the PreFilter plugins that `other` is imagined away from `node`.
    pub fn run_remove_pod(
        &self,
        state: &mut CycleState,
        pod: &PodInfo,
        other: &PodInfo,
        node: &NodeInfo,
    ) {
        self.pre_filter
            .iter()
            .for_each(|plugin| plugin.remove_pod(state, pod, other, node));
    }

    /// Runs Reserve; after a refusal nothing stays reserved.
    pub fn run_reserve(&self, state: &mut CycleState, pod: &PodInfo, node: &str) -> Status {
        for plugin in &self.reserve {
            let status = plugin.reserve(state, pod, node);
            if !status.is_success() {
                self.run_unreserve(state, pod, node);
                return status.from_plugin(plugin.name());
            }
        }
        Status::SUCCESS
    }

    /// Undoes Reserve, in reverse order.
    pub fn run_unreserve(&self, state: &mut CycleState, pod: &PodInfo, node: &str) {
        self.reserve
            .iter()
            .rev()
            .for_each(|plugin| plugin.unreserve(state, pod, node));
    }

    /// Runs Permit.
    pub fn run_permit(&self, state: &CycleState, pod: &PodInfo, node: &str) -> Status {
        for plugin in &self.permit {
            let status = plugin.permit(state, pod, node);
            if !status.is_success() {
                return status.from_plugin(plugin.name());
            }
        }
        Status::SUCCESS
    }

    /// The changes that can undo the refusals of the named plugins.
    pub fn events_of(&self, plugins: &[&'static str]) -> EventSet {
        let known = (self.pre_enqueue.iter().map(|p| (p.name(), p.events())))
            .chain(self.pre_filter.iter().map(|p| (p.name(), p.events())))
            .chain(self.filter.iter().map(|p| (p.name(), p.events())))
            .chain(self.reserve.iter().map(|p| (p.name(), p.events())))
            .chain(self.permit.iter().map(|p| (p.name(), p.events())));
        known
            .filter(|(name, _)| plugins.contains(name))
            .fold(EventSet::NONE, |set, (_, events)| set | events)
    }
}
