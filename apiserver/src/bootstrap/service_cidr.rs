//! The object that tells which range the addresses of Services come from. Pure.

use serde_json::{Value, json};

use super::Config;

/// The ServiceCIDR named `kubernetes`.
pub(super) fn object(config: &Config) -> Value {
    let cidrs: Vec<String> = config
        .service_cidrs
        .iter()
        .map(ToString::to_string)
        .collect();
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": "kubernetes"},
        "spec": {"cidrs": cidrs},
    })
}

/// Its status once it may be used, which for this one is always.
pub(super) fn ready(now: &str) -> Value {
    json!({"conditions": [{
        "type": "Ready",
        "status": "True",
        "reason": "",
        "message": "Kubernetes default Service CIDR is ready",
        "lastTransitionTime": now,
    }]})
}

/// True if the present object says that it is ready.
pub(super) fn is_ready(present: &Value) -> bool {
    api_meta::object::list_at(present, &["status", "conditions"])
        .iter()
        .any(|one| one["type"] == "Ready" && one["status"] == "True")
}
