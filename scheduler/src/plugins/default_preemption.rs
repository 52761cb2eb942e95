//! DefaultPreemption: finds the node where the fewest and least important pods would have to go
//! for a more important pod to fit.
//!
//! Disruption budgets are not weighed yet: a victim may have one.

use std::cmp::Reverse;
use std::sync::Arc;

use jiff::Timestamp;

use crate::cache::{NodeInfo, Snapshot};
use crate::cycle::message;
use crate::framework::points::{Nomination, Plugin, PostFilter, Refusals, Remedy, Unplaced};
use crate::framework::{Code, PodInfo, Status};

/// No fewer candidates than this are tried, where there are that many.
const CANDIDATES_MIN: usize = 100;
/// And no fewer than this share of the nodes, in hundredths.
const CANDIDATES_PERCENT: usize = 10;
const NO_VICTIMS: &str = "No preemption victims found for incoming pod";

/// See the module.
pub(super) struct DefaultPreemption;

impl Plugin for DefaultPreemption {
    fn name(&self) -> &'static str {
        "DefaultPreemption"
    }
}

impl PostFilter for DefaultPreemption {
    fn post_filter(&self, unplaced: &Unplaced<'_>) -> Remedy {
        if let Some(reason) = ineligible(unplaced) {
            return Remedy::None(
                Status::unschedulable(format!("preemption: {reason}")),
                Nomination::Keep,
            );
        }
        let nodes = unplaced.nodes;
        let helpful = |position: &usize| {
            unplaced
                .refusals
                .get(*position)
                .is_some_and(|status| status.code == Code::Unschedulable)
        };
        let potential: Vec<usize> = (0..nodes.len()).filter(helpful).collect();
        let wanted = (potential.len() * CANDIDATES_PERCENT / 100).max(CANDIDATES_MIN);
        // A random start spreads the search, because it ends before the last node.
        let start = if potential.is_empty() {
            0
        } else {
            rand::random_range(0..potential.len())
        };
        let mut candidates = Vec::new();
        let mut refusals = Refusals {
            others: Some(Status::unresolvable(
                "Preemption is not helpful for scheduling",
            )),
            ..Refusals::default()
        };
        for position in potential.iter().cycle().skip(start).take(potential.len()) {
            let Some(node) = nodes.nodes().get(*position) else {
                continue;
            };
            match victims_on(unplaced, node) {
                Ok(victims) => candidates.push(Candidate {
                    node: node.clone(),
                    victims,
                }),
                Err(status) => _ = refusals.by_node.insert(*position, status),
            }
            if candidates.len() >= wanted {
                break;
            }
        }
        match candidates.into_iter().min_by_key(Candidate::cost) {
            Some(best) => Remedy::Preempt {
                node: best.node.name().to_owned(),
                victims: best.victims,
            },
            None => none_helps(nodes, &refusals),
        }
    }
}

fn none_helps(nodes: &Snapshot, refusals: &Refusals) -> Remedy {
    let text = format!(
        "preemption: {}",
        message::fit_error(nodes.len(), refusals, None, "")
    );
    Remedy::None(Status::unschedulable(text), Nomination::Clear)
}

/// Why the pod must not preempt others, if so.
fn ineligible(unplaced: &Unplaced<'_>) -> Option<&'static str> {
    let pod = unplaced.pod;
    if pod.spec().and_then(|s| s.preemption_policy.as_deref()) == Some("Never") {
        return Some("not eligible due to preemptionPolicy=Never.");
    }
    let position = unplaced.nodes.position(unplaced.kept.own.as_deref()?)?;
    if unplaced
        .refusals
        .get(position)
        .is_some_and(|s| s.code == Code::UnschedulableAndUnresolvable)
    {
        return None;
    }
    let node = unplaced.nodes.nodes().get(position)?;
    let leaving =
        |other: &&Arc<PodInfo>| other.priority < pod.priority && is_leaving_for_another(other);
    node.pods
        .values()
        .find(leaving)
        .map(|_| "not eligible due to a terminating pod on the nominated node.")
}

fn is_leaving_for_another(pod: &PodInfo) -> bool {
    let conditions = pod
        .status()
        .and_then(|s| s.conditions.as_deref())
        .unwrap_or_default();
    pod.is_terminating()
        && conditions.iter().any(|c| {
            c.type_ == "DisruptionTarget"
                && c.status == "True"
                && c.reason.as_deref() == Some("PreemptionByScheduler")
        })
}

/// The least that has to leave `node` for the pod to fit, most important first. Never nobody.
///
/// What preemption frees for others already is not free: with every question the pods to come count
/// as if they were there.
fn victims_on(unplaced: &Unplaced<'_>, node: &Arc<NodeInfo>) -> Result<Vec<Arc<PodInfo>>, Status> {
    let (profile, pod, kept) = (unplaced.profile, unplaced.pod, unplaced.kept);
    let mut lower: Vec<Arc<PodInfo>> = node
        .pods
        .values()
        .filter(|p| p.priority < pod.priority)
        .cloned()
        .collect();
    if lower.is_empty() {
        return Err(Status::unresolvable(NO_VICTIMS));
    }
    let mut state = unplaced.state.clone();
    let mut imagined = (**node).clone();
    for other in &lower {
        imagined.remove_pod(&other.uid);
        profile.run_remove_pod(&mut state, pod, other, &imagined);
    }
    let status = profile.run_filter_beside(&state, pod, &imagined, kept);
    if !status.is_success() {
        return Err(status);
    }
    // Reprieve as many as possible, the most important first.
    lower.sort_by_key(|p| importance(p));
    let mut victims = Vec::new();
    for other in lower {
        imagined.add_pod(other.clone());
        profile.run_add_pod(&mut state, pod, &other, &imagined);
        let status = profile.run_filter_beside(&state, pod, &imagined, kept);
        if !status.is_success() {
            imagined.remove_pod(&other.uid);
            profile.run_remove_pod(&mut state, pod, &other, &imagined);
            victims.push(other);
        }
    }
    if victims.is_empty() {
        // Whatever kept the pod from this node, it was none of them.
        return Err(Status::unresolvable(NO_VICTIMS));
    }
    Ok(victims)
}

/// The most important pod sorts first: by priority, then by the longest run.
fn importance(pod: &PodInfo) -> (Reverse<i32>, Timestamp) {
    (Reverse(pod.priority), started(pod))
}

/// A pod that has not started counts as started last.
fn started(pod: &PodInfo) -> Timestamp {
    pod.status()
        .and_then(|s| s.start_time.as_ref())
        .map_or(Timestamp::MAX, |t| t.0)
}

struct Candidate {
    node: Arc<NodeInfo>,
    victims: Vec<Arc<PodInfo>>,
}

impl Candidate {
    /// The order of upstream's choice: the lowest highest priority, the lowest sum of priorities,
    /// the fewest victims, the latest start of the most important one.
    fn cost(&self) -> (i32, i64, usize, Reverse<Timestamp>) {
        let highest = self.victims.first().map_or(i32::MIN, |p| p.priority);
        // Shifted so that more victims of negative priority never look cheaper.
        let sum = self
            .victims
            .iter()
            .map(|p| i64::from(p.priority) - i64::from(i32::MIN))
            .sum();
        let important = self.victims.iter().filter(|p| p.priority == highest);
        let latest = important
            .map(|p| started(p))
            .min()
            .unwrap_or(Timestamp::MIN);
        (highest, sum, self.victims.len(), Reverse(latest))
    }
}
