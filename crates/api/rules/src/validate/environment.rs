//! Environment variables of a container and where they come from.

use api_meta::{Cause, names};
use serde_json::Value;

use super::tools::{get, list, reasons, text};

const FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
const RESOURCES: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const SOURCES: [&str; 5] = [
    "fieldRef",
    "resourceFieldRef",
    "configMapKeyRef",
    "secretKeyRef",
    "fileKeyRef",
];

/// The variables.
pub(super) fn variables(faults: &mut Vec<Cause>, path: &str, variables: &[Value]) {
    for (i, variable) in variables.iter().enumerate() {
        let path = format!("{path}[{i}]");
        let name = text(variable, "name");
        if name.is_empty() {
            faults.push(Cause::required(format!("{path}.name"), ""));
        } else {
            reasons(faults, &format!("{path}.name"), name, names::env_name(name));
        }
        if let Some(from) = get(variable, "valueFrom") {
            let has_value = !text(variable, "value").is_empty();
            value_from(faults, &format!("{path}.valueFrom"), from, has_value);
        }
    }
}

fn value_from(faults: &mut Vec<Cause>, path: &str, from: &Value, has_value: bool) {
    let count = SOURCES
        .iter()
        .filter(|source| get(from, source).is_some())
        .count();
    if let Some(field) = get(from, "fieldRef") {
        field_ref(faults, &format!("{path}.fieldRef"), field);
    }
    if let Some(resource) = get(from, "resourceFieldRef") {
        let path = format!("{path}.resourceFieldRef");
        let name = text(resource, "resource");
        let is_huge = name.contains(".hugepages-");
        if name.is_empty() {
            faults.push(Cause::required(format!("{path}.resource"), ""));
        } else if !RESOURCES.contains(&name) && !is_huge {
            faults.push(Cause::not_supported(
                format!("{path}.resource"),
                name,
                RESOURCES,
            ));
        }
    }
    for source in ["configMapKeyRef", "secretKeyRef"] {
        if let Some(key) = get(from, source) {
            key_ref(faults, &format!("{path}.{source}"), key);
        }
    }
    if count == 0 {
        let why = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
        faults.push(Cause::invalid(path, "", why));
    } else if has_value {
        faults.push(Cause::invalid(
            path,
            "",
            "may not be specified when `value` is not empty",
        ));
    } else if count > 1 {
        let why = "may not have more than one field specified at a time";
        faults.push(Cause::invalid(path, "", why));
    }
}

fn field_ref(faults: &mut Vec<Cause>, path: &str, field: &Value) {
    let name = text(field, "fieldPath");
    if name.is_empty() {
        faults.push(Cause::required(format!("{path}.fieldPath"), ""));
        return;
    }
    let of_map = ["metadata.labels['", "metadata.annotations['"];
    let is_map = of_map.iter().any(|prefix| name.starts_with(prefix)) && name.ends_with("']");
    if !is_map && !FIELDS.contains(&name) {
        let why = format!("error converting fieldPath: field label not supported: {name}");
        faults.push(Cause::invalid(format!("{path}.fieldPath"), name, &why));
    }
}

fn key_ref(faults: &mut Vec<Cause>, path: &str, key: &Value) {
    let name = text(key, "name");
    reasons(
        faults,
        &format!("{path}.name"),
        name,
        names::dns1123_subdomain(name),
    );
    let key = text(key, "key");
    if key.is_empty() {
        faults.push(Cause::required(format!("{path}.key"), ""));
    } else {
        reasons(
            faults,
            &format!("{path}.key"),
            key,
            names::config_map_key(key),
        );
    }
}

/// Maps and secrets that are taken whole.
pub(super) fn sources(faults: &mut Vec<Cause>, path: &str, sources: &[Value]) {
    for source in sources {
        let count = ["configMapRef", "secretRef"]
            .iter()
            .filter(|field| get(source, field).is_some())
            .count();
        // Upstream leaves the index out of these paths.
        if count == 0 {
            let why = "must specify one of: `configMapRef` or `secretRef`";
            faults.push(Cause::invalid(path, "", why));
        } else if count > 1 {
            let why = "may not have more than one field specified at a time";
            faults.push(Cause::invalid(path, "", why));
        }
    }
}

/// Fields that a downward API volume may show.
pub(super) fn items(faults: &mut Vec<Cause>, path: &str, source: &Value) {
    for (i, item) in list(source, "items").iter().enumerate() {
        for field in ["key", "path"] {
            if text(item, field).is_empty() {
                faults.push(Cause::required(format!("{path}.items[{i}].{field}"), ""));
            }
        }
    }
}
