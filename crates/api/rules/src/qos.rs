//! The class in which a node ranks a pod when it runs short, from what the pod asks for. Pure.

use api_meta::quantity::Quantity;
use serde_json::Value;

/// The resources that decide on the class.
const COMPUTE: [&str; 2] = ["cpu", "memory"];

/// The class of a pod. What the pod asks for as a whole decides alone, where it says so.
pub fn class(pod: &Value) -> &'static str {
    let of_pod = pod
        .pointer("/spec/resources")
        .filter(|resources| !resources.is_null());
    let (is_best_effort, is_guaranteed) = match of_pod {
        Some(resources) => judge(resources, Missing::IsNothing),
        None => judge_containers(pod),
    };
    match (is_best_effort, is_guaranteed) {
        (true, _) => "BestEffort",
        (false, true) => "Guaranteed",
        (false, false) => "Burstable",
    }
}

/// What a request is that is left out beside a limit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    IsLimit,
    IsNothing,
}

fn judge_containers(pod: &Value) -> (bool, bool) {
    let (mut is_best_effort, mut is_guaranteed, mut count) = (true, true, 0);
    for list in ["/spec/containers", "/spec/initContainers"] {
        let containers = pod.pointer(list).and_then(Value::as_array);
        for container in containers.into_iter().flatten() {
            let resources = container.get("resources").unwrap_or(&Value::Null);
            let (asks_nothing, is_fixed) = judge(resources, Missing::IsLimit);
            is_best_effort &= asks_nothing;
            is_guaranteed &= is_fixed;
            count += 1;
        }
    }
    (is_best_effort, is_guaranteed && count > 0)
}

/// Whether nothing is asked for, and whether everything is both asked for and limited alike.
fn judge(resources: &Value, missing: Missing) -> (bool, bool) {
    let (mut asks_nothing, mut is_fixed) = (true, true);
    for name in COMPUTE {
        let request = amount(resources, "requests", name);
        let limit = amount(resources, "limits", name);
        asks_nothing &= request.is_none() && limit.is_none();
        let is_left_out = request.is_none() && missing == Missing::IsLimit;
        is_fixed &= limit.is_some() && (is_left_out || request == limit);
    }
    (asks_nothing, is_fixed)
}

/// Nothing and nought are the same.
fn amount(resources: &Value, part: &str, name: &str) -> Option<Quantity> {
    let value = resources.get(part)?.get(name)?;
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    let quantity = text.parse::<Quantity>().ok()?;
    (!quantity.is_zero()).then_some(quantity)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    fn class(resources: &[Value]) -> &'static str {
        let containers: Vec<_> = resources.iter().map(|r| json!({"resources": r})).collect();
        super::class(&json!({"spec": {"containers": containers}}))
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
        assert_eq!(class(&[]), "BestEffort");
    }

    #[test]
    fn what_the_pod_asks_for_as_a_whole_decides_alone() {
        let class = |resources: Value| {
            let busy = json!({"requests": {"cpu": "1"}});
            let spec = json!({"resources": resources, "containers": [{"resources": busy}]});
            super::class(&json!({"spec": spec}))
        };
        let both = json!({"cpu": "1", "memory": "1Gi"});
        assert_eq!(
            class(json!({"requests": both, "limits": {"cpu": "1000m", "memory": "1024Mi"}})),
            "Guaranteed"
        );
        assert_eq!(class(json!({"limits": both})), "Burstable");
        assert_eq!(class(json!({"requests": both})), "Burstable");
        assert_eq!(
            class(json!({"requests": {"cpu": "1"}, "limits": {"cpu": "1"}})),
            "Burstable"
        );
        assert_eq!(class(json!({})), "BestEffort");
    }
}
