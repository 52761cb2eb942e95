//! The extension points, in the order in which a pod passes them.
//!
//! Every point up to Permit is called from the one scheduling loop and must not wait; PreBind and
//! Bind run in the pod's own binding task and may call the api-server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;

use super::{CycleState, EventSet, PodInfo, Profile, Status};
use crate::cache::{NodeInfo, Snapshot};

/// The best score a node can get from a plugin after normalization.
pub const NODE_SCORE_MAX: i64 = 100;

/// What every plugin has.
pub trait Plugin: Send + Sync {
    /// Upstream's name of the plugin.
    fn name(&self) -> &'static str;
    /// The changes that can undo this plugin's refusal.
    fn events(&self) -> EventSet {
        EventSet::NONE
    }
}

/// Decides whether a pod may enter the queue of pods to be scheduled.
pub trait PreEnqueue: Plugin {
    /// A refusal keeps the pod gated until it changes.
    fn pre_enqueue(&self, pod: &PodInfo) -> Status;
}

/// Orders the queue. Exactly one plugin does.
pub trait QueueSort: Plugin {
    /// Pods with a smaller rank are tried first; equal ranks in order of arrival.
    fn rank(&self, pod: &PodInfo) -> i64;
}

/// The nodes that a PreFilter leaves; None leaves all.
pub type NodeNames = Option<BTreeSet<String>>;

/// Works out once a cycle what its filter needs for each node.
pub trait PreFilter: Plugin {
    /// A refusal ends the cycle; Skip spares the plugin's filter; success may narrow the nodes.
    fn pre_filter(
        &self,
        state: &mut CycleState,
        pod: &PodInfo,
        nodes: &Snapshot,
    ) -> Result<NodeNames, Status>;
    /// `other` is imagined on `node`.
    fn add_pod(&self, _state: &mut CycleState, _pod: &PodInfo, _other: &PodInfo, _node: &NodeInfo) {
    }
    /// `other` is imagined away from `node`.
    fn remove_pod(
        &self,
        _state: &mut CycleState,
        _pod: &PodInfo,
        _other: &PodInfo,
        _node: &NodeInfo,
    ) {
    }
}

/// Decides whether a pod fits a node.
pub trait Filter: Plugin {
    /// Called for each node.
    fn filter(&self, state: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Status;
}

/// What the filters said of a pod that fits no node.
#[derive(Clone, Debug, Default)]
pub struct Refusals {
    /// By position in the snapshot.
    pub by_node: BTreeMap<usize, Status>,
    /// What holds for the nodes that are not in `by_node`.
    pub others: Option<Status>,
}

impl Refusals {
    /// Why the pod does not fit the node at `position`.
    pub fn get(&self, position: usize) -> Option<&Status> {
        self.by_node.get(&position).or(self.others.as_ref())
    }
}

/// The nodes that preemption frees, as one pod sees them.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// The node that is freed for the pod itself.
    pub own: Option<String>,
    /// By node, the other pods that are to come and are at least as important.
    pub coming: BTreeMap<String, Vec<Arc<PodInfo>>>,
}

/// A pod that fits no node, with everything that was found out about it.
pub struct Unplaced<'a> {
    /// Runs the filters again on imagined nodes.
    pub profile: &'a Profile,
    /// What PreFilter left.
    pub state: &'a CycleState,
    /// The pod.
    pub pod: &'a PodInfo,
    /// The nodes.
    pub nodes: &'a Snapshot,
    /// What preemption frees already.
    pub kept: &'a Kept,
    /// Why each node does not fit.
    pub refusals: &'a Refusals,
}

/// What could make an unplaced pod fit.
#[derive(Debug)]
pub enum Remedy {
    /// Nothing; the status says why. A former nomination is kept or not.
    None(Status, Nomination),
    /// Free `node` of the victims, most important first, and keep it for the pod.
    Preempt {
        /// The node.
        node: String,
        /// The pods that have to go.
        victims: Vec<Arc<PodInfo>>,
    },
}

/// What becomes of the node that was kept for a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nomination {
    /// It stays kept.
    Keep,
    /// It is given up.
    Clear,
}

/// Looks for a remedy when a pod fits no node. It decides only; the cycle acts.
pub trait PostFilter: Plugin {
    /// Called once a failed cycle.
    fn post_filter(&self, unplaced: &Unplaced<'_>) -> Remedy;
}

/// Works out once a cycle what its score needs for each node.
pub trait PreScore: Plugin {
    /// Skip spares the plugin's score.
    fn pre_score(
        &self,
        state: &mut CycleState,
        pod: &PodInfo,
        nodes: &Snapshot,
        feasible: &[usize],
    ) -> Status;
}

/// Ranks the nodes that a pod fits.
pub trait Score: Plugin {
    /// How good the node is, in the plugin's own measure.
    fn score(&self, state: &CycleState, pod: &PodInfo, node: &NodeInfo) -> i64;
    /// Brings the scores of all nodes to 0..=[`NODE_SCORE_MAX`]; by default they are there already.
    fn normalize(&self, _state: &CycleState, _pod: &PodInfo, _scores: &mut [i64]) {}
}

/// Takes note that a pod will go to a node, and forgets it if it does not.
pub trait Reserve: Plugin {
    /// A refusal undoes every reservation made for the pod.
    fn reserve(&self, state: &mut CycleState, pod: &PodInfo, node: &str) -> Status;
    /// Undoes `reserve`; must be safe to call without it.
    fn unreserve(&self, state: &mut CycleState, pod: &PodInfo, node: &str);
}

/// The last word before binding. A plugin that would hold pods back is not supported: it refuses,
/// and the pod is tried again.
pub trait Permit: Plugin {
    /// A refusal sends the pod back to the queue.
    fn permit(&self, state: &CycleState, pod: &PodInfo, node: &str) -> Status;
}

/// Prepares the node or the cluster for the pod.
#[async_trait]
pub trait PreBind: Plugin {
    /// A failure sends the pod back to the queue.
    async fn pre_bind(&self, pod: &PodInfo, node: &str) -> Status;
}

/// Writes the assignment.
#[async_trait]
pub trait Bind: Plugin {
    /// Skip leaves the pod to the next binder.
    async fn bind(&self, pod: &PodInfo, node: &str) -> Status;
}

/// Hears of pods that were bound.
pub trait PostBind: Plugin {
    /// Must be quick.
    fn post_bind(&self, pod: &PodInfo, node: &str);
}

/// Scales scores so that the greatest becomes [`NODE_SCORE_MAX`]; `reverse` turns them around.
pub fn default_normalize(scores: &mut [i64], direction: Direction) {
    let max = scores.iter().copied().max().unwrap_or(0);
    for score in scores {
        let scaled = if max == 0 {
            0
        } else {
            NODE_SCORE_MAX.saturating_mul(*score) / max
        };
        *score = match direction {
            Direction::MoreIsBetter => scaled,
            Direction::LessIsBetter => NODE_SCORE_MAX - scaled,
        };
    }
}

/// How a plugin's own measure reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// A greater value is a better node.
    MoreIsBetter,
    /// A smaller value is a better node.
    LessIsBetter,
}
