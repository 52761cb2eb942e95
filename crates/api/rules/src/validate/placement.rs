//! Where pods may run: affinity, tolerations, spreading.

use api_meta::{Cause, names};
use serde_json::Value;

use super::selector;
use super::tools::{get, list, number, reasons, text};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// Affinity to nodes and pods.
pub(super) fn affinity(faults: &mut Vec<Cause>, path: &str, affinity: Option<&Value>) {
    let Some(affinity) = affinity else { return };
    if let Some(node) = get(affinity, "nodeAffinity") {
        let path = format!("{path}.nodeAffinity");
        if let Some(required) = get(node, REQUIRED) {
            let path = format!("{path}.{REQUIRED}.nodeSelectorTerms");
            let terms = list(required, "nodeSelectorTerms");
            if terms.is_empty() {
                faults.push(Cause::required(
                    &path,
                    "must have at least one node selector term",
                ));
            }
            for (i, term) in terms.iter().enumerate() {
                node_term(faults, &format!("{path}[{i}]"), term);
            }
        }
        for (i, preferred) in list(node, PREFERRED).iter().enumerate() {
            let path = format!("{path}.{PREFERRED}[{i}]");
            weight(faults, &path, preferred);
            if let Some(term) = get(preferred, "preference") {
                node_term(faults, &format!("{path}.preference"), term);
            }
        }
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(pods) = get(affinity, kind) else {
            continue;
        };
        for (i, term) in list(pods, REQUIRED).iter().enumerate() {
            pod_term(faults, &format!("{path}.{kind}.{REQUIRED}[{i}]"), term);
        }
        for (i, preferred) in list(pods, PREFERRED).iter().enumerate() {
            let path = format!("{path}.{kind}.{PREFERRED}[{i}]");
            weight(faults, &path, preferred);
            if let Some(term) = get(preferred, "podAffinityTerm") {
                pod_term(faults, &format!("{path}.podAffinityTerm"), term);
            }
        }
    }
}

fn weight(faults: &mut Vec<Cause>, path: &str, preferred: &Value) {
    let weight = number(preferred, "weight").unwrap_or_default();
    if !(1..=100).contains(&weight) {
        faults.push(Cause::invalid(
            format!("{path}.weight"),
            weight,
            "must be in the range 1-100",
        ));
    }
}

fn node_term(faults: &mut Vec<Cause>, path: &str, term: &Value) {
    for (i, expression) in list(term, "matchExpressions").iter().enumerate() {
        let path = format!("{path}.matchExpressions[{i}]");
        let values = list(expression, "values").len();
        match text(expression, "operator") {
            "In" | "NotIn" if values == 0 => faults.push(Cause::required(
                format!("{path}.values"),
                "must be specified when `operator` is 'In' or 'NotIn'",
            )),
            "Exists" | "DoesNotExist" if values > 0 => faults.push(Cause::forbidden(
                format!("{path}.values"),
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            )),
            "Gt" | "Lt" if values != 1 => faults.push(Cause::required(
                format!("{path}.values"),
                "must be specified single value when `operator` is 'Lt' or 'Gt'",
            )),
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            other => {
                let path = format!("{path}.operator");
                faults.push(Cause::invalid(path, other, "not a valid selector operator"));
            }
        }
        let key = text(expression, "key");
        reasons(faults, &format!("{path}.key"), key, names::label_key(key));
    }
}

fn pod_term(faults: &mut Vec<Cause>, path: &str, term: &Value) {
    if let Some(labels) = get(term, "labelSelector") {
        selector::check(faults, &format!("{path}.labelSelector"), labels);
    }
    let key = text(term, "topologyKey");
    let path = format!("{path}.topologyKey");
    if key.is_empty() {
        faults.push(Cause::required(&path, "can not be empty"));
    }
    reasons(faults, &path, key, names::label_key(key));
}

/// Tolerated taints.
pub(super) fn tolerations(faults: &mut Vec<Cause>, path: &str, tolerations: &[Value]) {
    for (i, toleration) in tolerations.iter().enumerate() {
        let path = format!("{path}[{i}]");
        let (key, value) = (text(toleration, "key"), text(toleration, "value"));
        let (operator, effect) = (text(toleration, "operator"), text(toleration, "effect"));
        if !key.is_empty() {
            reasons(faults, &format!("{path}.key"), key, names::label_key(key));
        }
        if key.is_empty() && operator != "Exists" {
            let why = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            faults.push(Cause::invalid(format!("{path}.operator"), operator, why));
        }
        if get(toleration, "tolerationSeconds").is_some() && effect != "NoExecute" {
            let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            faults.push(Cause::invalid(format!("{path}.effect"), effect, why));
        }
        match operator {
            "" | "Equal" => reasons(
                faults,
                &format!("{path}.operator"),
                value,
                names::label_value(value),
            ),
            "Exists" if !value.is_empty() => {
                let why = "value must be empty when `operator` is 'Exists'";
                faults.push(Cause::invalid(format!("{path}.operator"), value, why));
            }
            "Exists" => {}
            other => {
                let path = format!("{path}.operator");
                faults.push(Cause::not_supported(path, other, &["Equal", "Exists"]));
            }
        }
        if !effect.is_empty() && !EFFECTS.contains(&effect) {
            faults.push(Cause::not_supported(
                format!("{path}.effect"),
                effect,
                EFFECTS,
            ));
        }
    }
}

/// Taints of a node.
pub(super) fn taints(faults: &mut Vec<Cause>, path: &str, taints: &[Value]) {
    for (i, taint) in taints.iter().enumerate() {
        let path = format!("{path}[{i}]");
        let (key, effect) = (text(taint, "key"), text(taint, "effect"));
        reasons(faults, &format!("{path}.key"), key, names::label_key(key));
        let value = text(taint, "value");
        reasons(
            faults,
            &format!("{path}.value"),
            value,
            names::label_value(value),
        );
        if effect.is_empty() {
            faults.push(Cause::required(format!("{path}.effect"), ""));
        } else if !EFFECTS.contains(&effect) {
            faults.push(Cause::not_supported(
                format!("{path}.effect"),
                effect,
                EFFECTS,
            ));
        }
    }
}

/// Even spreading over a topology.
pub(super) fn spread(faults: &mut Vec<Cause>, path: &str, spec: &Value) {
    const WHEN: &[&str] = &["DoNotSchedule", "ScheduleAnyway"];
    for (i, constraint) in list(spec, "topologySpreadConstraints").iter().enumerate() {
        let path = format!("{path}[{i}]");
        let skew = number(constraint, "maxSkew").unwrap_or_default();
        if skew <= 0 {
            faults.push(Cause::invalid(
                format!("{path}.maxSkew"),
                skew,
                "must be greater than zero",
            ));
        }
        if text(constraint, "topologyKey").is_empty() {
            faults.push(Cause::required(
                format!("{path}.topologyKey"),
                "can not be empty",
            ));
        }
        let when = text(constraint, "whenUnsatisfiable");
        if !WHEN.contains(&when) {
            faults.push(Cause::not_supported(
                format!("{path}.whenUnsatisfiable"),
                when,
                WHEN,
            ));
        }
        if let Some(labels) = get(constraint, "labelSelector") {
            selector::check(faults, &format!("{path}.labelSelector"), labels);
        }
    }
}
