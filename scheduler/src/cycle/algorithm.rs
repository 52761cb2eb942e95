//! Decides where one pod goes, on a snapshot, without IO.

use super::filter::{self, Search};
use super::{message, score};
use crate::cache::Snapshot;
use crate::framework::points::{Kept, Nomination, Refusals, Remedy, Unplaced};
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

/// What a decision is about.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    /// The plugins.
    pub(super) profile: &'a Profile,
    /// The pod.
    pub(super) pod: &'a PodInfo,
    /// The nodes.
    pub(super) nodes: &'a Snapshot,
    /// What preemption frees.
    pub(super) kept: &'a Kept,
}

/// Decides about a pod. `start` is where the last search ended; it is moved on.
pub(super) fn decide(case: &Case<'_>, start: &mut usize) -> Decision {
    let Case {
        profile,
        pod,
        nodes,
        kept,
    } = *case;
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
            return refuse(case, &state, why);
        }
        Err(status) => return Decision::Fail(status),
    };
    // The node that preemption freed is most likely the only one that fits.
    if let Some(node) = kept.own.as_deref().and_then(|name| nodes.get(name))
        && names
            .as_ref()
            .is_none_or(|names| names.contains(node.name()))
        && profile
            .run_filter_beside(&state, pod, node, kept)
            .is_success()
    {
        return Decision::Place {
            node: node.name().to_owned(),
            state,
        };
    }
    let search = Search {
        names: &names,
        start: *start,
        kept,
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
            refuse(case, &state, why_nowhere(found.refusals, narrowed))
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

fn refuse(case: &Case<'_>, state: &CycleState, why: Why) -> Decision {
    let mut remedy = Remedy::None(Status::SUCCESS, Nomination::Keep);
    for plugin in &case.profile.post_filter {
        remedy = plugin.post_filter(&Unplaced {
            profile: case.profile,
            state,
            pod: case.pod,
            nodes: case.nodes,
            kept: case.kept,
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
        case.nodes.len(),
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
