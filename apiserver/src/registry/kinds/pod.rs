//! Pods: their first status, their quality of service, and the time they get to end.

use api_meta::kinds::Kind;
use api_meta::quantity::Quantity;
use serde_json::{Value, json};

use crate::registry::context::RequestContext;
use crate::registry::strategy::Strategy;
use crate::registry::tree;

/// The resources that decide on the quality of service.
const COMPUTE: [&str; 2] = ["cpu", "memory"];

pub(crate) struct Pod;

impl Strategy for Pod {
    fn prepare_create(&self, _: &RequestContext, _: &Kind, object: &mut Value) {
        let class = qos_class(object);
        if let Value::Object(map) = object {
            map.insert(
                "status".into(),
                json!({"phase": "Pending", "qosClass": class}),
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

/// How long a pod gets to end when its deletion is asked for.
pub(crate) fn grace_seconds(pod: &Value, asked: Option<i64>) -> i64 {
    let wanted = asked
        .or_else(|| tree::number(pod, "/spec/terminationGracePeriodSeconds"))
        .unwrap_or(30)
        .max(0);
    // Nobody runs it, or nothing of it runs any more: there is nothing to wait for.
    let is_bound = !tree::text(pod, "/spec/nodeName").is_empty();
    let is_over = matches!(tree::text(pod, "/status/phase"), "Succeeded" | "Failed");
    if is_bound && !is_over { wanted } else { 0 }
}

/// The class in which a node ranks the pod when it runs short.
fn qos_class(pod: &Value) -> &'static str {
    let containers = tree::array(pod, "/spec/containers").iter();
    let containers: Vec<_> = containers
        .chain(tree::array(pod, "/spec/initContainers"))
        .collect();
    let mut is_best_effort = true;
    let mut is_guaranteed = !containers.is_empty();
    for container in containers {
        for name in COMPUTE {
            let read = |part: &str| {
                let text = container.pointer(&format!("/resources/{part}/{name}"));
                let text = text.map(|value| {
                    value
                        .as_str()
                        .map_or_else(|| value.to_string(), str::to_owned)
                });
                text.and_then(|text| text.parse::<Quantity>().ok())
                    .filter(|quantity| !quantity.is_zero())
            };
            let (request, limit) = (read("requests"), read("limits"));
            is_best_effort &= request.is_none() && limit.is_none();
            is_guaranteed &= limit.is_some() && (request.is_none() || request == limit);
        }
    }
    match (is_best_effort, is_guaranteed) {
        (true, _) => "BestEffort",
        (false, true) => "Guaranteed",
        (false, false) => "Burstable",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::qos_class;

    fn class(resources: &[Value]) -> &'static str {
        let containers: Vec<_> = resources.iter().map(|r| json!({"resources": r})).collect();
        qos_class(&json!({"spec": {"containers": containers}}))
    }

    #[test]
    fn classes_follow_requests_and_limits() {
        let full = json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1000m", "memory": "1024Mi"}});
        let limits = json!({"limits": {"cpu": "1", "memory": "1Gi"}});
        let some = json!({"requests": {"cpu": "1"}});
        assert_eq!(class(&[json!({}), json!({})]), "BestEffort");
        assert_eq!(class(&[full.clone(), limits.clone()]), "Guaranteed");
        assert_eq!(class(&[full, some.clone()]), "Burstable");
        assert_eq!(class(&[limits, json!({})]), "Burstable");
        assert_eq!(class(&[some]), "Burstable");
    }
}
