//! Runs pods to completion. `plan` decides, `act` writes.
//!
//! Each pod carries a finalizer until it is counted: first its uid is written into the status, then the finalizer goes, then
//! the uid becomes a number. So every pod counts exactly once, whoever dies in between.
//! Jobs with a pod failure policy, a success policy or a backoff limit per index are not run: they get an event that says so.

mod act;
mod orphans;
mod plan;
pub(crate) mod ttl;

use std::sync::Arc;
use std::time::Duration;

use client::expectations::Expectations;
use client::store::Key;
use client::{Delta, Queue, Store};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use self::act::Controller;
use self::plan::Fate;
use crate::driver::{Builder, Part, all_of, enqueue};
use crate::owners::{Claim, controller_of};
use crate::pods::is_terminating;

/// The longest delay after failures, as upstream's.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Adds the controller.
pub(crate) fn build(builder: &mut Builder) {
    let recorder = builder.recorder("job-controller");
    let (queue, lost) = (Queue::with_delay_max(RETRY_MAX), Queue::new());
    let expectations = Arc::new(Expectations::new());
    let jobs = builder.informers.jobs();
    jobs.add_handler(enqueue(&queue));
    let jobs = jobs.store();
    let watcher = Watcher {
        queue: queue.clone(),
        lost: lost.clone(),
        jobs: jobs.clone(),
        expectations: expectations.clone(),
    };
    let pods = builder.informers.pods();
    pods.add_handler(move |delta| watcher.pod(delta));
    let pods = pods.store();
    orphans::build(builder, lost, jobs.clone(), pods.clone());
    let client = builder.client.clone();
    builder.part(Part {
        name: "job-controller",
        queue,
        workers: 5,
        all: all_of(&jobs),
        reconciler: Arc::new(Controller {
            client,
            recorder,
            jobs,
            pods,
            expectations,
        }),
    });
}

/// Wakes the Jobs of changed pods, and notes what was expected.
struct Watcher {
    queue: Queue<Key>,
    /// Pods that may have lost their Job.
    lost: Queue<Key>,
    jobs: Store<Job>,
    expectations: Arc<Expectations>,
}

impl Watcher {
    fn pod(&self, delta: &Delta<'_, Pod>) {
        let pod = delta.object();
        match controller_of(&pod.metadata) {
            Some(owner) if owner.kind == "Job" => {
                // Also a Job that is gone, whose pods still carry the finalizer.
                let key = Key::new(pod.namespace().unwrap_or_default(), &owner.name);
                let uid = pod.metadata.uid.as_deref().unwrap_or_default();
                if delta.is_deleted() || is_terminating(pod) {
                    self.expectations.saw_deletion(&key, uid);
                } else if matches!(delta, Delta::Added(_)) {
                    self.expectations.saw_creation(&key);
                }
                self.queue.add(key);
            }
            Some(_) => {}
            None if delta.is_deleted() => {}
            None => self.orphan(pod),
        }
    }

    /// A pod without a controller is perhaps to be adopted; if it is not, nobody needs its finalizer.
    fn orphan(&self, pod: &Pod) {
        let jobs = self
            .jobs
            .list_namespace(&pod.namespace().unwrap_or_default());
        let adopting = jobs
            .iter()
            .filter(|job| plan::claim(job, pod) == Claim::Adopt);
        adopting.for_each(|job| self.queue.add(Key::of(job.as_ref())));
        if plan::fate(pod, &jobs) != Fate::Settled {
            self.lost.add(Key::of(pod));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use client::expectations::Expectations;
    use client::{Delta, Queue, Store};
    use k8s_openapi::api::core::v1::Pod;

    use super::Watcher;
    use super::plan::FINALIZER;

    #[test]
    fn a_pod_that_lost_its_job_is_looked_at() {
        let watcher = Watcher {
            queue: Queue::new(),
            lost: Queue::new(),
            jobs: Store::of([]),
            expectations: Arc::new(Expectations::new()),
        };
        let mut pod = Pod::default();
        watcher.pod(&Delta::Added(&Arc::new(pod.clone())));
        assert_eq!(watcher.lost.len(), 0, "no Job has counted on it");
        pod.metadata.finalizers = Some(vec![FINALIZER.into()]);
        let pod = Arc::new(pod);
        watcher.pod(&Delta::Deleted(&pod));
        assert_eq!(watcher.lost.len(), 0);
        watcher.pod(&Delta::Added(&pod));
        assert_eq!(watcher.lost.len(), 1);
        assert!(watcher.queue.is_empty());
    }
}
