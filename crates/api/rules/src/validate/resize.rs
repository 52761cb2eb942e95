//! `pods/resize`: the CPU and memory of a running pod change, and nothing else of it.

use api_meta::{Cause, object};
use serde_json::{Map, Value, json};

use super::pod;
use super::tools::{get, list, text};
use crate::qos;

const SHARED: [&str; 2] = ["cpu", "memory"];
const PARTS: [&str; 2] = ["requests", "limits"];
const ONLY_SHARED: &str = "only cpu and memory resources are mutable";

/// A pod whose resources changed.
pub(super) fn change(new: &Value, old: &Value, faults: &mut Vec<Cause>) {
    let nothing = json!({});
    let (now, before) = (
        new.get("spec").unwrap_or(&nothing),
        old.get("spec").unwrap_or(&nothing),
    );
    pod::spec(faults, "spec", now);
    if let Some(why) = never(old) {
        // Upstream tells this alone.
        faults.clear();
        faults.push(Cause::forbidden("", why));
        return;
    }
    let class = old.pointer("/status/qosClass").and_then(Value::as_str);
    if class.unwrap_or_else(|| qos::class(old)) != qos::class(new) {
        let shown = new.pointer("/status/qosClass").and_then(Value::as_str);
        let why = "Pod QOS Class may not change as a result of resizing";
        faults.push(Cause::invalid("spec", shown.unwrap_or_default(), why));
    }
    if !is_supported(old) {
        let why = "Pod running on node without support for resize";
        faults.push(Cause::forbidden("spec", why));
    }
    of_pod(faults, get(now, "resources"), get(before, "resources"));
    if is_reordered(faults, now, before) {
        return;
    }
    for field in ["initContainers", "containers"] {
        for (i, (new, old)) in list(now, field).iter().zip(list(before, field)).enumerate() {
            let path = format!("spec.{field}[{i}].resources");
            let words = [
                "resource requests cannot be removed",
                "resource limits cannot be removed",
            ];
            removed(
                faults,
                &path,
                new.get("resources"),
                old.get("resources"),
                words,
            );
        }
    }
    containers(faults, now, before);
    if faults.is_empty() && rest(now) != rest(before) {
        faults.push(Cause::forbidden("spec", ONLY_SHARED));
    }
}

/// Why the pod can never be resized.
fn never(pod: &Value) -> Option<&'static str> {
    if object::annotation(pod, pod::MIRROR).is_some() {
        return Some("static pods cannot be resized");
    }
    let is_windows = object::str_at(pod, &["spec", "os", "name"]) == Some("windows");
    is_windows.then_some("windows pods cannot be resized")
}

/// A node that can resize tells the resources of what runs. Where nothing runs, nobody knows.
fn is_supported(pod: &Value) -> bool {
    let statuses = object::list_at(pod, &["status", "containerStatuses"]);
    let running = statuses
        .iter()
        .find(|status| object::at(status, &["state", "running"]).is_some());
    running.is_none_or(|status| object::at(status, &["resources"]).is_some())
}

fn of_pod(faults: &mut Vec<Cause>, new: Option<&Value>, old: Option<&Value>) {
    if new.is_none() && old.is_some() {
        let why = "pod-level resources cannot be removed";
        faults.push(Cause::forbidden("spec.resources", why));
        return;
    }
    let words = [
        "pod-level resource requests cannot be removed",
        "pod-level resource limits cannot be removed",
    ];
    removed(faults, "spec.resources", new, old, words);
    if !is_same_but_shared(new, old) {
        let why = "only cpu and memory resources are mutable at pod-level";
        faults.push(Cause::forbidden("spec", why));
    }
}

/// What was asked for or limited must go on to be.
fn removed(
    faults: &mut Vec<Cause>,
    path: &str,
    new: Option<&Value>,
    old: Option<&Value>,
    words: [&str; 2],
) {
    for (part, why) in PARTS.into_iter().zip(words) {
        let now = amounts(new, part);
        if amounts(old, part)
            .keys()
            .any(|name| !now.contains_key(name))
        {
            faults.push(Cause::forbidden(format!("{path}.{part}"), why));
        }
    }
}

fn is_reordered(faults: &mut Vec<Cause>, now: &Value, before: &Value) -> bool {
    let told = faults.len();
    for field in ["containers", "initContainers"] {
        let (new, old) = (list(now, field), list(before, field));
        if new.len() != old.len() {
            let why = format!("{field} may not be added or removed on resize");
            faults.push(Cause::forbidden(format!("spec.{field}"), &why));
            continue;
        }
        for (i, (new, old)) in new.iter().zip(old).enumerate() {
            if text(new, "name") != text(old, "name") {
                let why = format!("{field} may not be renamed or reordered on resize");
                let path = format!("spec.{field}[{i}].name");
                faults.push(Cause::forbidden(path, &why));
            }
        }
    }
    faults.len() > told
}

fn containers(faults: &mut Vec<Cause>, now: &Value, before: &Value) {
    for (new, old) in list(now, "containers")
        .iter()
        .zip(list(before, "containers"))
    {
        if !is_resized_only(new, old) {
            faults.push(Cause::forbidden("spec", ONLY_SHARED));
        }
    }
    let pairs = list(now, "initContainers")
        .iter()
        .zip(list(before, "initContainers"));
    for (i, (new, old)) in pairs.enumerate() {
        let path = format!("spec.initContainers[{i}]");
        if !is_resized_only(new, old) {
            let why = "only cpu and memory resources for init or sidecar containers are mutable";
            faults.push(Cause::forbidden(path.as_str(), why));
        }
        let is_sidecar = text(new, "restartPolicy") == "Always";
        let restarts = list(new, "resizePolicy")
            .iter()
            .any(|policy| text(policy, "restartPolicy") == "RestartContainer");
        if new != old && !is_sidecar && restarts {
            let why = "non-sidecar init containers with a resize policy of RestartContainer cannot be resized";
            faults.push(Cause::forbidden(path, why));
        }
    }
}

/// Whether two containers differ in their CPU and memory at most.
fn is_resized_only(new: &Value, old: &Value) -> bool {
    let without = |container: &Value| {
        let mut map = container.as_object().cloned().unwrap_or_default();
        map.remove("resources");
        map
    };
    without(new) == without(old) && is_same_but_shared(new.get("resources"), old.get("resources"))
}

fn is_same_but_shared(new: Option<&Value>, old: Option<&Value>) -> bool {
    let others = |resources: Option<&Value>, part: &str| {
        let mut map = amounts(resources, part);
        for name in SHARED {
            map.remove(name);
        }
        map
    };
    let claims = |resources: Option<&Value>| resources.map(|r| list(r, "claims").to_vec());
    claims(new).unwrap_or_default() == claims(old).unwrap_or_default()
        && PARTS
            .iter()
            .all(|part| others(new, part) == others(old, part))
}

/// What is asked for or limited. A merge patch may leave a null where it took an amount away.
fn amounts(resources: Option<&Value>, part: &str) -> Map<String, Value> {
    let map = resources.and_then(|resources| resources.get(part)?.as_object().cloned());
    let mut map = map.unwrap_or_default();
    map.retain(|_, amount| !amount.is_null());
    map
}

/// The spec without what was compared already.
fn rest(spec: &Value) -> Map<String, Value> {
    let mut map = spec.as_object().cloned().unwrap_or_default();
    for field in ["containers", "initContainers", "resources"] {
        map.remove(field);
    }
    map
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::validate::subresource;

    fn pod(resources: &Value) -> Value {
        let gvk = api_meta::Gvk::from_api_version("v1", "Pod");
        let mut pod = json!({"metadata": {"name": "p"}, "status": {"qosClass": "Burstable"}, "spec": {
            "containers": [{"name": "c", "image": "x", "resources": resources}],
            "ephemeralContainers": [{"name": "e", "image": "x"}]}});
        api_machinery::schema::canonicalise(&gvk, &mut pod);
        crate::defaults::apply(&gvk, &mut pod);
        api_machinery::schema::canonicalise(&gvk, &mut pod);
        pod
    }

    fn faults(new: &Value, old: &Value) -> Vec<String> {
        let gvk = api_meta::Gvk::from_api_version("v1", "Pod");
        let faults = subresource(&gvk, "resize", new, old);
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn cpu_and_memory_change_and_nothing_else() {
        let old = pod(&json!({"requests": {"cpu": "1"}}));
        assert_eq!(
            faults(&pod(&json!({"requests": {"cpu": "2"}})), &old),
            [""; 0]
        );
        assert_eq!(
            faults(
                &pod(&json!({"requests": {"cpu": "1", "ephemeral-storage": "1Gi"}})),
                &old
            ),
            ["spec: Forbidden: only cpu and memory resources are mutable"]
        );
        let mut other = old.clone();
        other["spec"]["containers"][0]["image"] = "y".into();
        assert_eq!(
            faults(&other, &old),
            ["spec: Forbidden: only cpu and memory resources are mutable"]
        );
        let mut other = old.clone();
        other["spec"]["nodeName"] = "n".into();
        assert_eq!(
            faults(&other, &old),
            ["spec: Forbidden: only cpu and memory resources are mutable"]
        );
    }

    #[test]
    fn the_class_stays_and_nothing_is_taken_back() {
        let old = pod(&json!({"requests": {"cpu": "1", "memory": "1Gi"}}));
        let full = json!({"cpu": "1", "memory": "1Gi"});
        assert_eq!(
            faults(&pod(&json!({"requests": full, "limits": full})), &old),
            [
                "spec: Invalid value: \"Burstable\": Pod QOS Class may not change as a result of resizing"
            ]
        );
        assert_eq!(
            faults(&pod(&json!({"requests": {"cpu": "1"}})), &old),
            [
                "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed"
            ]
        );
    }

    #[test]
    fn some_pods_are_never_resized() {
        let mut old = pod(&json!({"requests": {"cpu": "1"}}));
        let new = pod(&json!({"requests": {"cpu": "2"}}));
        let running = json!([{"name": "c", "state": {"running": {}}}]);
        old["status"]["containerStatuses"] = running;
        assert_eq!(
            faults(&new, &old),
            ["spec: Forbidden: Pod running on node without support for resize"]
        );
        old["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
        assert_eq!(
            faults(&new, &old),
            [": Forbidden: static pods cannot be resized"]
        );
    }
}
