//! Chooses among the nodes that a pod fits.

use crate::cache::Snapshot;
use crate::framework::{Code, CycleState, PodInfo, Profile, Status};

/// The best of `feasible`; of several equally good ones, any. None where `feasible` is empty.
pub(super) fn choose(
    profile: &Profile,
    state: &mut CycleState,
    pod: &PodInfo,
    nodes: &Snapshot,
    feasible: &[usize],
) -> Result<Option<usize>, Status> {
    if let [] | [_] = feasible {
        return Ok(feasible.first().copied());
    }
    let mut skipped = Vec::new();
    for plugin in &profile.pre_score {
        let status = plugin.pre_score(state, pod, nodes, feasible);
        match status.code {
            Code::Success => {}
            Code::Skip => skipped.push(plugin.name()),
            _ => return Err(status.from_plugin(plugin.name())),
        }
    }
    let mut totals = vec![0_i64; feasible.len()];
    for weighted in profile
        .score
        .iter()
        .filter(|w| !skipped.contains(&w.plugin.name()))
    {
        let node_of = |position: &usize| nodes.nodes().get(*position);
        let of_node = |position: &usize| {
            node_of(position).map_or(0, |node| weighted.plugin.score(state, pod, node))
        };
        let mut scores: Vec<i64> = feasible.iter().map(of_node).collect();
        weighted.plugin.normalize(state, pod, &mut scores);
        for (total, score) in totals.iter_mut().zip(scores) {
            *total = total.saturating_add(score.saturating_mul(weighted.weight));
        }
    }
    let best = totals.iter().copied().max().unwrap_or(0);
    let winners: Vec<usize> = feasible
        .iter()
        .zip(&totals)
        .filter(|(_, t)| **t == best)
        .map(|(p, _)| *p)
        .collect();
    Ok(winners
        .get(rand::random_range(0..winners.len().max(1)))
        .copied())
}
