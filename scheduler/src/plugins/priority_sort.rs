//! PrioritySort: more important pods first.

use crate::framework::PodInfo;
use crate::framework::points::{Plugin, QueueSort};

/// See the module.
pub(super) struct PrioritySort;

impl Plugin for PrioritySort {
    fn name(&self) -> &'static str {
        "PrioritySort"
    }
}

impl QueueSort for PrioritySort {
    fn rank(&self, pod: &PodInfo) -> i64 {
        -i64::from(pod.priority)
    }
}
