//! Decides where one pod goes, on a snapshot, without IO.

use super::filter::{self, Coming, Search};
use super::{message, score};
use crate::cache::Snapshot;
use crate::framework::points::{Nomination, Refusals, Remedy, Unplaced};
use crate::framework::{CycleState, PodInfo, Profile, Status};

/// What was decided.
pub(super) enum Decision {
    /// Place the pod.
    Place {
        /// The node.
        node: String,
        /// What the plugins remember.
        state: CycleState,
    },
    /// It fits nowhere.
    Refuse(Refusal),
    /// A plugin failed.
    Fail(Status),
}

/// Why a pod fits nowhere, and what to do about it.
#[derive(Debug)]
pub(super) struct Refusal {
    /// For the user.
    pub(super) message: String,
    /// Who refused; empty where nobody in particular did.
    pub(super) plugins: Vec<&'static str>,
    /// What may help.
    pub(super) remedy: Remedy,
}

/// Decides about `pod`. `start` is where the last search ended; it is moved on.
pub(super) fn decide(
    profile: &Profile,
    pod: &PodInfo,
    nodes: &Snapshot,
    coming: &Coming,
    start: &mut usize,
) -> Decision {
    if nodes.is_empty() {
        return Decision::Refuse(Refusal {
            message: message::NO_NODES.to_owned(),
            plugins: Vec::new(),
            remedy: Remedy::None(Status::SUCCESS, Nomination::Keep),
        });
    }
    let mut state = CycleState::default();
    let (names, narrowed) = match profile.run_pre_filter(&mut state, pod, nodes) {
        Ok(left) => left,
        Err(status) if status.is_rejected() => {
            let why = Why {
                pre_filter: Some(status.message()),
                plugins: vec![status.plugin],
                refusals: Refusals {
                    others: Some(status),
                    ..Refusals::default()
                },
            };
            return refuse(profile, &state, pod, nodes, why);
        }
        Err(status) => return Decision::Fail(status),
    };
    // The node that preemption freed is most likely the only one that fits.
    if let Some(node) = pod.nominated_node().and_then(|name| nodes.get(name))
        && names
            .as_ref()
            .is_none_or(|names| names.contains(node.name()))
        && filter::fits(profile, &state, pod, node, coming).is_success()
    {
        return Decision::Place {
            node: node.name().to_owned(),
            state,
        };
    }
    let search = Search {
        names: &names,
        start: *start,
        coming,
    };
    let found = match filter::find(profile, &state, pod, nodes, &search) {
        Ok(found) => found,
        Err(status) => return Decision::Fail(status),
    };
    *start = (*start + found.looked_at) % nodes.len();
    let chosen = score::choose(profile, &mut state, pod, nodes, &found.feasible);
    match chosen.map(|position| position.and_then(|position| nodes.nodes().get(position))) {
        Err(status) => Decision::Fail(status),
        Ok(Some(node)) => Decision::Place {
            node: node.name().to_owned(),
            state,
        },
        Ok(None) => {
            let narrowed = names.is_some().then_some(narrowed);
            refuse(
                profile,
                &state,
                pod,
                nodes,
                why_nowhere(found.refusals, narrowed),
            )
        }
    }
}

/// Every plugin that refused a node, and those that left out nodes before the search.
fn why_nowhere(mut refusals: Refusals, narrowed: Option<Vec<&'static str>>) -> Why {
    let mut plugins: Vec<&'static str> = refusals.by_node.values().map(|s| s.plugin).collect();
    if let Some(narrowed) = narrowed {
        let reason = format!("node(s) didn't satisfy plugin(s) [{}]", narrowed.join(" "));
        refusals.others = Some(Status::unresolvable(reason));
        plugins.extend(narrowed);
    }
    plugins.sort_unstable();
    plugins.dedup();
    Why {
        refusals,
        pre_filter: None,
        plugins,
    }
}

struct Why {
    refusals: Refusals,
    pre_filter: Option<String>,
    plugins: Vec<&'static str>,
}

fn refuse(
    profile: &Profile,
    state: &CycleState,
    pod: &PodInfo,
    nodes: &Snapshot,
    why: Why,
) -> Decision {
    let mut remedy = Remedy::None(Status::SUCCESS, Nomination::Keep);
    for plugin in &profile.post_filter {
        remedy = plugin.post_filter(&Unplaced {
            profile,
            state,
            pod,
            nodes,
            refusals: &why.refusals,
        });
        if matches!(remedy, Remedy::Preempt { .. }) {
            break;
        }
    }
    let post_filter = match &remedy {
        Remedy::None(status, _) => status.message(),
        Remedy::Preempt { .. } => String::new(),
    };
    let message = message::fit_error(
        nodes.len(),
        &why.refusals,
        why.pre_filter.as_deref(),
        &post_filter,
    );
    Decision::Refuse(Refusal {
        message,
        plugins: why.plugins,
        remedy,
    })
}

#[cfg(test)]
#[path = "algorithm_tests.rs"]
mod tests;
