//! As many pods as the job wants now: creations, and deletions that count as nothing. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use super::made::{index, pod};
use super::{Work, has_finalizer};
use crate::pods::{Ranked, deletion_order};

/// Creations or deletions in one pass.
const BURST_MAX: usize = 500;

impl Work<'_> {
    /// Creates or deletes towards the parallelism.
    pub(super) fn size(&mut self) {
        self.plan.is_expected = true;
        if self.is_suspended() {
            let active = self.active.clone();
            return self.remove(&active);
        }
        if self.is_indexed() {
            let surplus = self.unneeded();
            self.remove(&surplus);
        }
        let wanted = self.wanted();
        if self.active.len() > wanted {
            let mut ranked = self.active.clone();
            let now = self.now;
            ranked.sort_by(|a, b| {
                let (a, b) = (Ranked { pod: a, rank: 0 }, Ranked { pod: b, rank: 0 });
                deletion_order(&a, &b, now)
            });
            ranked.truncate((ranked.len() - wanted).min(BURST_MAX));
            return self.remove(&ranked);
        }
        let waiting = if self.replaces_only_failed() {
            self.terminating
        } else {
            0
        };
        let missing = wanted
            .saturating_sub(self.active.len() + waiting)
            .min(BURST_MAX);
        if missing == 0 {
            return;
        }
        let rest = self.tally.backoff_rest(self.now);
        if rest.is_zero() {
            self.create(missing);
        } else {
            self.plan.again = Some(rest);
        }
    }

    fn replaces_only_failed(&self) -> bool {
        self.spec.pod_replacement_policy.as_deref() == Some("Failed")
    }

    fn wanted(&self) -> usize {
        let parallelism = self.spec.parallelism.unwrap_or(1).max(0);
        let wanted = match self.spec.completions {
            // Once one has succeeded, no new ones start; those that run may end.
            None if self.succeeded() > 0 => i32::try_from(self.active.len())
                .unwrap_or(i32::MAX)
                .min(parallelism),
            None => parallelism,
            Some(completions) => (completions - self.succeeded()).clamp(0, parallelism),
        };
        usize::try_from(wanted).unwrap_or(0)
    }

    /// Active pods of an indexed job that have no index, one that is out of range, done, or taken already.
    fn unneeded(&self) -> Vec<Arc<Pod>> {
        let limit = self.spec.completions.unwrap_or(0);
        let mut taken = BTreeSet::new();
        let is_needed = |pod: &&Arc<Pod>| {
            let one = index(pod).filter(|one| (0..limit).contains(one));
            one.is_some_and(|one| !self.done.contains(one) && taken.insert(one))
        };
        let needed: BTreeSet<Option<String>> = self
            .active
            .iter()
            .filter(is_needed)
            .map(|pod| pod.metadata.uid.clone())
            .collect();
        let is_surplus = |pod: &&Arc<Pod>| !needed.contains(&pod.metadata.uid);
        self.active.iter().filter(is_surplus).cloned().collect()
    }

    fn create(&mut self, count: usize) {
        if !self.is_indexed() {
            self.plan.create = vec![pod(self.job, None); count];
            return;
        }
        let taken: BTreeSet<i32> = self.active.iter().filter_map(|pod| index(pod)).collect();
        let free = (0..self.spec.completions.unwrap_or(0))
            .filter(|one| !self.done.contains(*one) && !taken.contains(one));
        self.plan.create = free
            .take(count)
            .map(|one| pod(self.job, Some(one)))
            .collect();
    }

    /// Deletes pods as if they had never been.
    fn remove(&mut self, pods: &[Arc<Pod>]) {
        let is_gone = |pod: &Arc<Pod>| pods.iter().any(|one| Arc::ptr_eq(one, pod));
        self.active.retain(|pod| !is_gone(pod));
        self.tally.open.retain(|pod| !is_gone(pod));
        self.terminating += pods.len();
        let uncounted = pods.iter().filter(|pod| has_finalizer(pod));
        self.plan.release.extend(uncounted.cloned());
        self.plan.delete.extend(pods.iter().cloned());
    }
}
