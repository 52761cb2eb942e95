//! Rows as kubectl shows them, and the forms of durations.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cells;
use super::text::{duration, selector};

fn row(group: &str, resource: &str, mut object: Value) -> String {
    object["metadata"]["name"] = "x".into();
    object["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
    let now: Timestamp = "2026-01-01T00:05:30Z".parse().unwrap();
    let cells = cells(group, resource, &object, now);
    let text = |cell: &Value| {
        cell.as_str()
            .map_or_else(|| cell.to_string(), str::to_owned)
    };
    cells.iter().map(text).collect::<Vec<_>>().join(" | ")
}

fn pod(status: Value) -> String {
    let object = json!({"spec": {"containers": [{}, {}], "initContainers": [{"name": "i"}]}, "status": status});
    let row = row("", "pods", object);
    row.split(" | ").take(4).collect::<Vec<_>>().join(" | ")
}

#[test]
fn a_pod_is_told_in_one_word() {
    let check = |status: Value, expected: &str| assert_eq!(pod(status), expected);
    check(json!({"phase": "Pending"}), "x | 0/2 | Pending | 0");
    check(
        json!({"phase": "Running", "containerStatuses": [
            {"ready": true, "state": {"running": {}}},
            {"ready": true, "state": {"running": {}}, "restartCount": 2,
             "lastState": {"terminated": {"finishedAt": "2026-01-01T00:05:00Z"}}},
        ]}),
        "x | 2/2 | Running | 2 (30s ago)",
    );
    check(
        json!({"phase": "Running", "containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}),
        "x | 0/2 | CrashLoopBackOff | 0",
    );
    check(
        json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"running": {}}}]}),
        "x | 0/2 | Init:0/1 | 0",
    );
    check(
        json!({"phase": "Pending", "initContainerStatuses": [
            {"name": "i", "restartCount": 1, "state": {"terminated": {"exitCode": 3}}}]}),
        "x | 0/2 | Init:ExitCode:3 | 1",
    );
    check(
        json!({"phase": "Succeeded", "containerStatuses": [
            {"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}]}),
        "x | 0/2 | Completed | 0",
    );
}

#[test]
fn workloads_and_services() {
    let template = json!({"spec": {"containers": [{"name": "c", "image": "a:1"}]}});
    assert_eq!(
        row(
            "apps",
            "deployments",
            json!({
                "spec": {"replicas": 3, "template": template, "selector": {"matchLabels": {"app": "x"}}},
                "status": {"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 2},
            })
        ),
        "x | 2/3 | 3 | 2 | 5m30s | c | a:1 | app=x"
    );
    assert_eq!(
        row(
            "",
            "services",
            json!({"spec": {
                "type": "LoadBalancer", "clusterIPs": ["10.96.0.9"],
                "ports": [{"port": 80, "nodePort": 30001, "protocol": "TCP"}],
            }})
        ),
        "x | LoadBalancer | 10.96.0.9 | <pending> | 80:30001/TCP | 5m30s | <none>"
    );
    assert_eq!(
        row(
            "batch",
            "jobs",
            json!({
                "spec": {"completions": 2, "template": template},
                "status": {"succeeded": 1, "startTime": "2026-01-01T00:04:30Z"},
            })
        ),
        "x | Running | 1/2 | 60s | 5m30s | c | a:1 | <none>"
    );
    assert_eq!(
        row("", "limitranges", json!({})),
        "x | 2026-01-01T00:00:00Z"
    );
}

#[test]
fn durations_have_upstreams_forms() {
    let check = |seconds, expected: &str| assert_eq!(duration(seconds), expected);
    check(-5, "<invalid>");
    check(119, "119s");
    check(120, "2m");
    check(599, "9m59s");
    check(3600, "60m");
    check(3 * 3600, "3h");
    check(3 * 3600 + 60, "3h1m");
    check(47 * 3600, "47h");
    check(49 * 3600, "2d1h");
    check(8 * 86400, "8d");
    check(800 * 86400, "2y70d");
}

#[test]
fn a_selector_reads_as_kubectl_takes_it() {
    let value = json!({
        "matchLabels": {"b": "2"},
        "matchExpressions": [
            {"key": "a", "operator": "In", "values": ["y", "x"]},
            {"key": "c", "operator": "DoesNotExist"},
        ],
    });
    assert_eq!(selector(Some(&value)), "a in (x,y),b=2,!c");
    assert_eq!(selector(None), "<none>");
}
