//! Finds nodes that a pod fits, enough of them to choose from.

use crate::cache::Snapshot;
use crate::framework::points::{Kept, NodeNames, Refusals};
use crate::framework::{Code, CycleState, PodInfo, Profile, Status};

/// Fewer nodes than this are always all tried.
const FEASIBLE_MIN: usize = 100;
/// The adaptive share never falls below this, in hundredths.
const PERCENT_MIN: usize = 5;

/// What the search found.
pub(super) struct Found {
    /// Positions of fitting nodes.
    pub(super) feasible: Vec<usize>,
    /// Why the others do not fit.
    pub(super) refusals: Refusals,
    /// How many nodes were looked at, so that the next search begins behind them.
    pub(super) looked_at: usize,
}

/// Runs the filters over the nodes, from `start` on, until enough fit. The error of a plugin ends it.
pub(super) fn find(
    profile: &Profile,
    state: &CycleState,
    pod: &PodInfo,
    nodes: &Snapshot,
    search: &Search<'_>,
) -> Result<Found, Status> {
    let mut found = Found {
        feasible: Vec::new(),
        refusals: Refusals::default(),
        looked_at: 0,
    };
    let positions: Vec<usize> = match search.names {
        Some(names) => names
            .iter()
            .filter_map(|name| nodes.position(name))
            .collect(),
        None => (0..nodes.len()).collect(),
    };
    let wanted = enough(positions.len(), profile.percentage_of_nodes_to_score);
    let start = if positions.is_empty() {
        0
    } else {
        search.start % positions.len()
    };
    for position in positions.iter().cycle().skip(start).take(positions.len()) {
        let Some(node) = nodes.nodes().get(*position) else {
            continue;
        };
        found.looked_at += 1;
        let status = profile.run_filter_beside(state, pod, node, search.kept);
        match status.code {
            Code::Success | Code::Skip => found.feasible.push(*position),
            Code::Error => return Err(status),
            Code::Unschedulable | Code::UnschedulableAndUnresolvable => {
                found.refusals.by_node.insert(*position, status);
            }
        }
        if found.feasible.len() >= wanted {
            break;
        }
    }
    Ok(found)
}

/// Where to look and from where.
pub(super) struct Search<'a> {
    /// What PreFilter left.
    pub(super) names: &'a NodeNames,
    /// The position to start at.
    pub(super) start: usize,
    /// What preemption frees.
    pub(super) kept: &'a Kept,
}

/// How many fitting nodes are enough of `all`.
fn enough(all: usize, percentage: u32) -> usize {
    if all < FEASIBLE_MIN {
        return all;
    }
    let percent = match percentage {
        0 => 50_usize.saturating_sub(all / 125).max(PERCENT_MIN),
        given => given as usize,
    };
    (all * percent / 100).max(FEASIBLE_MIN)
}

#[cfg(test)]
mod tests {
    use super::enough;

    #[test]
    fn the_share_of_nodes_adapts_to_their_number() {
        for (all, percentage, want) in [
            (10, 0, 10),
            (100, 0, 100),
            (1000, 0, 420),
            (5000, 0, 500),
            (6000, 0, 300),
            (6000, 50, 3000),
        ] {
            assert_eq!(enough(all, percentage), want, "{all} nodes, {percentage} %");
        }
    }
}
