//! What limits others: quotas, ranges, budgets, priorities, autoscalers.

use api_meta::{Cause, names, object};
use serde_json::{Value, json};

use super::resources::{amount, qualified, quantity};
use super::selector;
use super::tools::{count_or_percent, get, immutable, list, number, one_of, reasons, text};

const USER_PRIORITY_MAX: i64 = 1_000_000_000;
const SYSTEM_PRIORITIES: [&str; 2] = ["system-node-critical", "system-cluster-critical"];
const QUOTA: [&str; 17] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "persistentvolumeclaims",
    "services",
    "services.nodeports",
    "services.loadbalancers",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
];

/// ResourceQuota.
pub(super) fn resource_quota(object: &Value, _: Option<&Value>, faults: &mut Vec<Cause>) {
    let hard = object.pointer("/spec/hard").and_then(Value::as_object);
    for (name, value) in hard.into_iter().flatten() {
        let path = format!("spec.hard[{name}]");
        reasons(faults, &path, name, names::label_key(name));
        let is_known =
            QUOTA.contains(&name.as_str()) || matches!(name.as_str(), "pods" | "configmaps");
        if !name.contains('/') && !is_known {
            faults.push(Cause::invalid(
                &path,
                name,
                "must be a standard resource for quota",
            ));
        }
        let plain = name.rsplit('.').next().unwrap_or(name);
        amount(faults, &path, plain, value);
    }
}

/// LimitRange.
pub(super) fn limit_range(object: &Value, _: Option<&Value>, faults: &mut Vec<Cause>) {
    const PARTS: [&str; 5] = [
        "max",
        "min",
        "default",
        "defaultRequest",
        "maxLimitRequestRatio",
    ];
    let limits = object
        .get("spec")
        .map_or(&[][..], |spec| list(spec, "limits"));
    for (i, limit) in limits.iter().enumerate() {
        let path = format!("spec.limits[{i}]");
        let mut resources: Vec<&String> = Vec::new();
        for part in PARTS {
            let amounts = limit.get(part).and_then(Value::as_object);
            for name in amounts.into_iter().flatten().map(|(name, _)| name) {
                if !resources.contains(&name) {
                    qualified(faults, &format!("{path}.{part}[{name}]"), name);
                    resources.push(name);
                }
            }
        }
        for name in resources {
            limit_order(faults, &path, limit, name);
        }
    }
}

/// The least is not above the most, and what is given by default lies between.
fn limit_order(faults: &mut Vec<Cause>, path: &str, limit: &Value, name: &str) {
    // Low part, high part, the part that is named, the one that is shown, and upstream's words.
    const ORDER: [(&str, &str, &str, &str, &str, &str); 6] = [
        ("min", "max", "min", "min", "min", "max"),
        (
            "min",
            "defaultRequest",
            "defaultRequest",
            "defaultRequest",
            "min",
            "default request",
        ),
        (
            "defaultRequest",
            "max",
            "defaultRequest",
            "defaultRequest",
            "default request",
            "max",
        ),
        (
            "defaultRequest",
            "default",
            "defaultRequest",
            "defaultRequest",
            "default request",
            "default limit",
        ),
        ("min", "default", "default", "min", "min", "default"),
        ("default", "max", "default", "default", "default", "max"),
    ];
    let of = |part: &str| limit.get(part)?.get(name).and_then(quantity);
    for (low_part, high_part, named, shown, low_word, high_word) in ORDER {
        if let (Some(low), Some(high), Some(shown)) = (of(low_part), of(high_part), of(shown))
            && low > high
        {
            let why = format!("{low_word} value {low} is greater than {high_word} value {high}");
            let path = format!("{path}.{named}[{name}]");
            faults.push(Cause::invalid(path, &shown.to_string(), why.as_str()));
        }
    }
}

/// `policy/v1` PodDisruptionBudget.
pub(super) fn disruption_budget(object: &Value, _: Option<&Value>, faults: &mut Vec<Cause>) {
    let nothing = json!({});
    let spec = object.get("spec").unwrap_or(&nothing);
    let (least, most) = (get(spec, "minAvailable"), get(spec, "maxUnavailable"));
    if let (Some(least), Some(most)) = (least, most) {
        // Upstream shows this value by the names of its own fields.
        let message = format!(
            "Invalid value: {{\"MinAvailable\":{least},\"Selector\":{},\"MaxUnavailable\":{most},\"UnhealthyPodEvictionPolicy\":{}}}: minAvailable and maxUnavailable cannot be both set",
            spec.get("selector").unwrap_or(&Value::Null),
            spec.get("unhealthyPodEvictionPolicy")
                .unwrap_or(&Value::Null),
        );
        faults.push(Cause::new("FieldValueInvalid", "spec", message));
    }
    for (field, value) in [("minAvailable", least), ("maxUnavailable", most)] {
        if let Some(value) = value {
            count_or_percent(faults, &format!("spec.{field}"), value);
        }
    }
    if let Some(labels) = get(spec, "selector") {
        selector::check(faults, "spec.selector", labels);
    }
}

/// `scheduling.k8s.io/v1` PriorityClass.
pub(super) fn priority_class(object: &Value, old: Option<&Value>, faults: &mut Vec<Cause>) {
    let name = object::name(object);
    let value = number(object, "value").unwrap_or_default();
    if name.starts_with("system-") {
        if !SYSTEM_PRIORITIES.contains(&name) {
            let why = format!(
                "priority class names with 'system-' prefix are reserved for system use only. error: {name} is not a known system priority class"
            );
            faults.push(Cause::forbidden("metadata.name", &why));
        }
    } else if value > USER_PRIORITY_MAX {
        let why =
            format!("maximum allowed value of a user defined priority is {USER_PRIORITY_MAX}");
        faults.push(Cause::forbidden("value", &why));
    }
    let policy = text(object, "preemptionPolicy");
    if !matches!(policy, "" | "PreemptLowerPriority" | "Never") {
        let known = &["PreemptLowerPriority", "Never"];
        faults.push(Cause::not_supported("preemptionPolicy", policy, known));
    }
    if let Some(old) = old {
        if number(old, "value").unwrap_or_default() != value {
            faults.push(Cause::forbidden(
                "value",
                "may not be changed in an update.",
            ));
        }
        let (new, old) = (object.get("preemptionPolicy"), old.get("preemptionPolicy"));
        immutable(faults, "preemptionPolicy", new, old);
    }
}

/// HorizontalPodAutoscaler.
pub(super) fn autoscaler(object: &Value, _: Option<&Value>, faults: &mut Vec<Cause>) {
    let nothing = json!({});
    let spec = object.get("spec").unwrap_or(&nothing);
    let (least, most) = (
        number(spec, "minReplicas"),
        number(spec, "maxReplicas").unwrap_or_default(),
    );
    if let Some(least) = least.filter(|least| *least < 1) {
        let why = "must be greater than or equal to 1";
        faults.push(Cause::invalid("spec.minReplicas", least, why));
    }
    if most < 1 {
        faults.push(Cause::required(
            "spec.maxReplicas",
            "must be set and greater than 0",
        ));
    }
    if least.is_some_and(|least| most < least) {
        let why = "must be greater than or equal to `minReplicas`";
        faults.push(Cause::invalid("spec.maxReplicas", most, why));
    }
    let target = spec.get("scaleTargetRef").unwrap_or(&nothing);
    for field in ["kind", "name"] {
        let path = format!("spec.scaleTargetRef.{field}");
        match text(target, field) {
            "" => faults.push(Cause::required(path, "")),
            name => reasons(faults, &path, name, names::path_segment(name)),
        }
    }
    let version = text(target, "apiVersion");
    if version.is_empty() {
        let path = "spec.scaleTargetRef.apiVersion";
        faults.push(Cause::invalid(
            path,
            version,
            "apiVersion must specify API group",
        ));
    }
    if let Some(behavior) = get(spec, "behavior") {
        for direction in ["scaleUp", "scaleDown"] {
            if let Some(rules) = get(behavior, direction) {
                let path = format!("spec.behavior.{direction}");
                one_of(
                    faults,
                    &path,
                    rules,
                    "selectPolicy",
                    &["Disabled", "Max", "Min"],
                );
            }
        }
    }
}
