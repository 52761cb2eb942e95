//! Rows of Services, what is behind them and in front of them.

use jiff::Timestamp;
use serde_json::Value;

use super::text::{NONE, age, at, at_or, first_three, joined, labels, list, number, selector};

/// Service.
pub(super) fn service(object: &Value, now: Timestamp) -> Vec<Value> {
    let cluster_ip = list(object, "/spec/clusterIPs")
        .first()
        .and_then(Value::as_str);
    vec![
        at(object, "/spec/type").into(),
        cluster_ip
            .unwrap_or_else(|| at_or(object, "/spec/clusterIP", NONE))
            .into(),
        external_ip(object).into(),
        service_ports(object).into(),
        age(object, now),
        labels(object.pointer("/spec/selector")).into(),
    ]
}

fn external_ip(object: &Value) -> String {
    let mut external: Vec<&str> = list(object, "/spec/externalIPs")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    match at(object, "/spec/type") {
        "ExternalName" => at(object, "/spec/externalName").to_owned(),
        "LoadBalancer" => {
            let ingress = list(object, "/status/loadBalancer/ingress").iter();
            let mut all: Vec<&str> = ingress
                .map(|i| at_or(i, "/ip", at(i, "/hostname")))
                .collect();
            all.append(&mut external);
            if all.is_empty() {
                "<pending>".to_owned()
            } else {
                joined(&all)
            }
        }
        _ => joined(&external),
    }
}

fn service_ports(object: &Value) -> String {
    let port = |port: &Value| {
        let (number_, node) = (number(port, "/port"), number(port, "/nodePort"));
        let protocol = at(port, "/protocol");
        if node == 0 {
            format!("{number_}/{protocol}")
        } else {
            format!("{number_}:{node}/{protocol}")
        }
    };
    joined(
        &list(object, "/spec/ports")
            .iter()
            .map(port)
            .collect::<Vec<_>>(),
    )
}

/// Endpoints: the first three addresses with their ports.
pub(super) fn endpoints(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut all = Vec::new();
    for subset in list(object, "/subsets") {
        let addresses = list(subset, "/addresses")
            .iter()
            .map(|address| at(address, "/ip"));
        let ports = list(subset, "/ports");
        for ip in addresses {
            if ports.is_empty() {
                all.push(ip.to_owned());
            }
            all.extend(
                ports
                    .iter()
                    .map(|port| format!("{ip}:{}", number(port, "/port"))),
            );
        }
    }
    vec![first_three(&all).into(), age(object, now)]
}

/// EndpointSlice.
pub(super) fn endpoint_slice(object: &Value, now: Timestamp) -> Vec<Value> {
    let ports: Vec<String> = list(object, "/ports")
        .iter()
        .map(|port| match port.pointer("/port").and_then(Value::as_i64) {
            Some(number) => number.to_string(),
            None => "*".to_owned(),
        })
        .collect();
    let addresses: Vec<String> = list(object, "/endpoints")
        .iter()
        .flat_map(|endpoint| list(endpoint, "/addresses"))
        .filter_map(|address| address.as_str().map(str::to_owned))
        .collect();
    let none_is_unset = |parts: &[String]| match parts {
        [] => super::text::UNSET.to_owned(),
        parts => first_three(parts),
    };
    vec![
        at(object, "/addressType").into(),
        none_is_unset(&ports).into(),
        none_is_unset(&addresses).into(),
        age(object, now),
    ]
}

/// Ingress.
pub(super) fn ingress(object: &Value, now: Timestamp) -> Vec<Value> {
    let hosts: Vec<String> = list(object, "/spec/rules")
        .iter()
        .map(|rule| at(rule, "/host"))
        .filter(|host| !host.is_empty())
        .map(str::to_owned)
        .collect();
    let hosts = if hosts.is_empty() {
        "*".to_owned()
    } else {
        first_three(&hosts)
    };
    let ingress = list(object, "/status/loadBalancer/ingress").iter();
    let addresses: Vec<&str> = ingress
        .map(|i| at_or(i, "/ip", at(i, "/hostname")))
        .collect();
    let ports = if list(object, "/spec/tls").is_empty() {
        "80"
    } else {
        "80, 443"
    };
    vec![
        at_or(object, "/spec/ingressClassName", NONE).into(),
        hosts.into(),
        addresses.join(",").into(),
        ports.into(),
        age(object, now),
    ]
}

/// IngressClass.
pub(super) fn ingress_class(object: &Value, now: Timestamp) -> Vec<Value> {
    let parameters = match object.pointer("/spec/parameters") {
        None => NONE.to_owned(),
        Some(parameters) => match at(parameters, "/apiGroup") {
            "" => format!("{}/{}", at(parameters, "/kind"), at(parameters, "/name")),
            group => format!(
                "{}.{group}/{}",
                at(parameters, "/kind"),
                at(parameters, "/name")
            ),
        },
    };
    vec![
        at(object, "/spec/controller").into(),
        parameters.into(),
        age(object, now),
    ]
}

/// NetworkPolicy.
pub(super) fn network_policy(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        selector(object.pointer("/spec/podSelector")).into(),
        age(object, now),
    ]
}

/// IPAddress.
pub(super) fn ip_address(object: &Value, _now: Timestamp) -> Vec<Value> {
    let parent = ["resource", "namespace", "name"]
        .map(|field| at(object, &format!("/spec/parentRef/{field}")));
    let parts: Vec<&str> = parent.into_iter().filter(|part| !part.is_empty()).collect();
    vec![parts.join("/").into()]
}

/// ServiceCIDR.
pub(super) fn service_cidr(object: &Value, now: Timestamp) -> Vec<Value> {
    let cidrs: Vec<&str> = list(object, "/spec/cidrs")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    vec![cidrs.join(",").into(), age(object, now)]
}
