//! When an object goes, when it waits, and how long.

use api_meta::Kinds;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Plan, plan};
use crate::registry::options::{DeleteOptions, Propagation};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn text(seconds: i64) -> String {
    api_meta::time::format(at(seconds))
}

fn decide_at(resource: &str, old: &Value, options: &DeleteOptions, seconds: i64) -> Plan {
    let group = if resource == "jobs" { "batch" } else { "" };
    let kind = Kinds::builtin().by_resource(group, "v1", resource).unwrap();
    plan(kind, old, options, at(seconds))
}

fn decide(resource: &str, old: &Value, options: &DeleteOptions) -> Plan {
    decide_at(resource, old, options, 0)
}

fn marked(plan: Plan) -> Value {
    match plan {
        Plan::Mark(value) => value,
        other => panic!("{other:?}"),
    }
}

fn within(seconds: i64) -> DeleteOptions {
    DeleteOptions {
        grace_seconds: Some(seconds),
        ..DeleteOptions::default()
    }
}

fn with(propagation: Propagation) -> DeleteOptions {
    DeleteOptions {
        propagation: Some(propagation),
        ..DeleteOptions::default()
    }
}

fn bound() -> Value {
    json!({"metadata": {"name": "a", "generation": 3}, "spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30}, "status": {"phase": "Running"}})
}

#[test]
fn most_objects_go_at_once() {
    let object = json!({"metadata": {"name": "a"}});
    assert_eq!(
        decide("configmaps", &object, &DeleteOptions::default()),
        Plan::Remove
    );
    let foreground = with(Propagation::Foreground);
    let new = marked(decide("configmaps", &object, &foreground));
    assert_eq!(new["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    assert_eq!(new["metadata"]["deletionTimestamp"], text(0));
    assert_eq!(decide_at("configmaps", &new, &foreground, 9), Plan::Nothing);
}

#[test]
fn jobs_leave_their_pods_unless_told() {
    let object = json!({"metadata": {"name": "a"}});
    let new = marked(decide("jobs", &object, &DeleteOptions::default()));
    assert_eq!(new["metadata"]["finalizers"], json!(["orphan"]));
    assert_eq!(
        decide("jobs", &object, &with(Propagation::Background)),
        Plan::Remove
    );
}

#[test]
fn bound_pods_get_their_time() {
    let new = marked(decide("pods", &bound(), &DeleteOptions::default()));
    assert_eq!(new["metadata"]["deletionGracePeriodSeconds"], 30);
    assert_eq!(new["metadata"]["deletionTimestamp"], text(30));
    assert_eq!(new["metadata"]["generation"], 4);
    assert_eq!(decide("pods", &bound(), &within(0)), Plan::Remove);
    let unbound = json!({"metadata": {"name": "a"}, "spec": {"terminationGracePeriodSeconds": 7}});
    assert_eq!(
        decide("pods", &unbound, &DeleteOptions::default()),
        Plan::Remove
    );
    let mut hurried = bound();
    hurried["spec"]["terminationGracePeriodSeconds"] = (-5).into();
    let new = marked(decide("pods", &hurried, &DeleteOptions::default()));
    assert_eq!(new["metadata"]["deletionGracePeriodSeconds"], 1);
}

#[test]
fn time_that_runs_is_only_ever_shortened() {
    let new = marked(decide("pods", &bound(), &within(60)));
    // What the pod itself says is shorter, but nobody asked for less.
    assert_eq!(
        decide_at("pods", &new, &DeleteOptions::default(), 5),
        Plan::Nothing
    );
    assert_eq!(decide_at("pods", &new, &within(60), 5), Plan::Nothing);
    assert_eq!(decide_at("pods", &new, &within(99), 5), Plan::Nothing);
    assert_eq!(
        decide_at("pods", &new, &with(Propagation::Orphan), 5),
        Plan::Nothing,
        "too late to decide on dependents"
    );
    let shorter = marked(decide_at("pods", &new, &within(20), 5));
    assert_eq!(shorter["metadata"]["deletionGracePeriodSeconds"], 20);
    assert_eq!(
        shorter["metadata"]["deletionTimestamp"],
        text(20),
        "from the first request"
    );
    assert_eq!(shorter["metadata"]["generation"], 4);
    let late = marked(decide_at("pods", &new, &within(20), 40));
    assert_eq!(late["metadata"]["deletionGracePeriodSeconds"], 1);
    assert_eq!(late["metadata"]["deletionTimestamp"], text(40));
    assert_eq!(decide_at("pods", &new, &within(0), 5), Plan::Remove);
}

#[test]
fn finalizers_hold_a_pod_whose_time_is_over() {
    let mut held = bound();
    held["metadata"]["finalizers"] = json!(["example.com/x"]);
    let new = marked(decide("pods", &held, &within(0)));
    assert_eq!(new["metadata"]["deletionGracePeriodSeconds"], 0);
    assert_eq!(decide_at("pods", &new, &within(0), 5), Plan::Nothing);
    assert_eq!(
        decide_at("pods", &new, &DeleteOptions::default(), 5),
        Plan::Nothing
    );
}

#[test]
fn a_namespace_waits_for_its_contents() {
    let object = json!({"metadata": {"name": "a"}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}});
    let new = marked(decide("namespaces", &object, &DeleteOptions::default()));
    assert_eq!(new["status"]["phase"], "Terminating");
    assert_eq!(
        decide_at("namespaces", &new, &DeleteOptions::default(), 5),
        Plan::Nothing
    );
    let empty = json!({"metadata": {"name": "a", "deletionTimestamp": "t"}, "spec": {}});
    assert_eq!(
        decide("namespaces", &empty, &DeleteOptions::default()),
        Plan::Remove
    );
}
