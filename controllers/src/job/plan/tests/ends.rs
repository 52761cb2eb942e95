//! How Jobs end where something is in the way: pods that never end, pods that are not seen yet, pods that are not needed.

use jiff::SignedDuration;
use k8s_openapi::api::batch::v1::JobSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{World, spec};

/// A job that replaces only pods that have failed, so that one on its way out counts when it has ended.
fn patient(completions: Option<i32>, parallelism: i32) -> JobSpec {
    JobSpec {
        pod_replacement_policy: Some("Failed".into()),
        ..spec(completions, parallelism)
    }
}

fn indexed(completions: i32) -> JobSpec {
    JobSpec {
        completion_mode: Some("Indexed".into()),
        ..spec(Some(completions), completions)
    }
}

fn resize(world: &mut World, completions: i32) {
    let spec = world.job.spec.as_mut().unwrap();
    (spec.completions, spec.parallelism) = (Some(completions), Some(completions));
    world.settle();
}

fn completed(world: &World) -> &str {
    let status = world.job.status.as_ref().unwrap();
    status.completed_indexes.as_deref().unwrap_or_default()
}

#[test]
fn a_failed_job_does_not_wait_for_pods_that_never_end() {
    let mut limited = patient(Some(1), 1);
    limited.active_deadline_seconds = Some(30);
    let mut world = World::new(limited);
    world.settle();
    world.pass(30);
    assert_eq!(world.show(), "0/0/1 FailureTarget,Failed");
    assert!(world.pods.is_empty());
}

#[test]
fn a_successful_job_does_not_wait_for_pods_that_never_end() {
    let mut world = World::new(patient(None, 2));
    world.settle();
    world.pod("p1").metadata.deletion_timestamp = Some(Time(world.now));
    world.settle();
    assert_eq!(world.show(), "1/0/0", "nothing takes its place yet");
    world.end("p2", "Succeeded");
    assert_eq!(world.show(), "0/1/0 SuccessCriteriaMet,Complete");
    assert_eq!(world.pods.len(), 1);
}

#[test]
fn a_job_on_its_way_out_lets_its_pods_go() {
    let mut world = World::new(patient(Some(2), 2));
    world.settle();
    world.job.metadata.deletion_timestamp = Some(Time(world.now));
    world.settle();
    assert_eq!(world.pods.len(), 2, "deleting them is the collector's work");
    let is_held = world
        .pods
        .iter()
        .any(|pod| pod.metadata.finalizers.is_some());
    assert!(!is_held);
}

#[test]
fn a_job_does_not_end_while_its_own_pods_are_not_seen() {
    let mut world = World::new(spec(Some(1), 1));
    world.settle();
    world.may_act = false;
    world.end("p1", "Succeeded");
    assert_eq!(world.show(), "0/1/0 SuccessCriteriaMet");
    world.may_act = true;
    world.settle();
    assert_eq!(world.show(), "0/1/0 SuccessCriteriaMet,Complete");
}

#[test]
fn what_an_end_deletes_is_not_expected_in_place_of_creations() {
    let mut limited = spec(Some(2), 2);
    limited.active_deadline_seconds = Some(30);
    let mut world = World::new(limited);
    assert!(world.plan().is_expected);
    world.settle();
    world.may_act = false;
    world.now += SignedDuration::from_secs(30);
    let end = world.plan();
    assert_eq!(end.delete.len(), 2);
    assert!(!end.is_expected);
    world.settle();
    assert_eq!(world.show(), "0/0/2 FailureTarget");
}

#[test]
fn a_pod_that_is_seen_after_the_end_is_deleted() {
    let mut world = World::new(spec(Some(1), 1));
    world.settle();
    let late = world.pod("p1").clone();
    world.end("p1", "Succeeded");
    world.pods = vec![late];
    world.settle();
    assert!(world.pods.is_empty());
    assert_eq!(world.show(), "0/1/0 SuccessCriteriaMet,Complete");
}

#[test]
fn pods_that_a_smaller_job_does_not_need_are_no_failures() {
    let mut world = World::new(indexed(3));
    world.settle();
    world.end("p1", "Succeeded");
    world.end("p2", "Succeeded");
    assert_eq!(world.show(), "1/2/0");
    resize(&mut world, 2);
    assert_eq!(world.show(), "0/2/0 SuccessCriteriaMet,Complete");
}

#[test]
fn indexes_beyond_a_smaller_job_count_no_more() {
    let mut world = World::new(indexed(3));
    world.settle();
    world.end("p1", "Succeeded");
    world.end("p3", "Succeeded");
    assert_eq!(completed(&world), "0,2");
    resize(&mut world, 2);
    assert_eq!((world.show().as_str(), completed(&world)), ("1/1/0", "0"));
}

#[test]
fn a_pod_that_the_controller_removed_is_no_reason_to_wait() {
    let mut world = World::new(spec(Some(5), 2));
    world.settle();
    world.pod("p2").metadata.finalizers = None;
    world.pod("p2").metadata.deletion_timestamp = Some(Time(world.now));
    let plan = world.plan();
    assert_eq!((plan.create.len(), plan.again), (1, None));
    // One that somebody else removed has failed.
    let mut world = World::new(spec(Some(5), 2));
    world.settle();
    world.pod("p2").metadata.deletion_timestamp = Some(Time(world.now));
    let plan = world.plan();
    assert!(plan.create.is_empty() && plan.again.is_some());
}
