//! Pods: their first status, what is told of them by the server itself, and the time they get to end.

use api_meta::kinds::Kind;
use serde_json::{Map, Value, json};

use crate::registry::context::RequestContext;
use crate::registry::strategy::Strategy;
use crate::registry::tree;

/// The seconds of a pod that asks for none below nought.
const SECONDS_LEAST: i64 = 1;

pub(crate) struct Pod;

impl Strategy for Pod {
    fn prepare_create(&self, _: &RequestContext, _: &Kind, object: &mut Value) {
        let class = api_rules::qos::class(object);
        let is_gated = !tree::array(object, "/spec/schedulingGates").is_empty();
        if let Value::Object(map) = object {
            map.insert(
                "status".into(),
                json!({"phase": "Pending", "qosClass": class}),
            );
        }
        if is_gated {
            set_condition(
                object,
                &Condition {
                    kind: "PodScheduled",
                    status: "False",
                    reason: "SchedulingGated",
                    message: "Scheduling is blocked due to non-empty scheduling gates",
                },
            );
        }
    }

    fn prepare_status(&self, new: &mut Value, old: &Value) {
        // Where a pod runs does not change its class, and no status may.
        let class = old.pointer("/status/qosClass").cloned();
        if let Some(class) = class {
            tree::child(new, "status").insert("qosClass".into(), class);
        }
    }
}

/// What is told of a pod. An empty reason or message is left out.
pub(crate) struct Condition<'a> {
    pub(crate) kind: &'a str,
    pub(crate) status: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) message: &'a str,
}

/// Tells something of a pod, in the place where it was told before. Its time is that of the change.
pub(crate) fn set_condition(pod: &mut Value, condition: &Condition<'_>) {
    let mut all = tree::array(pod, "/status/conditions").to_vec();
    let place = all
        .iter()
        .position(|one| tree::text(one, "/type") == condition.kind);
    let before = place.and_then(|place| all.get(place));
    let since = before
        .filter(|before| tree::text(before, "/status") == condition.status)
        .map(|before| tree::text(before, "/lastTransitionTime").to_owned())
        .filter(|time| !time.is_empty())
        .unwrap_or_else(tree::now);
    let mut told = Map::new();
    for (field, text) in [
        ("type", condition.kind),
        ("status", condition.status),
        ("reason", condition.reason),
        ("message", condition.message),
        ("lastTransitionTime", &since),
    ] {
        if !text.is_empty() {
            told.insert(field.to_owned(), text.into());
        }
    }
    told.insert("lastProbeTime".into(), Value::Null);
    match place.and_then(|place| all.get_mut(place)) {
        Some(slot) => *slot = Value::Object(told),
        None => all.push(Value::Object(told)),
    }
    tree::child(pod, "status").insert("conditions".into(), all.into());
}

/// How long a pod gets to end when its deletion is asked for.
pub(crate) fn grace_seconds(pod: &Value, asked: Option<i64>) -> i64 {
    let wanted = asked
        .or_else(|| tree::number(pod, "/spec/terminationGracePeriodSeconds"))
        .unwrap_or(0);
    // Nobody runs it, or nothing of it runs any more: there is nothing to wait for.
    let is_bound = !tree::text(pod, "/spec/nodeName").is_empty();
    let is_over = matches!(tree::text(pod, "/status/phase"), "Succeeded" | "Failed");
    match (is_bound && !is_over, wanted) {
        (false, _) => 0,
        (true, wanted) if wanted < 0 => SECONDS_LEAST,
        (true, wanted) => wanted,
    }
}

#[cfg(test)]
mod tests {
    use api_meta::Kinds;
    use serde_json::{Value, json};

    use super::{Condition, Pod, Strategy, set_condition};
    use crate::registry::RequestContext;

    fn created(spec: Value) -> Value {
        let kind = Kinds::builtin().by_resource("", "v1", "pods").unwrap();
        let mut pod = json!({"spec": spec, "status": {"phase": "Running"}});
        Pod.prepare_create(&RequestContext::default(), kind, &mut pod);
        pod["status"].take()
    }

    #[test]
    fn a_new_pod_is_pending_and_has_its_class() {
        let both = json!({"cpu": "1", "memory": "1Gi"});
        let spec =
            json!({"containers": [{"name": "c"}], "resources": {"requests": both, "limits": both}});
        assert_eq!(
            created(spec),
            json!({"phase": "Pending", "qosClass": "Guaranteed"})
        );
    }

    #[test]
    fn a_gated_pod_says_why_it_waits() {
        let status = created(json!({"schedulingGates": [{"name": "example.com/g"}]}));
        let told = &status["conditions"][0];
        assert_eq!(
            (&told["type"], &told["status"], &told["reason"]),
            (
                &json!("PodScheduled"),
                &json!("False"),
                &json!("SchedulingGated")
            )
        );
        assert_eq!(
            told["message"],
            "Scheduling is blocked due to non-empty scheduling gates"
        );
        assert!(told["lastTransitionTime"].is_string());
    }

    #[test]
    fn a_condition_keeps_its_place_and_its_time() {
        let then = "2024-01-01T00:00:00Z";
        let mut pod = json!({"status": {"conditions": [
            {"type": "A", "status": "False", "reason": "R", "lastTransitionTime": then}, {"type": "B"}]}});
        let told = |status| Condition {
            kind: "A",
            status,
            reason: "",
            message: "",
        };
        set_condition(&mut pod, &told("False"));
        assert_eq!(pod["status"]["conditions"][0]["lastTransitionTime"], then);
        assert!(pod["status"]["conditions"][0].get("reason").is_none());
        set_condition(&mut pod, &told("True"));
        assert_ne!(pod["status"]["conditions"][0]["lastTransitionTime"], then);
        assert_eq!(pod["status"]["conditions"][1], json!({"type": "B"}));
    }
}
