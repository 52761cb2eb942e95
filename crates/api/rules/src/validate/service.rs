//! Services.

use std::collections::BTreeSet;

use api_meta::{Cause, names};
use serde_json::{Value, json};

use super::meta;
use super::tools::{address, get, list, number, one_of, port, range, reasons, text};

const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const AFFINITY_SECONDS_MAX: i64 = 86_400;

/// A Service.
pub(super) fn service(object: &Value, old: Option<&Value>, faults: &mut Vec<Cause>) {
    let nothing = json!({});
    let spec = object.get("spec").unwrap_or(&nothing);
    let kind = text(spec, "type");
    let is_headless = text(spec, "clusterIP") == "None";
    if list(spec, "ports").is_empty() && !is_headless && kind != "ExternalName" {
        faults.push(Cause::required("spec.ports", ""));
    }
    if is_headless && matches!(kind, "NodePort" | "LoadBalancer") {
        let why = format!("may not be set to 'None' for {kind} services");
        faults.push(Cause::invalid("spec.clusterIPs[0]", "None", &why));
    }
    if kind == "ExternalName" {
        external_name(faults, spec);
    }
    ports(faults, spec);
    meta::labels(faults, "spec.selector", spec.get("selector"));
    one_of(
        faults,
        "spec",
        spec,
        "sessionAffinity",
        &["ClientIP", "None"],
    );
    affinity(faults, spec);
    addresses(faults, spec);
    one_of(faults, "spec", spec, "type", TYPES);
    traffic(faults, spec);
    if let Some(old) = old {
        addresses_stay(faults, spec, old.get("spec").unwrap_or(&nothing));
    }
}

fn external_name(faults: &mut Vec<Cause>, spec: &Value) {
    let name = text(spec, "externalName");
    if name.is_empty() {
        faults.push(Cause::required("spec.externalName", ""));
    } else {
        let bare = name.trim_end_matches('.');
        reasons(
            faults,
            "spec.externalName",
            name,
            names::dns1123_subdomain(bare),
        );
    }
}

fn ports(faults: &mut Vec<Cause>, spec: &Value) {
    let ports = list(spec, "ports");
    let mut known = BTreeSet::new();
    for (i, one) in ports.iter().enumerate() {
        let path = format!("spec.ports[{i}]");
        let name = text(one, "name");
        if name.is_empty() && ports.len() > 1 {
            faults.push(Cause::required(format!("{path}.name"), ""));
        } else if !name.is_empty() {
            reasons(
                faults,
                &format!("{path}.name"),
                name,
                names::dns1123_label(name),
            );
            if !known.insert(name) {
                faults.push(Cause::duplicate(format!("{path}.name"), name));
            }
        }
        let own = number(one, "port").unwrap_or_default();
        reasons(
            faults,
            &format!("{path}.port"),
            own,
            names::port_number(own),
        );
        one_of(faults, &path, one, "protocol", &["SCTP", "TCP", "UDP"]);
        if let Some(target) = get(one, "targetPort") {
            port(faults, &format!("{path}.targetPort"), target);
        }
        let is_inside = matches!(text(spec, "type"), "ClusterIP" | "ExternalName");
        if is_inside && number(one, "nodePort").is_some_and(|number| number != 0) {
            let why = "may not be used when `type` is 'ClusterIP'";
            faults.push(Cause::forbidden(format!("{path}.nodePort"), why));
        }
    }
    let mut seen = BTreeSet::new();
    for (i, one) in ports.iter().enumerate() {
        let (protocol, number) = (
            text(one, "protocol"),
            number(one, "port").unwrap_or_default(),
        );
        if !seen.insert((protocol, number)) {
            // Upstream shows this value by the names of its own fields.
            let message = format!(
                "Duplicate value: {{\"Name\":\"\",\"Protocol\":{},\"AppProtocol\":null,\"Port\":{number},\"TargetPort\":0,\"NodePort\":0}}",
                Value::from(protocol)
            );
            faults.push(Cause::new(
                "FieldValueDuplicate",
                format!("spec.ports[{i}]"),
                message,
            ));
        }
    }
}

fn affinity(faults: &mut Vec<Cause>, spec: &Value) {
    if text(spec, "sessionAffinity") != "ClientIP" {
        return;
    }
    let seconds = spec.pointer("/sessionAffinityConfig/clientIP/timeoutSeconds");
    if let Some(seconds) = seconds.and_then(Value::as_i64)
        && !(1..=AFFINITY_SECONDS_MAX).contains(&seconds)
    {
        let path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
        let why = format!("must be greater than 0 and less than {AFFINITY_SECONDS_MAX}");
        faults.push(Cause::invalid(path, seconds, &why));
    }
}

fn addresses(faults: &mut Vec<Cause>, spec: &Value) {
    let given = list(spec, "clusterIPs")
        .iter()
        .filter_map(Value::as_str)
        .collect::<Vec<_>>();
    let single = text(spec, "clusterIP");
    let given = if given.is_empty() && !single.is_empty() {
        vec![single]
    } else {
        given
    };
    for (i, one) in given.iter().enumerate().filter(|(_, one)| **one != "None") {
        address(faults, &format!("spec.clusterIPs[{i}]"), one);
    }
    for (i, family) in list(spec, "ipFamilies")
        .iter()
        .filter_map(Value::as_str)
        .enumerate()
    {
        if !matches!(family, "IPv4" | "IPv6") {
            let path = format!("spec.ipFamilies[{i}]");
            faults.push(Cause::not_supported(path, family, &["IPv4", "IPv6"]));
        }
    }
    for (i, one) in list(spec, "externalIPs")
        .iter()
        .filter_map(Value::as_str)
        .enumerate()
    {
        address(faults, &format!("spec.externalIPs[{i}]"), one);
    }
    // Upstream writes this one path with a capital.
    for (i, one) in list(spec, "loadBalancerSourceRanges")
        .iter()
        .filter_map(Value::as_str)
        .enumerate()
    {
        range(faults, &format!("spec.LoadBalancerSourceRanges[{i}]"), one);
    }
}

fn traffic(faults: &mut Vec<Cause>, spec: &Value) {
    let kind = text(spec, "type");
    let is_outside =
        matches!(kind, "NodePort" | "LoadBalancer") || !list(spec, "externalIPs").is_empty();
    let external = text(spec, "externalTrafficPolicy");
    if !external.is_empty() && !is_outside {
        let why = "may only be set for externally-accessible services";
        faults.push(Cause::invalid("spec.externalTrafficPolicy", external, why));
    } else {
        one_of(
            faults,
            "spec",
            spec,
            "externalTrafficPolicy",
            &["Cluster", "Local"],
        );
    }
    if let Some(port) = number(spec, "healthCheckNodePort").filter(|port| *port != 0)
        && !(kind == "LoadBalancer" && external == "Local")
    {
        let why =
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        faults.push(Cause::invalid("spec.healthCheckNodePort", port, why));
    }
    one_of(
        faults,
        "spec",
        spec,
        "internalTrafficPolicy",
        &["Cluster", "Local"],
    );
    let class = text(spec, "loadBalancerClass");
    if !class.is_empty() {
        reasons(
            faults,
            "spec.loadBalancerClass",
            class,
            names::label_key(class),
        );
    }
    const SPREAD: &[&str] = &["PreferClose", "PreferSameZone", "PreferSameNode"];
    one_of(faults, "spec", spec, "trafficDistribution", SPREAD);
}

/// The first address stays as long as the Service has addresses.
fn addresses_stay(faults: &mut Vec<Cause>, new: &Value, old: &Value) {
    let is_external = |spec: &Value| text(spec, "type") == "ExternalName";
    if is_external(new) || is_external(old) {
        return;
    }
    let first = |spec: &'_ Value| text(spec, "clusterIP").to_owned();
    let (now, before) = (first(new), first(old));
    // One that is left out stays as it was.
    if !before.is_empty() && !now.is_empty() && now != before {
        let all = new
            .get("clusterIPs")
            .cloned()
            .unwrap_or_else(|| json!([now]));
        faults.push(Cause::invalid(
            "spec.clusterIPs[0]",
            &all,
            "may not change once set",
        ));
    }
}
