//! What slices are made of: endpoints out of pods, ports, and slices without endpoints. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{ObjectReference, Pod, Service};
use k8s_openapi::api::discovery::v1::{
    Endpoint, EndpointConditions, EndpointHints, EndpointPort, EndpointSlice, ForNode, ForZone,
};
use kube::core::ObjectMeta;

use super::{HEADLESS, MANAGED_BY, MANAGER, Ports, SERVICE_NAME, Snapshot};
use crate::owners::controller_reference;
use crate::pods;
use crate::services::{addresses, hostname, is_headless, protocol, publishes_unready, target_port};

/// The endpoint of a pod in one address family, unless it has none to offer.
pub(super) fn endpoint(snapshot: &Snapshot, pod: &Pod, family: &str) -> Option<Endpoint> {
    let service = &snapshot.service;
    let is_wanted = |ip: &&str| {
        ip.parse::<IpAddr>()
            .is_ok_and(|ip| ip.is_ipv6() == (family == "IPv6"))
    };
    let addresses: Vec<String> = addresses(pod)
        .into_iter()
        .filter(is_wanted)
        .map(str::to_owned)
        .collect();
    let node = pods::node(pod);
    let is_known = snapshot.zones.contains_key(node);
    if addresses.is_empty() || (!is_known && !publishes_unready(service)) {
        return None;
    }
    let (serving, terminating) = (pods::is_ready(pod), pods::is_terminating(pod));
    let ready = publishes_unready(service) || (serving && !terminating);
    let meta = &pod.metadata;
    let mut endpoint = Endpoint {
        addresses,
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
            ..ObjectReference::default()
        }),
        node_name: Some(node.to_owned()).filter(|name| !name.is_empty()),
        zone: snapshot.zones.get(node).cloned().flatten(),
        hostname: hostname(service, pod),
        ..Endpoint::default()
    };
    endpoint.hints = hints(service, &endpoint, ready);
    Some(endpoint)
}

/// The hints of `spec.trafficDistribution`: each ready endpoint serves its own zone, or its own node.
fn hints(service: &Service, endpoint: &Endpoint, ready: bool) -> Option<EndpointHints> {
    let wish = service.spec.as_ref()?.traffic_distribution.as_deref()?;
    if !ready || !["PreferClose", "PreferSameZone", "PreferSameNode"].contains(&wish) {
        return None;
    }
    let for_zones = endpoint.zone.clone().map(|name| vec![ForZone { name }]);
    let node = endpoint
        .node_name
        .clone()
        .filter(|_| wish == "PreferSameNode");
    let for_nodes = node.map(|name| vec![ForNode { name }]);
    (for_zones.is_some() || for_nodes.is_some()).then_some(EndpointHints {
        for_nodes,
        for_zones,
    })
}

/// The ports of the Service as the pod has them.
pub(super) fn ports(service: &Service, pod: &Pod) -> Ports {
    let spec = service.spec.as_ref();
    let all = spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let found = all.filter_map(|port| {
        Some(EndpointPort {
            // Go writes an unnamed port's name as an empty one, and never leaves it out.
            name: Some(port.name.clone().unwrap_or_default()),
            port: Some(target_port(pod, port)?),
            protocol: Some(protocol(port).to_owned()),
            app_protocol: port.app_protocol.clone(),
        })
    });
    found.collect()
}

/// A slice of the Service without endpoints.
pub(super) fn blank(service: &Service, family: &str, ports: Ports) -> EndpointSlice {
    let meta = &service.metadata;
    let name = meta.name.clone().unwrap_or_default();
    let is_reserved = |key: &String| [MANAGED_BY, SERVICE_NAME, HEADLESS].contains(&key.as_str());
    let own = meta
        .labels
        .iter()
        .flatten()
        .filter(|(key, _)| !is_reserved(key));
    let mut labels: BTreeMap<String, String> = own
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    labels.insert(SERVICE_NAME.to_owned(), name.clone());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    if is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    EndpointSlice {
        metadata: ObjectMeta {
            generate_name: Some(format!("{name}-")),
            namespace: meta.namespace.clone(),
            labels: Some(labels),
            owner_references: Some(vec![controller_reference("v1", "Service", meta)]),
            ..ObjectMeta::default()
        },
        address_type: family.to_owned(),
        endpoints: Some(Vec::new()),
        ports: Some(ports),
    }
}
