//! Defaults of Services and of the endpoints behind them. Addresses are given out elsewhere.

use serde_json::{Map, Value, json};

use super::{default, default_text, each, made, text};

/// How long ClientIP affinity lasts: three hours.
const AFFINITY_SECONDS: i64 = 10_800;

/// Service.
pub(super) fn service(object: &mut Map<String, Value>) {
    let Some(spec) = made(object, "spec") else {
        return;
    };
    default_text(spec, "sessionAffinity", "None");
    if text(spec, "sessionAffinity") == "None" {
        spec.remove("sessionAffinityConfig");
    } else if let Some(config) =
        made(spec, "sessionAffinityConfig").and_then(|c| made(c, "clientIP"))
    {
        default(config, "timeoutSeconds", AFFINITY_SECONDS);
    }
    default_text(spec, "type", "ClusterIP");
    for port in each(spec, "ports") {
        default_text(port, "protocol", "TCP");
        let target = port.get("targetPort");
        if target
            .is_none_or(|target| target.is_null() || *target == json!(0) || *target == json!(""))
        {
            let number = port.get("port").cloned().unwrap_or(Value::Null);
            port.insert("targetPort".to_owned(), number);
        }
    }
    let kind = text(spec, "type").to_owned();
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        default_text(spec, "externalTrafficPolicy", "Cluster");
    }
    if matches!(kind.as_str(), "ClusterIP" | "NodePort" | "LoadBalancer") {
        default_text(spec, "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        default(spec, "allocateLoadBalancerNodePorts", true);
    }
}

/// Endpoints.
pub(super) fn endpoints(object: &mut Map<String, Value>) {
    for subset in each(object, "subsets") {
        for port in each(subset, "ports") {
            default_text(port, "protocol", "TCP");
        }
    }
}

/// `discovery.k8s.io/v1` EndpointSlice.
pub(super) fn endpoint_slice(object: &mut Map<String, Value>) {
    for port in each(object, "ports") {
        default(port, "name", "");
        default(port, "protocol", "TCP");
    }
}
