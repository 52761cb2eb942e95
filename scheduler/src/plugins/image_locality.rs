//! ImageLocality: prefers nodes that have a pod's images already.
//!
//! An image counts by the share of the nodes that hold it, or every pod of a kind would go to the
//! first node that pulled its image.

use crate::cache::{NodeInfo, Snapshot};
use crate::framework::points::{NODE_SCORE_MAX, Plugin, PreScore, Score};
use crate::framework::{CycleState, PodInfo, Status};

/// Images smaller than this together are quick to pull, and do not count.
const BYTES_MIN: i64 = 23 * 1024 * 1024;
/// More bytes than this for each container count no further.
const BYTES_MAX_PER_CONTAINER: i64 = 1000 * 1024 * 1024;

/// See the module.
pub(super) struct ImageLocality;

impl Plugin for ImageLocality {
    fn name(&self) -> &'static str {
        "ImageLocality"
    }
}

/// The images of a pod that some node holds.
#[derive(Clone, Debug)]
struct Wanted {
    /// Once for each container, with the number of nodes that hold it.
    images: Vec<(String, i64)>,
    /// All nodes; not zero.
    nodes: i64,
    /// More bytes than this count no further.
    bytes_max: i64,
}

impl PreScore for ImageLocality {
    fn pre_score(
        &self,
        state: &mut CycleState,
        pod: &PodInfo,
        nodes: &Snapshot,
        _feasible: &[usize],
    ) -> Status {
        let Some(spec) = pod.spec() else {
            return Status::SKIP;
        };
        let containers = spec.init_containers.iter().flatten();
        let names: Vec<String> = containers
            .chain(&spec.containers)
            .filter_map(|c| c.image.as_deref().map(with_tag))
            .collect();
        let containers = i64::try_from(names.len()).unwrap_or(i64::MAX);
        let held = names.into_iter().filter_map(|name| {
            let holders = nodes.nodes_with_image(&name);
            (holders > 0).then_some((name, holders))
        });
        let images: Vec<(String, i64)> = held.collect();
        if images.is_empty() {
            // No node is better than another.
            return Status::SKIP;
        }
        state.write(Wanted {
            images,
            nodes: i64::try_from(nodes.len()).unwrap_or(i64::MAX).max(1),
            bytes_max: BYTES_MAX_PER_CONTAINER.saturating_mul(containers),
        });
        Status::SUCCESS
    }
}

impl Score for ImageLocality {
    fn score(&self, state: &CycleState, _pod: &PodInfo, node: &NodeInfo) -> i64 {
        let Some(wanted) = state.read::<Wanted>() else {
            return 0;
        };
        let present = wanted.images.iter().filter_map(|(name, holders)| {
            let bytes = node.images.get(name)?;
            Some(bytes.saturating_mul(*holders) / wanted.nodes)
        });
        let bytes = present.fold(0, i64::saturating_add);
        NODE_SCORE_MAX * (bytes.clamp(BYTES_MIN, wanted.bytes_max) - BYTES_MIN)
            / (wanted.bytes_max - BYTES_MIN)
    }
}

/// An image's name with the tag that is meant where none is written.
fn with_tag(image: &str) -> String {
    let after_slash = image.rfind('/').map_or(0, |at| at + 1);
    let last = image.get(after_slash..).unwrap_or(image);
    if last.contains(':') {
        image.to_owned()
    } else {
        format!("{image}:latest")
    }
}

#[cfg(test)]
mod tests {
    use super::ImageLocality;
    use crate::cache::{Cache, Snapshot};
    use crate::framework::CycleState;
    use crate::framework::points::{PreScore, Score};
    use crate::testing::{node, node_with_images, pod};

    const MEGABYTE: i64 = 1024 * 1024;

    /// The score of node `a`, which holds 500 MB of image `i`, among nodes of which `holders` do.
    fn score(holders: usize, nodes: usize) -> i64 {
        let mut cache = Cache::default();
        let names = ["a", "b", "c", "d"];
        for (index, name) in names.iter().take(nodes).enumerate() {
            cache.set_node(if index < holders {
                node_with_images(name, &[("i:latest", 500 * MEGABYTE)])
            } else {
                node(name, "4")
            });
        }
        let (mut snapshot, mut state) = (Snapshot::default(), CycleState::default());
        cache.refresh(&mut snapshot);
        let pod = pod("p", serde_json::json!({}));
        let status = ImageLocality.pre_score(&mut state, &pod, &snapshot, &[0, 1]);
        assert!(status.is_success());
        ImageLocality.score(&state, &pod, snapshot.get("a").expect("node a"))
    }

    #[test]
    fn an_image_counts_by_the_share_of_nodes_that_hold_it() {
        // (500 - 23) / (1000 - 23), then 250 and 125 in place of 500.
        assert_eq!(score(4, 4), 48);
        assert_eq!(score(2, 4), 23);
        assert_eq!(score(1, 4), 10);
        assert_eq!(score(0, 4), 0);
    }
}
