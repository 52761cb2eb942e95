//! The text that tells a user why a pod fits no node, word for word as upstream's.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::framework::points::Refusals;

/// The text for an empty cluster.
pub const NO_NODES: &str = "no nodes available to schedule pods";

/// `0/3 nodes are available: 1 Insufficient cpu, 2 Too many pods. preemption: …`. A refusal of
/// PreFilter stands in place of the nodes' reasons.
pub fn fit_error(
    nodes: usize,
    refusals: &Refusals,
    pre_filter: Option<&str>,
    post_filter: &str,
) -> String {
    let mut text = format!("0/{nodes} nodes are available:");
    match pre_filter {
        Some(reason) => text.push_str(&format!(" {reason}.")),
        None => {
            let mut counts: BTreeMap<&Cow<'static, str>, usize> = BTreeMap::new();
            for reason in refusals.by_node.values().flat_map(|s| &s.reasons) {
                *counts.entry(reason).or_default() += 1;
            }
            let absent = nodes.saturating_sub(refusals.by_node.len());
            if absent > 0 {
                for reason in refusals.others.iter().flat_map(|s| &s.reasons) {
                    *counts.entry(reason).or_default() += absent;
                }
            }
            let mut parts: Vec<String> = counts
                .iter()
                .map(|(reason, count)| format!("{count} {reason}"))
                .collect();
            // Sorted as texts, number included, as upstream does.
            parts.sort();
            if !parts.is_empty() {
                text.push_str(&format!(" {}.", parts.join(", ")));
            }
        }
    }
    if !post_filter.is_empty() {
        text.push(' ');
        text.push_str(post_filter);
    }
    text
}
