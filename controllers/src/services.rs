//! What the controllers of endpoints share: which pods a Service means, and on which ports and addresses. Pure.

use std::collections::BTreeMap;

use client::store::Key;
use client::{Delta, Queue, Store};
use k8s_openapi::api::core::v1::{Container, Pod, PodStatus, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::pods;

type Labels = BTreeMap<String, String>;

/// Whether the controllers make endpoints for the Service: it has a selector, and is no mere name.
pub(crate) fn is_served(service: &Service) -> bool {
    let Some(spec) = &service.spec else {
        return false;
    };
    spec.selector.is_some() && spec.type_.as_deref() != Some("ExternalName")
}

/// Whether the Service means pods with these labels.
pub(crate) fn selects(service: &Service, labels: Option<&Labels>) -> bool {
    let selector = service
        .spec
        .as_ref()
        .and_then(|spec| spec.selector.as_ref());
    selector.is_some_and(|wanted| {
        wanted
            .iter()
            .all(|(key, value)| labels.and_then(|all| all.get(key)) == Some(value))
    })
}

/// Whether the Service has no address of its own.
pub(crate) fn is_headless(service: &Service) -> bool {
    let ip = service
        .spec
        .as_ref()
        .and_then(|spec| spec.cluster_ip.as_deref());
    matches!(ip, None | Some("" | "None"))
}

/// Whether the Service wants pods that are not ready, too.
pub(crate) fn publishes_unready(service: &Service) -> bool {
    let spec = service.spec.as_ref();
    spec.and_then(|spec| spec.publish_not_ready_addresses)
        .unwrap_or(false)
}

/// The pod's addresses.
pub(crate) fn addresses(pod: &Pod) -> Vec<&str> {
    let Some(status) = &pod.status else {
        return Vec::new();
    };
    let all: Vec<&str> = status
        .pod_ips
        .iter()
        .flatten()
        .map(|ip| ip.ip.as_str())
        .filter(|ip| !ip.is_empty())
        .collect();
    match (&status.pod_ip, all.is_empty()) {
        (Some(ip), true) if !ip.is_empty() => vec![ip],
        _ => all,
    }
}

/// Whether the pod can be an endpoint at all.
pub(crate) fn is_candidate(pod: &Pod) -> bool {
    !pods::is_finished(pod) && !addresses(pod).is_empty()
}

/// The name by which DNS finds the pod under the Service.
pub(crate) fn hostname(service: &Service, pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let is_sub = spec.subdomain.is_some() && spec.subdomain == service.metadata.name;
    spec.hostname
        .clone()
        .filter(|name| is_sub && !name.is_empty())
}

/// The port of the pod that a port of the Service leads to.
pub(crate) fn target_port(pod: &Pod, port: &ServicePort) -> Option<i32> {
    let name = match &port.target_port {
        None => return Some(port.port),
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(name)) => name,
    };
    let spec = pod.spec.as_ref()?;
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|one| one.restart_policy.as_deref() == Some("Always"));
    let mut containers = spec.containers.iter().chain(sidecars);
    containers.find_map(|container| named_port(container, name, protocol(port)))
}

fn named_port(container: &Container, name: &str, wanted: &str) -> Option<i32> {
    let mut ports = container.ports.iter().flatten();
    let found = ports.find(|port| {
        port.name.as_deref() == Some(name) && port.protocol.as_deref().unwrap_or("TCP") == wanted
    });
    found.map(|port| port.container_port)
}

/// The protocol of a port.
pub(crate) fn protocol(port: &ServicePort) -> &str {
    port.protocol.as_deref().unwrap_or("TCP")
}

/// Wakes the Services that mean a pod, now or before, when something of it changed that shows in endpoints.
pub(crate) fn wake_for_pod(queue: &Queue<Key>, services: &Store<Service>, delta: &Delta<'_, Pod>) {
    let new = delta.object().as_ref();
    if let Some(old) = delta.old()
        && !has_changed(old, new)
    {
        return;
    }
    let old = delta.old().and_then(|old| old.metadata.labels.as_ref());
    let namespace = new.metadata.namespace.as_deref().unwrap_or_default();
    for service in services.list_namespace(namespace) {
        if selects(&service, new.metadata.labels.as_ref()) || selects(&service, old) {
            queue.add(Key::of(service.as_ref()));
        }
    }
}

fn has_changed(old: &Pod, new: &Pod) -> bool {
    let ips = |status: &Option<PodStatus>| {
        status
            .as_ref()
            .map(|status| (status.pod_ip.clone(), status.pod_ips.clone()))
    };
    let names = |pod: &Pod| {
        pod.spec
            .as_ref()
            .map(|spec| (spec.hostname.clone(), spec.subdomain.clone()))
    };
    old.metadata.labels != new.metadata.labels
        || pods::is_terminating(old) != pods::is_terminating(new)
        || pods::is_finished(old) != pods::is_finished(new)
        || pods::is_ready(old) != pods::is_ready(new)
        || pods::node(old) != pods::node(new)
        || ips(&old.status) != ips(&new.status)
        || names(old) != names(new)
}
