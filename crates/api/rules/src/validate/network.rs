//! Endpoints, Ingresses, network policies.

use std::collections::BTreeSet;
use std::net::IpAddr;

use api_meta::{Cause, names};
use serde_json::{Value, json};

use super::selector;
use super::tools::{address, get, immutable, is_empty, list, number, reasons, required, text};

/// Endpoints.
pub(super) fn endpoints(object: &Value, _: Option<&Value>, faults: &mut Vec<Cause>) {
    for (i, subset) in list(object, "subsets").iter().enumerate() {
        let path = format!("subsets[{i}]");
        let (ready, other) = (list(subset, "addresses"), list(subset, "notReadyAddresses"));
        if ready.is_empty() && other.is_empty() {
            faults.push(Cause::required(
                &path,
                "must specify `addresses` or `notReadyAddresses`",
            ));
        }
        for (field, addresses) in [("addresses", ready), ("notReadyAddresses", other)] {
            for (j, one) in addresses.iter().enumerate() {
                let (path, ip) = (format!("{path}.{field}[{j}].ip"), text(one, "ip"));
                address(faults, &path, ip);
                // Upstream checks twice, with two texts.
                if ip.parse::<IpAddr>().is_err() {
                    faults.push(Cause::invalid(path, ip, "must be a valid IP address"));
                }
            }
        }
        for (j, port) in list(subset, "ports").iter().enumerate() {
            let path = format!("{path}.ports[{j}]");
            let number = number(port, "port").unwrap_or_default();
            reasons(
                faults,
                &format!("{path}.port"),
                number,
                names::port_number(number),
            );
        }
    }
}

/// `discovery.k8s.io/v1` EndpointSlice.
pub(super) fn endpoint_slice(object: &Value, old: Option<&Value>, faults: &mut Vec<Cause>) {
    const TYPES: &[&str] = &["FQDN", "IPv4", "IPv6"];
    let kind = text(object, "addressType");
    if kind.is_empty() {
        faults.push(Cause::required("addressType", ""));
        return;
    }
    if !TYPES.contains(&kind) {
        faults.push(Cause::not_supported("addressType", kind, TYPES));
        return;
    }
    let mut names = BTreeSet::new();
    for (i, port) in list(object, "ports").iter().enumerate() {
        let path = format!("ports[{i}].name");
        let name = text(port, "name");
        if !name.is_empty() {
            reasons(faults, &path, name, names::dns1123_label(name));
        }
        if !names.insert(name) {
            faults.push(Cause::duplicate(path, name));
        }
    }
    for (i, endpoint) in list(object, "endpoints").iter().enumerate() {
        let path = format!("endpoints[{i}].addresses");
        let addresses = list(endpoint, "addresses");
        if addresses.is_empty() {
            faults.push(Cause::required(&path, "must contain at least 1 address"));
        }
        for (j, one) in addresses.iter().filter_map(Value::as_str).enumerate() {
            if kind != "FQDN" {
                address(faults, &format!("{path}[{j}]"), one);
            }
        }
    }
    if let Some(old) = old {
        immutable(
            faults,
            "addressType",
            object.get("addressType"),
            old.get("addressType"),
        );
    }
}

/// `networking.k8s.io/v1` Ingress.
pub(super) fn ingress(object: &Value, _: Option<&Value>, faults: &mut Vec<Cause>) {
    let nothing = json!({});
    let spec = object.get("spec").unwrap_or(&nothing);
    if list(spec, "rules").is_empty() && get(spec, "defaultBackend").is_none() {
        let why = "either `defaultBackend` or `rules` must be specified";
        faults.push(Cause::invalid("spec", &Value::Null, why));
    }
    for (i, rule) in list(spec, "rules").iter().enumerate() {
        let host = text(rule, "host");
        if !host.is_empty() && !host.starts_with("*.") {
            let path = format!("spec.rules[{i}].host");
            reasons(faults, &path, host, names::dns1123_subdomain(host));
        }
        let paths = rule.get("http").map_or(&[][..], |http| list(http, "paths"));
        for (j, one) in paths.iter().enumerate() {
            let path = format!("spec.rules[{i}].http.paths[{j}]");
            const TYPES: &[&str] = &["Exact", "ImplementationSpecific", "Prefix"];
            let kind = text(one, "pathType");
            if kind.is_empty() {
                faults.push(Cause::required(
                    format!("{path}.pathType"),
                    "pathType must be specified",
                ));
            } else if !TYPES.contains(&kind) {
                faults.push(Cause::not_supported(
                    format!("{path}.pathType"),
                    kind,
                    TYPES,
                ));
            }
            let place = text(one, "path");
            if matches!(kind, "Exact" | "Prefix") && !place.starts_with('/') {
                faults.push(Cause::invalid(
                    format!("{path}.path"),
                    place,
                    "must be an absolute path",
                ));
            }
        }
    }
}

/// `networking.k8s.io/v1` IngressClass.
pub(super) fn ingress_class(object: &Value, old: Option<&Value>, faults: &mut Vec<Cause>) {
    let nothing = json!({});
    let spec = object.get("spec").unwrap_or(&nothing);
    required(faults, "spec", spec, "controller");
    if let Some(old) = old {
        let (new, old) = (spec.get("controller"), old.pointer("/spec/controller"));
        immutable(faults, "spec.controller", new, old);
    }
}

/// `networking.k8s.io/v1` NetworkPolicy.
pub(super) fn network_policy(object: &Value, _: Option<&Value>, faults: &mut Vec<Cause>) {
    let nothing = json!({});
    let spec = object.get("spec").unwrap_or(&nothing);
    if let Some(pods) = spec.get("podSelector").filter(|pods| !is_empty(Some(pods))) {
        selector::check(faults, "spec.podSelector", pods);
    }
    for (i, kind) in list(spec, "policyTypes")
        .iter()
        .filter_map(Value::as_str)
        .enumerate()
    {
        if !matches!(kind, "Ingress" | "Egress") {
            let path = format!("spec.policyTypes[{i}]");
            faults.push(Cause::not_supported(path, kind, &["Ingress", "Egress"]));
        }
    }
}
