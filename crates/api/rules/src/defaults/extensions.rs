//! Defaults of what watches requests and scales workloads: webhooks, flow control, autoscalers,
//! claims of devices.

use serde_json::{Map, Value, json};

use super::{child, default, default_number, default_text, each, made, text};

/// ValidatingWebhookConfiguration.
pub(super) fn validating_webhooks(object: &mut Map<String, Value>) {
    each(object, "webhooks").for_each(webhook);
}

/// MutatingWebhookConfiguration.
pub(super) fn mutating_webhooks(object: &mut Map<String, Value>) {
    for hook in each(object, "webhooks") {
        webhook(hook);
        default(hook, "reinvocationPolicy", "Never");
    }
}

fn webhook(hook: &mut Map<String, Value>) {
    default(hook, "failurePolicy", "Fail");
    default(hook, "matchPolicy", "Equivalent");
    default(hook, "namespaceSelector", Map::new());
    default(hook, "objectSelector", Map::new());
    default(hook, "timeoutSeconds", 10);
    for rule in each(hook, "rules") {
        default(rule, "scope", "*");
    }
    let service = child(hook, "clientConfig").and_then(|config| child(config, "service"));
    if let Some(service) = service {
        default(service, "port", 443);
    }
}

/// FlowSchema.
pub(super) fn flow_schema(object: &mut Map<String, Value>) {
    if let Some(spec) = child(object, "spec") {
        default_number(spec, "matchingPrecedence", 1000);
    }
}

/// PriorityLevelConfiguration.
pub(super) fn priority_level(object: &mut Map<String, Value>) {
    let Some(spec) = child(object, "spec") else {
        return;
    };
    if text(spec, "type") == "Exempt"
        && let Some(exempt) = made(spec, "exempt")
    {
        default(exempt, "nominalConcurrencyShares", 0);
        default(exempt, "lendablePercent", 0);
    }
    let Some(limited) = child(spec, "limited") else {
        return;
    };
    default(limited, "nominalConcurrencyShares", 30);
    default(limited, "lendablePercent", 0);
    let queuing = child(limited, "limitResponse").and_then(|answer| child(answer, "queuing"));
    if let Some(queuing) = queuing {
        default_number(queuing, "queues", 64);
        default_number(queuing, "handSize", 8);
        default_number(queuing, "queueLengthLimit", 50);
    }
}

/// HorizontalPodAutoscaler, in either version: the older names one metric only.
pub(super) fn autoscaler(object: &mut Map<String, Value>) {
    let is_old = text(object, "apiVersion") == "autoscaling/v1";
    let Some(spec) = child(object, "spec") else {
        return;
    };
    default(spec, "minReplicas", 1);
    if is_old {
        default(spec, "targetCPUUtilizationPercentage", 80);
        return;
    }
    let has_metrics = spec
        .get("metrics")
        .and_then(Value::as_array)
        .is_some_and(|m| !m.is_empty());
    if !has_metrics {
        let target = json!({"type": "Utilization", "averageUtilization": 80});
        let metric = json!({"type": "Resource", "resource": {"name": "cpu", "target": target}});
        spec.insert("metrics".to_owned(), json!([metric]));
    }
    if let Some(behavior) = child(spec, "behavior") {
        let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
        let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
        if let Some(up) = made(behavior, "scaleUp") {
            default(up, "stabilizationWindowSeconds", 0);
            scaling(up, json!([pods, percent]));
        }
        if let Some(down) = made(behavior, "scaleDown") {
            scaling(down, json!([percent]));
        }
    }
}

fn scaling(rules: &mut Map<String, Value>, policies: Value) {
    default(rules, "selectPolicy", "Max");
    let has_policies = rules
        .get("policies")
        .and_then(Value::as_array)
        .is_some_and(|found| !found.is_empty());
    if !has_policies {
        rules.insert("policies".to_owned(), policies);
    }
}

/// ResourceClaim.
pub(super) fn resource_claim(object: &mut Map<String, Value>) {
    claim_spec(object);
}

/// ResourceClaimTemplate.
pub(super) fn resource_claim_template(object: &mut Map<String, Value>) {
    if let Some(spec) = child(object, "spec") {
        claim_spec(spec);
    }
}

fn claim_spec(parent: &mut Map<String, Value>) {
    let Some(devices) = child(parent, "spec").and_then(|spec| child(spec, "devices")) else {
        return;
    };
    for request in each(devices, "requests") {
        if let Some(exactly) = child(request, "exactly") {
            device_count(exactly);
        }
        each(request, "firstAvailable").for_each(device_count);
    }
}

fn device_count(request: &mut Map<String, Value>) {
    default_text(request, "allocationMode", "ExactCount");
    if text(request, "allocationMode") == "ExactCount" {
        default_number(request, "count", 1);
    }
}
