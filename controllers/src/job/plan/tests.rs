//! Runs Jobs through their lives in a small world that carries out plans, and checks what is counted and when they end.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{Pod, PodCondition, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{FINALIZER, Plan, finished, plan};

mod ends;

struct World {
    job: Job,
    pods: Vec<Pod>,
    now: Timestamp,
    names: usize,
    /// Whether the cache shows all that was done.
    may_act: bool,
}

impl World {
    fn new(spec: JobSpec) -> Self {
        let mut job = Job {
            spec: Some(spec),
            ..Job::default()
        };
        job.metadata.name = Some("j".into());
        let now = Timestamp::from_second(1_000_000).unwrap();
        Self {
            job,
            pods: Vec::new(),
            now,
            names: 0,
            may_act: true,
        }
    }

    fn plan(&self) -> Plan {
        let pods: Vec<Arc<Pod>> = self.pods.iter().cloned().map(Arc::new).collect();
        plan(&self.job, &pods, self.may_act, self.now)
    }

    /// Plans and carries out until nothing changes. A deleted pod goes at once when it has no finalizer.
    fn settle(&mut self) {
        for _ in 0..20 {
            let plan = self.plan();
            let before = (self.job.clone(), self.pods.clone());
            if finished(&self.job).is_none() {
                self.job.status = Some(plan.status);
            }
            for mut pod in plan.create {
                self.names += 1;
                let name = format!("p{}", self.names);
                pod.metadata.name = Some(name.clone());
                pod.metadata.uid = Some(name);
                self.pods.push(pod);
            }
            let names = |pods: &[Arc<Pod>]| -> Vec<_> {
                pods.iter().map(|pod| pod.metadata.uid.clone()).collect()
            };
            let (release, delete) = (names(&plan.release), names(&plan.delete));
            for pod in &mut self.pods {
                if release.contains(&pod.metadata.uid) {
                    pod.metadata.finalizers = None;
                }
                if delete.contains(&pod.metadata.uid) {
                    pod.metadata.deletion_timestamp = Some(Time(self.now));
                }
            }
            self.pods.retain(|pod| {
                pod.metadata.deletion_timestamp.is_none() || pod.metadata.finalizers.is_some()
            });
            if before == (self.job.clone(), self.pods.clone()) {
                return;
            }
        }
        panic!("never settles: {:?}", self.job.status);
    }

    fn pod(&mut self, name: &str) -> &mut Pod {
        let is_it = |pod: &&mut Pod| pod.metadata.name.as_deref() == Some(name);
        self.pods.iter_mut().find(is_it).unwrap()
    }

    fn end(&mut self, name: &str, phase: &str) {
        let ready = PodCondition {
            type_: "Ready".into(),
            status: "False".into(),
            last_transition_time: Some(Time(self.now)),
            ..PodCondition::default()
        };
        self.pod(name).status = Some(PodStatus {
            phase: Some(phase.into()),
            conditions: Some(vec![ready]),
            ..PodStatus::default()
        });
        self.settle();
    }

    fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
        self.settle();
    }

    /// active/succeeded/failed, and the conditions that are true.
    fn show(&self) -> String {
        let status = self.job.status.clone().unwrap_or_default();
        let n = |value: Option<i32>| value.unwrap_or(0);
        let conditions = status.conditions.unwrap_or_default();
        let conditions: Vec<String> = conditions
            .into_iter()
            .filter(|one| one.status == "True")
            .map(|one| one.type_)
            .collect();
        let counts = format!(
            "{}/{}/{}",
            n(status.active),
            n(status.succeeded),
            n(status.failed)
        );
        format!("{counts} {}", conditions.join(","))
            .trim_end()
            .to_owned()
    }
}

fn spec(completions: Option<i32>, parallelism: i32) -> JobSpec {
    JobSpec {
        completions,
        parallelism: Some(parallelism),
        backoff_limit: Some(1),
        ..JobSpec::default()
    }
}

#[test]
fn a_job_runs_to_completion_and_counts_each_pod_once() {
    let mut world = World::new(spec(Some(3), 2));
    world.settle();
    assert_eq!(world.show(), "2/0/0");
    assert_eq!(
        world.pods[0].metadata.finalizers.as_ref().unwrap()[0],
        FINALIZER
    );
    world.end("p1", "Succeeded");
    assert_eq!(world.show(), "2/1/0");
    world.end("p2", "Succeeded");
    assert_eq!(world.show(), "1/2/0");
    world.end("p3", "Succeeded");
    assert_eq!(world.show(), "0/3/0 SuccessCriteriaMet,Complete");
    let status = world.job.status.clone().unwrap();
    assert!(status.completion_time.is_some());
    assert_eq!(status.uncounted_terminated_pods.unwrap().succeeded, None);
    assert!(
        world
            .pods
            .iter()
            .all(|pod| pod.metadata.finalizers.is_none())
    );
}

#[test]
fn failures_wait_and_then_end_the_job() {
    let mut world = World::new(spec(Some(2), 1));
    world.settle();
    world.end("p1", "Failed");
    assert_eq!(world.show(), "0/0/1", "the next pod waits");
    world.pass(11);
    assert_eq!(world.show(), "1/0/1");
    world.end("p2", "Failed");
    assert_eq!(world.show(), "0/0/2 FailureTarget,Failed");
    let conditions = world
        .job
        .status
        .as_ref()
        .unwrap()
        .conditions
        .as_ref()
        .unwrap();
    assert_eq!(
        conditions[1].reason.as_deref(),
        Some("BackoffLimitExceeded")
    );
}

#[test]
fn a_work_queue_ends_when_one_succeeds_and_the_rest_end() {
    let mut world = World::new(spec(None, 2));
    world.settle();
    world.end("p1", "Succeeded");
    assert_eq!(world.show(), "1/1/0");
    world.end("p2", "Succeeded");
    assert_eq!(world.show(), "0/2/0 SuccessCriteriaMet,Complete");
}

#[test]
fn indexes_are_each_completed_once() {
    let mut indexed = spec(Some(3), 2);
    indexed.completion_mode = Some("Indexed".into());
    let mut world = World::new(indexed);
    world.settle();
    let name =
        |world: &World, place: usize| world.pods[place].metadata.generate_name.clone().unwrap();
    assert_eq!(
        (name(&world, 0), name(&world, 1)),
        ("j-0-".into(), "j-1-".into())
    );
    world.end("p2", "Succeeded");
    assert_eq!(name(&world, 2), "j-2-");
    assert_eq!(
        world
            .job
            .status
            .as_ref()
            .unwrap()
            .completed_indexes
            .as_deref(),
        Some("1")
    );
    world.end("p1", "Failed");
    world.pass(11);
    assert_eq!(name(&world, 3), "j-0-");
    world.end("p3", "Succeeded");
    world.end("p4", "Succeeded");
    assert_eq!(world.show(), "0/3/1 SuccessCriteriaMet,Complete");
    assert_eq!(
        world
            .job
            .status
            .as_ref()
            .unwrap()
            .completed_indexes
            .as_deref(),
        Some("0-2")
    );
}

#[test]
fn suspension_removes_pods_without_counting_them() {
    let mut world = World::new(spec(Some(2), 2));
    world.settle();
    world.job.spec.as_mut().unwrap().suspend = Some(true);
    world.settle();
    assert_eq!(world.show(), "0/0/0 Suspended");
    assert!(world.pods.is_empty());
    world.job.spec.as_mut().unwrap().suspend = Some(false);
    world.settle();
    assert_eq!(world.show(), "2/0/0");
}

#[test]
fn the_deadline_ends_the_job() {
    let mut limited = spec(Some(1), 1);
    limited.active_deadline_seconds = Some(30);
    let mut world = World::new(limited);
    world.settle();
    world.pass(29);
    assert_eq!(world.show(), "1/0/0");
    world.pass(1);
    assert_eq!(world.show(), "0/0/1 FailureTarget,Failed");
}

#[test]
fn a_smaller_parallelism_removes_pods_without_counting_them() {
    let mut world = World::new(spec(Some(5), 3));
    world.settle();
    world.job.spec.as_mut().unwrap().parallelism = Some(1);
    world.settle();
    assert_eq!(world.show(), "1/0/0");
    assert_eq!(world.pods.len(), 1);
}
