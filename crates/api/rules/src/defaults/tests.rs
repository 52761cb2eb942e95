//! What the real kube-apiserver 1.36 makes of the smallest objects, and that twice is once.

use api_meta::Gvk;
use serde_json::{Value, json};

use super::apply;

fn check(group: &str, kind: &str, mut object: Value, expected: &Value) {
    let gvk = Gvk::new(group, "v1", kind);
    apply(&gvk, &mut object);
    assert_eq!(object, *expected);
    apply(&gvk, &mut object);
    assert_eq!(object, *expected, "applied twice");
}

#[test]
fn a_pod() {
    check(
        "",
        "Pod",
        json!({"spec": {"containers": [{
            "name": "c", "image": "keelson/tour", "ports": [{"containerPort": 80}],
            "resources": {"limits": {"cpu": "1"}}, "readinessProbe": {"httpGet": {"port": 80}},
        }]}}),
        &json!({"spec": {
            "containers": [{
                "name": "c", "image": "keelson/tour", "imagePullPolicy": "Always",
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}},
                "readinessProbe": {
                    "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "timeoutSeconds": 1,
                    "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
                },
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            }],
            "dnsPolicy": "ClusterFirst", "enableServiceLinks": true, "restartPolicy": "Always",
            "schedulerName": "default-scheduler", "securityContext": {}, "terminationGracePeriodSeconds": 30,
        }}),
    );
}

#[test]
fn a_deployment() {
    check(
        "apps",
        "Deployment",
        json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "a:1"}]}}}}),
        &json!({"spec": {
            "progressDeadlineSeconds": 600, "replicas": 1, "revisionHistoryLimit": 10,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": {"spec": {
                "containers": [{
                    "name": "c", "image": "a:1", "imagePullPolicy": "IfNotPresent", "resources": {},
                    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                }],
                "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
                "securityContext": {}, "terminationGracePeriodSeconds": 30,
            }},
        }}),
    );
}

#[test]
fn a_service() {
    check(
        "",
        "Service",
        json!({"spec": {"ports": [{"port": 80}], "type": "LoadBalancer"}}),
        &json!({"spec": {
            "allocateLoadBalancerNodePorts": true, "externalTrafficPolicy": "Cluster",
            "internalTrafficPolicy": "Cluster", "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
            "sessionAffinity": "None", "type": "LoadBalancer",
        }}),
    );
}

#[test]
fn a_job_that_says_nothing_runs_once_and_a_queue_of_work_is_left_open() {
    let rest = |spec: Value| {
        let mut all = json!({
            "backoffLimit": 6, "completionMode": "NonIndexed", "manualSelector": false, "parallelism": 1,
            "podReplacementPolicy": "TerminatingOrFailed", "suspend": false,
        });
        for (field, value) in spec.as_object().into_iter().flatten() {
            all[field] = value.clone();
        }
        json!({"spec": all})
    };
    check("batch", "Job", json!({}), &rest(json!({"completions": 1})));
    check(
        "batch",
        "Job",
        json!({"spec": {"parallelism": 3}}),
        &rest(json!({"parallelism": 3})),
    );
}

#[test]
fn a_value_that_is_set_is_never_touched_and_nonsense_is_left_alone() {
    let set = json!({"spec": {"replicas": 0, "template": 7, "strategy": {"type": "Recreate"}}});
    let mut object = set.clone();
    apply(&Gvk::new("apps", "v1", "Deployment"), &mut object);
    assert_eq!(object["spec"]["replicas"], 0);
    assert_eq!(object["spec"]["strategy"], set["spec"]["strategy"]);
    let mut nonsense = json!({"spec": []});
    apply(&Gvk::new("", "v1", "Pod"), &mut nonsense);
    assert_eq!(nonsense, json!({"spec": []}));
}
