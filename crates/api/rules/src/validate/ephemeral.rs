//! Ephemeral containers: what one may hold, and that they may only be added to a pod.

use std::collections::BTreeSet;

use api_meta::cause::quoted;
use api_meta::{Cause, object};
use serde_json::{Value, json};

use super::tools::{is_empty, list, text};
use super::{container, pod};

const FIELD: &str = "ephemeralContainers";
const NOT_ALLOWED: &str = "cannot be set for an Ephemeral Container";
/// What makes a container part of the workload, in the order of upstream's type.
const OF_WORKLOADS: [&str; 9] = [
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];

/// Every ephemeral container of a pod spec. `volumes` are the names of its volumes.
pub(super) fn all(faults: &mut Vec<Cause>, path: &str, spec: &Value, volumes: &BTreeSet<String>) {
    let others: BTreeSet<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|field| list(spec, field))
        .map(|container| text(container, "name"))
        .collect();
    let mut names = others.clone();
    for (i, container) in list(spec, FIELD).iter().enumerate() {
        let path = format!("{path}.{FIELD}[{i}]");
        container::common(faults, &path, container, volumes);
        let name = text(container, "name");
        if !names.insert(name) {
            faults.push(Cause::duplicate(format!("{path}.name"), name));
        }
        let target = text(container, "targetContainerName");
        if !target.is_empty() && !others.contains(target) {
            let path = format!("{path}.targetContainerName");
            faults.push(Cause::not_found(path, target));
        }
        for field in OF_WORKLOADS {
            if !is_empty(container.get(field)) {
                faults.push(Cause::forbidden(format!("{path}.{field}"), NOT_ALLOWED));
            }
        }
        for (j, mount) in list(container, "volumeMounts").iter().enumerate() {
            for field in ["subPath", "subPathExpr"] {
                if !text(mount, field).is_empty() {
                    let path = format!("{path}.volumeMounts[{j}].{field}");
                    faults.push(Cause::forbidden(path, NOT_ALLOWED));
                }
            }
        }
    }
}

/// A pod whose ephemeral containers changed: those that were there stay as they are.
pub(super) fn change(new: &Value, old: &Value, faults: &mut Vec<Cause>) {
    let nothing = json!({});
    let (now, before) = (
        new.get("spec").unwrap_or(&nothing),
        old.get("spec").unwrap_or(&nothing),
    );
    pod::spec(faults, "spec", now);
    if object::annotation(old, pod::MIRROR).is_some() {
        // Upstream tells this alone.
        faults.clear();
        let why = "static pods do not support ephemeral containers";
        faults.push(Cause::forbidden("", why));
        return;
    }
    for container in list(before, FIELD) {
        let name = text(container, "name");
        let kept = list(now, FIELD).iter().find(|c| text(c, "name") == name);
        let why = match kept {
            Some(kept) if kept == container => continue,
            Some(_) => "may not be changed",
            None => "may not be removed",
        };
        let why = format!("existing ephemeral containers {} {why}\n", quoted(name));
        faults.push(Cause::forbidden(format!("spec.{FIELD}"), &why));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::validate::{create, subresource, update};

    fn pod(ephemeral: Value) -> Value {
        let mut pod = json!({"metadata": {"name": "p"}, "spec": {
            "containers": [{"name": "c", "image": "x"}], "ephemeralContainers": ephemeral}});
        let gvk = gvk();
        api_machinery::schema::canonicalise(&gvk, &mut pod);
        crate::defaults::apply(&gvk, &mut pod);
        api_machinery::schema::canonicalise(&gvk, &mut pod);
        pod
    }

    fn gvk() -> api_meta::Gvk {
        api_meta::Gvk::from_api_version("v1", "Pod")
    }

    fn added(new: Value, old: Value) -> Vec<String> {
        let faults = subresource(&gvk(), "ephemeralcontainers", &pod(new), &pod(old));
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn they_are_added_and_then_stay() {
        let (a, b) = (
            json!({"name": "a", "image": "x"}),
            json!({"name": "b", "image": "x"}),
        );
        assert_eq!(added(json!([a]), json!([])), [""; 0]);
        assert_eq!(added(json!([b, a]), json!([a])), [""; 0]);
        assert_eq!(
            added(json!([b]), json!([a])),
            [
                "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"a\" may not be removed\n"
            ]
        );
        let other = json!({"name": "a", "image": "y"});
        assert_eq!(
            added(json!([other]), json!([a])),
            [
                "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"a\" may not be changed\n"
            ]
        );
        let gvk = gvk();
        assert!(!create(&gvk, &pod(json!([a]))).is_empty());
        assert!(!update(&gvk, &pod(json!([a])), &pod(json!([]))).is_empty());
    }

    #[test]
    fn they_are_no_part_of_the_workload() {
        let faults = added(
            json!([{"name": "c", "image": "x", "targetContainerName": "none",
                "ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": "1"}},
                "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "s"}]}]),
            json!([]),
        );
        let path = "spec.ephemeralContainers[0]";
        let why = "cannot be set for an Ephemeral Container";
        assert_eq!(
            faults,
            [
                format!("{path}.volumeMounts[0].name: Not found: \"v\""),
                format!("{path}.name: Duplicate value: \"c\""),
                format!("{path}.targetContainerName: Not found: \"none\""),
                format!("{path}.ports: Forbidden: {why}"),
                format!("{path}.resources: Forbidden: {why}"),
                format!("{path}.volumeMounts[0].subPath: Forbidden: {why}"),
            ]
        );
    }

    #[test]
    fn a_mirror_pod_takes_none() {
        let mut old = pod(json!([]));
        old["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
        let new = pod(json!([{"name": "a", "image": ""}]));
        let faults = subresource(&gvk(), "ephemeralcontainers", &new, &old);
        assert_eq!(
            faults.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [": Forbidden: static pods do not support ephemeral containers"]
        );
    }
}
