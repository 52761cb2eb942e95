//! Amounts of resources.

use api_meta::quantity::Quantity;
use api_meta::{Cause, names};
use serde_json::Value;

use super::tools::{get, reasons};

const STANDARD: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
const NOT_NEGATIVE: &str = "must be greater than or equal to 0";

/// What a container asks for and what it may use at most.
pub(super) fn requirements(faults: &mut Vec<Cause>, path: &str, resources: Option<&Value>) {
    let Some(resources) = resources else { return };
    let (limits, requests) = (get(resources, "limits"), get(resources, "requests"));
    for (part, amounts) in [("limits", limits), ("requests", requests)] {
        for (name, amount) in amounts.and_then(Value::as_object).into_iter().flatten() {
            let item = format!("{path}.{part}[{name}]");
            container_name(faults, &item, name);
            self::amount(faults, &item, name, amount);
            let limit = limits.and_then(|limits| limits.get(name));
            if part == "requests" {
                compare(faults, path, name, amount, limit);
            }
        }
    }
}

/// What is asked for lies below what is allowed; what cannot be shared is allowed as it is asked.
fn compare(
    faults: &mut Vec<Cause>,
    path: &str,
    name: &str,
    request: &Value,
    limit: Option<&Value>,
) {
    let is_shared = STANDARD.contains(&name);
    let Some(asked) = quantity(request) else {
        return;
    };
    match limit.and_then(quantity) {
        Some(limit) if !is_shared && limit != asked => {
            let why = format!("must be equal to {name} limit of {limit}");
            let path = format!("{path}.requests");
            faults.push(Cause::invalid(path, &asked.to_string(), why.as_str()));
        }
        Some(limit) if asked > limit => {
            let why = format!("must be less than or equal to {name} limit of {limit}");
            let path = format!("{path}.requests");
            faults.push(Cause::invalid(path, &asked.to_string(), why.as_str()));
        }
        None if !is_shared && name.contains('/') => {
            let why = "Limit must be set for non overcommitable resources";
            faults.push(Cause::required(format!("{path}.limits"), why));
        }
        _ => {}
    }
}

fn container_name(faults: &mut Vec<Cause>, path: &str, name: &str) {
    qualified(faults, path, name);
    let is_known = STANDARD.contains(&name) || name.starts_with("hugepages-");
    if !name.contains('/') && !is_known {
        faults.push(Cause::invalid(
            path,
            name,
            "must be a standard resource for containers",
        ));
    }
}

/// The name of any resource.
pub(super) fn qualified(faults: &mut Vec<Cause>, path: &str, name: &str) {
    const KNOWN: [&str; 12] = [
        "cpu",
        "memory",
        "ephemeral-storage",
        "storage",
        "pods",
        "services",
        "replicationcontrollers",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "resourcequotas",
        "services.nodeports",
    ];
    let wrong = names::label_key(name);
    let is_wrong = !wrong.is_empty();
    reasons(faults, path, name, wrong);
    let is_known = KNOWN.contains(&name) || name.starts_with("hugepages-");
    if !is_wrong && !name.contains('/') && !is_known {
        let why = "must be a standard resource type or fully qualified";
        faults.push(Cause::invalid(path, name, why));
    }
}

/// An amount of one resource: not negative, and whole where it is counted.
pub(super) fn amount(faults: &mut Vec<Cause>, path: &str, name: &str, amount: &Value) {
    let Some(quantity) = quantity(amount) else {
        return;
    };
    if quantity.is_negative() {
        faults.push(Cause::invalid(path, &quantity.to_string(), NOT_NEGATIVE));
    }
    let is_counted =
        !STANDARD.contains(&name) && name != "storage" && !name.starts_with("hugepages-");
    if is_counted && quantity.millis() % 1000 != 0 {
        faults.push(Cause::invalid(
            path,
            &quantity.to_string(),
            "must be an integer",
        ));
    }
}

/// Amounts by name, such as a pod's overhead.
pub(super) fn quantities(faults: &mut Vec<Cause>, path: &str, amounts: Option<&Value>) {
    for (name, value) in amounts.and_then(Value::as_object).into_iter().flatten() {
        amount(faults, &format!("{path}[{name}]"), name, value);
    }
}

/// Reads an amount; none if it is none.
pub(super) fn quantity(value: &Value) -> Option<Quantity> {
    value.as_str()?.parse().ok()
}
