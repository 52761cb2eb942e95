//! Probes of a container, and the handlers that they share with lifecycle hooks.

use api_meta::Cause;
use serde_json::Value;

use super::tools::{get, list, not_negative, number, one_of, port, required};

const HANDLERS: [&str; 5] = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"];

/// All probes of a container.
pub(super) fn all(faults: &mut Vec<Cause>, path: &str, container: &Value) {
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = get(container, name) else {
            continue;
        };
        let path = format!("{path}.{name}");
        handler(faults, &path, probe);
        for field in [
            "initialDelaySeconds",
            "timeoutSeconds",
            "periodSeconds",
            "successThreshold",
            "failureThreshold",
        ] {
            not_negative(faults, &path, probe, field);
        }
        let successes = number(probe, "successThreshold").unwrap_or(1);
        if name != "readinessProbe" && successes != 1 {
            let path = format!("{path}.successThreshold");
            faults.push(Cause::invalid(path, successes, "must be 1"));
        }
    }
}

/// Exactly one way of asking.
pub(super) fn handler(faults: &mut Vec<Cause>, path: &str, handler: &Value) {
    let mut given = HANDLERS.iter().filter(|name| get(handler, name).is_some());
    let Some(first) = given.next() else {
        faults.push(Cause::required(path, "must specify a handler type"));
        return;
    };
    if let Some(value) = get(handler, first) {
        one(faults, &format!("{path}.{first}"), first, value);
    }
    for other in given {
        let path = format!("{path}.{other}");
        faults.push(Cause::forbidden(
            path,
            "may not specify more than 1 handler type",
        ));
    }
}

fn one(faults: &mut Vec<Cause>, path: &str, name: &str, value: &Value) {
    let number = value.get("port").unwrap_or(&Value::Null);
    match name {
        "exec" if list(value, "command").is_empty() => {
            faults.push(Cause::required(format!("{path}.command"), ""));
        }
        "httpGet" => {
            required(faults, path, value, "path");
            port(faults, &format!("{path}.port"), number);
            one_of(faults, path, value, "scheme", &["HTTP", "HTTPS"]);
        }
        "tcpSocket" | "grpc" => port(faults, &format!("{path}.port"), number),
        _ => {}
    }
}
