//! ImageLocality: prefers nodes that have a pod's images already.

use crate::cache::NodeInfo;
use crate::framework::points::{NODE_SCORE_MAX, Plugin, Score};
use crate::framework::{CycleState, PodInfo};

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

impl Score for ImageLocality {
    fn score(&self, _state: &CycleState, pod: &PodInfo, node: &NodeInfo) -> i64 {
        let Some(spec) = pod.spec() else { return 0 };
        let containers = spec
            .init_containers
            .iter()
            .flatten()
            .chain(&spec.containers);
        let images: Vec<&str> = containers.filter_map(|c| c.image.as_deref()).collect();
        let present = images
            .iter()
            .filter_map(|image| node.images.get(&with_tag(image)))
            .sum::<i64>();
        let max =
            BYTES_MAX_PER_CONTAINER.saturating_mul(i64::try_from(images.len()).unwrap_or(1).max(1));
        NODE_SCORE_MAX * (present.clamp(BYTES_MIN, max) - BYTES_MIN) / (max - BYTES_MIN)
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
