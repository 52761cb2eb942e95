//! Proves the decisions of the ReplicaSet controller case by case.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetSpec, ReplicaSetStatus};
use k8s_openapi::api::core::v1::{Pod, PodCondition, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, Time};

use super::{Claims, Failure, Scale, claim, is_same, next_available, pod, scale, selector, status};
use crate::owners::controller_reference;

fn set(replicas: i32) -> ReplicaSet {
    let labels = [("app".to_owned(), "a".to_owned())];
    ReplicaSet {
        metadata: ObjectMeta {
            name: Some("rs".into()),
            uid: Some("rs-uid".into()),
            generation: Some(3),
            ..ObjectMeta::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(replicas),
            selector: LabelSelector {
                match_labels: Some(labels.clone().into()),
                ..LabelSelector::default()
            },
            ..ReplicaSetSpec::default()
        }),
        status: None,
    }
}

struct Make {
    name: &'static str,
    owner: Option<&'static str>,
    app: &'static str,
    phase: &'static str,
    node: &'static str,
    ready_for: Option<i64>,
    cost: Option<&'static str>,
    is_going: bool,
}

const RUNNING: Make = Make {
    name: "p",
    owner: Some("rs-uid"),
    app: "a",
    phase: "Running",
    node: "n1",
    ready_for: Some(100),
    cost: None,
    is_going: false,
};

fn now() -> Timestamp {
    Timestamp::from_second(1_000_000_000).unwrap()
}

fn make(make: Make) -> Arc<Pod> {
    let mut pod = Pod::default();
    let meta = &mut pod.metadata;
    meta.name = Some(make.name.into());
    meta.uid = Some(make.name.into());
    meta.labels = Some([("app".to_owned(), make.app.to_owned())].into());
    meta.annotations = make.cost.map(|cost| {
        [(
            "controller.kubernetes.io/pod-deletion-cost".to_owned(),
            cost.to_owned(),
        )]
        .into()
    });
    meta.owner_references = make.owner.map(|uid| {
        let owner = ObjectMeta {
            uid: Some(uid.into()),
            ..ObjectMeta::default()
        };
        vec![controller_reference("apps/v1", "ReplicaSet", &owner)]
    });
    meta.deletion_timestamp = make.is_going.then(|| Time(now()));
    pod.spec = Some(PodSpec {
        node_name: Some(make.node.into()),
        ..PodSpec::default()
    });
    let ready = make.ready_for.map(|seconds| PodCondition {
        type_: "Ready".into(),
        status: "True".into(),
        last_transition_time: Some(Time(now() - SignedDuration::from_secs(seconds))),
        ..PodCondition::default()
    });
    pod.status = Some(PodStatus {
        phase: Some(make.phase.into()),
        conditions: ready.map(|ready| vec![ready]),
        ..PodStatus::default()
    });
    Arc::new(pod)
}

fn names(pods: &[Arc<Pod>]) -> Vec<&str> {
    pods.iter()
        .map(|pod| pod.metadata.name.as_deref().unwrap())
        .collect()
}

#[test]
fn claims_its_own_and_orphans() {
    let candidates = vec![
        make(Make {
            name: "own",
            ..RUNNING
        }),
        make(Make {
            name: "orphan",
            owner: None,
            ..RUNNING
        }),
        make(Make {
            name: "other-label",
            app: "b",
            ..RUNNING
        }),
        make(Make {
            name: "orphan-other",
            app: "b",
            owner: None,
            ..RUNNING
        }),
        make(Make {
            name: "theirs",
            owner: Some("x"),
            ..RUNNING
        }),
        make(Make {
            name: "going",
            is_going: true,
            ..RUNNING
        }),
        make(Make {
            name: "failed",
            phase: "Failed",
            ..RUNNING
        }),
    ];
    let set = set(2);
    let claims = claim(&set, &selector(&set).unwrap(), candidates);
    assert_eq!(names(&claims.active), ["own", "orphan"]);
    assert_eq!(names(&claims.adopt), ["orphan"]);
    assert_eq!(names(&claims.release), ["other-label"]);
    assert_eq!(names(&claims.terminating), ["going"]);
}

#[test]
fn creates_what_is_missing_within_the_burst() {
    let one = [make(RUNNING)];
    assert!(matches!(scale(&set(3), &one, &[], now()), Scale::Create(2)));
    assert!(matches!(
        scale(&set(10_000), &one, &[], now()),
        Scale::Create(500)
    ));
    assert!(matches!(scale(&set(1), &one, &[], now()), Scale::Keep));
    assert!(matches!(scale(&set(-1), &[], &[], now()), Scale::Keep));
}

#[test]
fn deletes_in_upstreams_order() {
    let check = |kept: Make, first: Make| {
        let expected = first.name;
        let pods = [make(kept), make(first)];
        let Scale::Delete(chosen) = scale(&set(1), &pods, &pods, now()) else {
            panic!("one is too many")
        };
        assert_eq!(names(&chosen), [expected]);
    };
    check(
        RUNNING,
        Make {
            name: "unassigned",
            node: "",
            ..RUNNING
        },
    );
    check(
        RUNNING,
        Make {
            name: "pending",
            phase: "Pending",
            ..RUNNING
        },
    );
    check(
        RUNNING,
        Make {
            name: "unready",
            ready_for: None,
            ..RUNNING
        },
    );
    check(
        RUNNING,
        Make {
            name: "cheap",
            cost: Some("-5"),
            ..RUNNING
        },
    );
    check(
        RUNNING,
        Make {
            name: "younger",
            ready_for: Some(1),
            ..RUNNING
        },
    );
    // Within one power of two the age does not count.
    check(
        Make {
            name: "z",
            ready_for: Some(100),
            ..RUNNING
        },
        Make {
            name: "a",
            ready_for: Some(101),
            ..RUNNING
        },
    );
}

#[test]
fn deletes_from_crowded_nodes_first() {
    let pods = [
        make(Make {
            name: "alone",
            node: "n1",
            ..RUNNING
        }),
        make(Make {
            name: "b",
            node: "n2",
            ..RUNNING
        }),
        make(Make {
            name: "c",
            node: "n2",
            ..RUNNING
        }),
    ];
    let Scale::Delete(chosen) = scale(&set(1), &pods, &pods, now()) else {
        panic!("two are too many")
    };
    assert_eq!(names(&chosen), ["b", "c"]);
}

#[test]
fn status_counts_and_notes_failures() {
    let mut set = set(3);
    set.spec.as_mut().unwrap().min_ready_seconds = Some(50);
    let claims = Claims {
        active: vec![
            make(RUNNING),
            make(Make {
                name: "new",
                ready_for: Some(10),
                ..RUNNING
            }),
            make(Make {
                name: "unready",
                ready_for: None,
                ..RUNNING
            }),
        ],
        ..Claims::default()
    };
    let failure = Failure {
        reason: "FailedCreate",
        message: "quota".into(),
    };
    let new = status(&set, &claims, Some(&failure), now());
    assert_eq!(new.replicas, 3);
    assert_eq!(new.ready_replicas, Some(2));
    assert_eq!(new.available_replicas, Some(1));
    assert_eq!(new.observed_generation, Some(3));
    assert_eq!(
        new.conditions.as_ref().unwrap()[0].reason.as_deref(),
        Some("FailedCreate")
    );
    assert_eq!(next_available(&set, &claims, now()).unwrap().as_secs(), 40);
    set.status = Some(new.clone());
    assert!(is_same(&new, &status(&set, &claims, Some(&failure), now())));
    let mended = status(&set, &claims, None, now());
    assert_eq!(mended.conditions, None);
    assert!(!is_same(&new, &mended));
    assert!(is_same(
        &ReplicaSetStatus::default(),
        &ReplicaSetStatus {
            ready_replicas: Some(0),
            ..ReplicaSetStatus::default()
        }
    ));
}

#[test]
fn pods_carry_the_owner_and_a_generated_name() {
    let pod = pod(&set(1));
    assert_eq!(pod.metadata.generate_name.as_deref(), Some("rs-"));
    let owner = &pod.metadata.owner_references.unwrap()[0];
    assert_eq!(
        (owner.kind.as_str(), owner.uid.as_str()),
        ("ReplicaSet", "rs-uid")
    );
    assert_eq!(
        (owner.controller, owner.block_owner_deletion),
        (Some(true), Some(true))
    );
}
