//! Walks Deployments through rollouts, a table row at a time, against the decisions of upstream's controller.

use std::fmt::Write;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentCondition, DeploymentSpec, DeploymentStatus, DeploymentStrategy,
    ReplicaSet, ReplicaSetSpec, ReplicaSetStatus, RollingUpdateDeployment,
};
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Plan, Snapshot, not_created, plan};

fn now() -> Timestamp {
    Timestamp::from_second(1_000_000_000).unwrap()
}

fn template(image: &str) -> PodTemplateSpec {
    let container = Container {
        image: Some(image.into()),
        ..Container::default()
    };
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some([("app".to_owned(), "a".to_owned())].into()),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            containers: vec![container],
            ..PodSpec::default()
        }),
    }
}

fn deployment(replicas: i32, surge: i32, unavailable: i32, image: &str) -> Deployment {
    Deployment {
        metadata: ObjectMeta {
            name: Some("d".into()),
            namespace: Some("ns".into()),
            uid: Some("d-uid".into()),
            generation: Some(2),
            ..ObjectMeta::default()
        },
        spec: Some(DeploymentSpec {
            replicas: Some(replicas),
            selector: LabelSelector {
                match_labels: Some([("app".to_owned(), "a".to_owned())].into()),
                ..LabelSelector::default()
            },
            template: template(image),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(surge)),
                    max_unavailable: Some(IntOrString::Int(unavailable)),
                }),
            }),
            progress_deadline_seconds: Some(600),
            revision_history_limit: Some(10),
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

/// A set: image, wanted, available, revision. Later ones are younger; annotations are those of its Deployment's size.
fn set(
    image: &str,
    size: i32,
    available: i32,
    revision: i64,
    desired: i32,
    max: i32,
) -> ReplicaSet {
    let annotation = |key: &str, value: String| (format!("deployment.kubernetes.io/{key}"), value);
    ReplicaSet {
        metadata: ObjectMeta {
            name: Some(format!("d-{image}")),
            uid: Some(format!("{image}-uid")),
            generation: Some(1),
            creation_timestamp: Some(Time(now() - SignedDuration::from_secs(1000 - revision))),
            annotations: Some(
                [
                    annotation("revision", revision.to_string()),
                    annotation("desired-replicas", desired.to_string()),
                    annotation("max-replicas", max.to_string()),
                ]
                .into(),
            ),
            ..ObjectMeta::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(size),
            template: Some(template(image)),
            ..ReplicaSetSpec::default()
        }),
        status: Some(ReplicaSetStatus {
            replicas: size,
            ready_replicas: Some(available),
            available_replicas: Some(available),
            observed_generation: Some(1),
            terminating_replicas: Some(0),
            ..ReplicaSetStatus::default()
        }),
    }
}

fn run(deployment: &Deployment, sets: &[ReplicaSet]) -> Plan {
    run_with(deployment, sets, &[])
}

fn run_with(deployment: &Deployment, sets: &[ReplicaSet], running: &[&str]) -> Plan {
    plan(&Snapshot {
        deployment: Arc::new(deployment.clone()),
        sets: sets.iter().cloned().map(Arc::new).collect(),
        running: running.iter().map(|uid| (*uid).to_owned()).collect(),
        now: now(),
    })
}

/// The changes of a plan: `+` created, `-` deleted, `old>new` resized.
fn changes(plan: &Plan) -> String {
    let mut text = String::new();
    for set in &plan.sets {
        let name = set.new.metadata.name.as_deref().unwrap();
        match (set.old.is_none(), set.is_surplus, set.resized()) {
            (true, _, _) => write!(text, "+{} ", set.size()).unwrap(),
            (_, true, _) => write!(text, "-{name} ").unwrap(),
            (_, _, Some((old, new))) => write!(text, "{name}:{old}>{new} ").unwrap(),
            _ => {}
        }
    }
    text.trim_end().to_owned()
}

fn progressing(plan: &Plan) -> &DeploymentCondition {
    let conditions = plan.status.conditions.as_ref().unwrap();
    conditions
        .iter()
        .find(|condition| condition.type_ == "Progressing")
        .unwrap()
}

#[test]
fn the_first_set_is_made_whole() {
    let plan = run(&deployment(3, 1, 1, "a"), &[]);
    assert_eq!(changes(&plan), "+3");
    assert_eq!(plan.revision.as_deref(), Some("1"));
    let set = &plan.sets[0].new;
    let hash = &set.metadata.labels.as_ref().unwrap()["pod-template-hash"];
    assert_eq!(set.metadata.name.as_deref().unwrap(), format!("d-{hash}"));
    let spec = set.spec.as_ref().unwrap();
    assert_eq!(
        &spec.selector.match_labels.as_ref().unwrap()["pod-template-hash"],
        hash
    );
    assert_eq!(
        progressing(&plan).reason.as_deref(),
        Some("NewReplicaSetCreated")
    );
    assert_eq!(plan.again.unwrap().as_secs(), 601);
}

#[test]
fn a_rolling_update_stays_within_its_bounds() {
    let check =
        |surge: i32, unavailable: i32, old: (i32, i32), new: Option<(i32, i32)>, expected: &str| {
            let max = 10 + surge;
            let mut sets = vec![set("a", old.0, old.1, 1, 10, max)];
            sets.extend(new.map(|(size, available)| set("b", size, available, 2, 10, max)));
            assert_eq!(
                changes(&run(&deployment(10, surge, unavailable, "b"), &sets)),
                expected
            );
        };
    check(3, 2, (10, 10), None, "d-a:10>8 +3");
    check(0, 2, (10, 10), None, "d-a:10>8 +0");
    check(3, 0, (10, 10), None, "+3");
    check(0, 2, (10, 10), Some((0, 0)), "d-a:10>8");
    check(3, 2, (10, 10), Some((3, 0)), "d-a:10>8");
    check(3, 2, (8, 8), Some((3, 0)), "d-b:3>5");
    check(3, 2, (8, 8), Some((5, 0)), "");
    check(3, 2, (8, 8), Some((5, 3)), "d-a:8>5");
    check(3, 2, (8, 3), Some((5, 5)), "d-a:8>3");
    check(3, 0, (10, 10), Some((3, 0)), "");
    check(3, 0, (10, 10), Some((3, 1)), "d-a:10>9");
    check(3, 2, (0, 0), Some((10, 10)), "");
}

#[test]
fn unhealthy_old_pods_go_first() {
    // Eleven wanted in all, two of the new ones not yet there: the four that never came up cost nothing.
    let sets = [set("a", 8, 4, 1, 10, 13), set("b", 5, 5, 2, 10, 13)];
    assert_eq!(changes(&run(&deployment(10, 3, 2, "b"), &sets)), "d-a:8>3");
}

#[test]
fn recreate_waits_for_the_last_old_pod() {
    let mut deployment = deployment(3, 0, 0, "b");
    deployment.spec.as_mut().unwrap().strategy = Some(DeploymentStrategy {
        type_: Some("Recreate".into()),
        rolling_update: None,
    });
    let old = |size: i32| set("a", size, size, 1, 3, 3);
    assert_eq!(changes(&run(&deployment, &[old(3)])), "d-a:3>0");
    assert_eq!(changes(&run_with(&deployment, &[old(0)], &["a-uid"])), "");
    assert_eq!(changes(&run(&deployment, &[old(0)])), "+3");
}

#[test]
fn scaling_in_the_middle_keeps_proportions() {
    let sets = [set("a", 8, 8, 1, 10, 13), set("b", 5, 3, 2, 10, 13)];
    let grown = run(&deployment(20, 3, 2, "b"), &sets);
    assert_eq!(changes(&grown), "d-a:8>14 d-b:5>9");
    let annotations = grown.sets[0].new.metadata.annotations.as_ref().unwrap();
    assert_eq!(
        annotations["deployment.kubernetes.io/desired-replicas"],
        "20"
    );
    assert_eq!(annotations["deployment.kubernetes.io/max-replicas"], "23");
    assert_eq!(
        changes(&run(&deployment(0, 3, 2, "b"), &sets)),
        "d-a:8>0 d-b:5>0"
    );
    let one = [set("b", 10, 10, 1, 10, 13)];
    assert_eq!(changes(&run(&deployment(4, 3, 2, "b"), &one)), "d-b:10>4");
}

#[test]
fn a_paused_deployment_scales_and_does_not_roll() {
    let mut paused = deployment(5, 1, 1, "b");
    paused.spec.as_mut().unwrap().paused = Some(true);
    let plan = run(&paused, &[set("a", 3, 3, 1, 3, 4)]);
    assert_eq!(changes(&plan), "d-a:3>5");
    assert_eq!(
        progressing(&plan).reason.as_deref(),
        Some("DeploymentPaused")
    );
    paused.spec.as_mut().unwrap().paused = Some(false);
    paused.status = Some(plan.status);
    let resumed = run(&paused, &[set("a", 5, 5, 1, 5, 6)]);
    assert_eq!(changes(&resumed), "d-a:5>4 +1");
}

#[test]
fn undo_makes_the_old_set_the_newest_again() {
    let sets = [set("a", 0, 0, 1, 3, 4), set("b", 3, 3, 2, 3, 4)];
    let plan = run(&deployment(3, 1, 1, "a"), &sets);
    assert_eq!(changes(&plan), "d-a:0>1");
    assert_eq!(plan.revision.as_deref(), Some("3"));
    let annotations = plan.sets[0].new.metadata.annotations.as_ref().unwrap();
    assert_eq!(annotations["deployment.kubernetes.io/revision"], "3");
    assert_eq!(
        annotations["deployment.kubernetes.io/revision-history"],
        "1"
    );
}

#[test]
fn history_beyond_the_limit_is_deleted_when_all_is_done() {
    let mut done = deployment(3, 1, 1, "d");
    done.spec.as_mut().unwrap().revision_history_limit = Some(1);
    done.status = Some(DeploymentStatus {
        replicas: Some(3),
        updated_replicas: Some(3),
        available_replicas: Some(3),
        observed_generation: Some(2),
        ..DeploymentStatus::default()
    });
    let sets = [
        set("b", 0, 0, 5, 3, 4),
        set("a", 0, 0, 6, 3, 4),
        set("c", 0, 0, 7, 3, 4),
        set("d", 3, 3, 8, 3, 4),
    ];
    assert_eq!(changes(&run(&done, &sets)), "-d-b -d-a");
    done.status = None;
    assert_eq!(changes(&run(&done, &sets)), "");
}

#[test]
fn progress_completes_and_times_out() {
    let mut rolling = deployment(3, 1, 1, "b");
    let sets = [set("b", 3, 3, 1, 3, 4)];
    let plan = run(&rolling, &sets);
    assert_eq!(
        progressing(&plan).reason.as_deref(),
        Some("NewReplicaSetAvailable")
    );
    assert_eq!(plan.again, None);
    assert_eq!(plan.status.unavailable_replicas, None);
    rolling.status = Some(plan.status.clone());
    let again = run(&rolling, &sets);
    assert_eq!(again.status, plan.status, "a second look changes nothing");
    let stuck = DeploymentCondition {
        type_: "Progressing".into(),
        status: "True".into(),
        reason: Some("ReplicaSetUpdated".into()),
        last_update_time: Some(Time(now() - SignedDuration::from_secs(700))),
        ..DeploymentCondition::default()
    };
    rolling.status = Some(DeploymentStatus {
        replicas: Some(3),
        updated_replicas: Some(3),
        ready_replicas: Some(1),
        available_replicas: Some(1),
        conditions: Some(vec![stuck]),
        ..DeploymentStatus::default()
    });
    let plan = run(&rolling, &[set("b", 3, 1, 1, 3, 4)]);
    assert_eq!(
        progressing(&plan).reason.as_deref(),
        Some("ProgressDeadlineExceeded")
    );
    assert_eq!(
        progressing(&plan).message.as_deref(),
        Some("ReplicaSet \"d-b\" has timed out progressing.")
    );
}

#[test]
fn a_deployment_on_its_way_out_only_reports() {
    let mut going = deployment(3, 1, 1, "b");
    going.metadata.deletion_timestamp = Some(Time(now()));
    let plan = run(&going, &[set("a", 3, 3, 1, 3, 4)]);
    assert_eq!(changes(&plan), "");
    assert_eq!(plan.status.replicas, Some(3));
}

#[test]
fn a_rollout_that_is_over_is_not_looked_at_again_for_its_deadline() {
    let mut over = deployment(3, 1, 1, "b");
    let done = DeploymentCondition {
        type_: "Progressing".into(),
        status: "True".into(),
        reason: Some("NewReplicaSetAvailable".into()),
        last_update_time: Some(Time(now() - SignedDuration::from_secs(700))),
        ..DeploymentCondition::default()
    };
    over.status = Some(DeploymentStatus {
        replicas: Some(3),
        updated_replicas: Some(3),
        ready_replicas: Some(3),
        available_replicas: Some(3),
        conditions: Some(vec![done]),
        ..DeploymentStatus::default()
    });
    // A pod has become unavailable since.
    let plan = run(&over, &[set("b", 3, 2, 1, 3, 4)]);
    assert_eq!(
        progressing(&plan).reason.as_deref(),
        Some("NewReplicaSetAvailable")
    );
    assert_eq!(plan.again, None);
}

#[test]
fn a_set_that_cannot_be_made_is_no_progress() {
    let mut failed = deployment(3, 1, 1, "b");
    let text = "Failed to create new replica set \"d-b\": no quota";
    let status = not_created(&failed, text.to_owned(), now()).unwrap();
    let condition = &status.conditions.as_ref().unwrap()[0];
    let reason = condition.reason.as_deref();
    assert_eq!(
        (condition.type_.as_str(), condition.status.as_str(), reason),
        ("Progressing", "False", Some("ReplicaSetCreateError"))
    );
    assert_eq!(condition.message.as_deref(), Some(text));
    failed.status = Some(status);
    assert_eq!(not_created(&failed, text.to_owned(), now()), None);
    // Once it is made, that is progress again.
    assert_eq!(
        progressing(&run(&failed, &[])).reason.as_deref(),
        Some("NewReplicaSetCreated")
    );
    failed.status = None;
    failed.spec.as_mut().unwrap().progress_deadline_seconds = Some(i32::MAX);
    assert_eq!(not_created(&failed, text.to_owned(), now()), None);
}
