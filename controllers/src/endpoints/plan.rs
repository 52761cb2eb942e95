//! The Endpoints that a Service should have. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    EndpointAddress, EndpointPort, EndpointSubset, Endpoints, ObjectReference, Pod, Service,
};

use crate::pods;
use crate::services::{
    addresses, hostname, is_candidate, is_headless, protocol, publishes_unready, target_port,
};

/// Addresses in one object, as upstream's.
const ADDRESSES_MAX: usize = 1000;
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";
const HEADLESS: &str = "service.kubernetes.io/headless";
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";

/// Whether this controller made the object.
pub(super) fn is_managed(endpoints: &Endpoints) -> bool {
    let labels = endpoints.metadata.labels.as_ref();
    labels
        .and_then(|all| all.get(MANAGED_BY))
        .is_some_and(|manager| manager == MANAGER)
}

/// The wanted object, if it differs from the current one.
pub(super) fn plan(
    service: &Service,
    pods: &[Arc<Pod>],
    current: Option<&Endpoints>,
) -> Option<Endpoints> {
    let mut wanted = current.cloned().unwrap_or_default();
    wanted.metadata.name = service.metadata.name.clone();
    wanted.metadata.namespace = service.metadata.namespace.clone();
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    if is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    } else {
        labels.remove(HEADLESS);
    }
    wanted.metadata.labels = Some(labels);
    let (subsets, is_truncated) = subsets(service, pods);
    wanted.subsets = (!subsets.is_empty()).then_some(subsets);
    let annotations = wanted.metadata.annotations.get_or_insert_default();
    if is_truncated {
        annotations.insert(OVER_CAPACITY.to_owned(), "truncated".to_owned());
    } else {
        annotations.remove(OVER_CAPACITY);
    }
    if annotations.is_empty() {
        wanted.metadata.annotations = None;
    }
    let is_same = current.is_some_and(|current| {
        current.subsets.as_deref().unwrap_or_default()
            == wanted.subsets.as_deref().unwrap_or_default()
            && current.metadata.labels == wanted.metadata.labels
            && current.metadata.annotations == wanted.metadata.annotations
    });
    (!is_same).then_some(wanted)
}

type Group = (
    Vec<EndpointPort>,
    Vec<EndpointAddress>,
    Vec<EndpointAddress>,
);

/// One subset for each set of ports, in a fixed order, and whether some addresses had no room.
fn subsets(service: &Service, pods: &[Arc<Pod>]) -> (Vec<EndpointSubset>, bool) {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    let mut chosen: Vec<(bool, EndpointAddress, Vec<EndpointPort>)> = Vec::new();
    let is_wanted = |pod: &&Arc<Pod>| {
        is_candidate(pod) && (!pods::is_terminating(pod) || publishes_unready(service))
    };
    for pod in pods.iter().filter(is_wanted) {
        let Some(address) = address(service, pod) else {
            continue;
        };
        let ports = ports(service, pod);
        let has_ports = service
            .spec
            .as_ref()
            .is_some_and(|s| s.ports.iter().flatten().next().is_some());
        if has_ports && ports.is_empty() {
            continue;
        }
        chosen.push((
            pods::is_ready(pod) || publishes_unready(service),
            address,
            ports,
        ));
    }
    // Ready ones first, if there is no room for all.
    chosen.sort_by(|a, b| (!a.0, &a.1.ip).cmp(&(!b.0, &b.1.ip)));
    let is_truncated = chosen.len() > ADDRESSES_MAX;
    chosen.truncate(ADDRESSES_MAX);
    for (is_ready, address, ports) in chosen {
        let name =
            |port: &EndpointPort| format!("{:?}/{:?}/{}", port.name, port.protocol, port.port);
        let key = ports.iter().map(name).collect::<Vec<_>>().join(",");
        let group = groups
            .entry(key)
            .or_insert_with(|| (ports, Vec::new(), Vec::new()));
        if is_ready {
            group.1.push(address)
        } else {
            group.2.push(address)
        }
    }
    let some = |list: Vec<EndpointAddress>| (!list.is_empty()).then_some(list);
    let subsets = groups
        .into_values()
        .map(|(ports, ready, not_ready)| EndpointSubset {
            addresses: some(ready),
            not_ready_addresses: some(not_ready),
            ports: (!ports.is_empty()).then_some(ports),
        });
    (subsets.collect(), is_truncated)
}

fn address(service: &Service, pod: &Pod) -> Option<EndpointAddress> {
    let families = service
        .spec
        .as_ref()
        .and_then(|spec| spec.ip_families.as_ref());
    let is_six = families
        .and_then(|all| all.first())
        .is_some_and(|family| family == "IPv6");
    let ip = addresses(pod)
        .into_iter()
        .find(|ip| ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6() == is_six))?;
    let node = pods::node(pod);
    Some(EndpointAddress {
        ip: ip.to_owned(),
        hostname: hostname(service, pod),
        node_name: Some(node.to_owned()).filter(|name| !name.is_empty()),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectReference::default()
        }),
    })
}

fn ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let all = service
        .spec
        .iter()
        .flat_map(|spec| spec.ports.iter().flatten());
    let found = all.filter_map(|port| {
        Some(EndpointPort {
            name: port.name.clone().filter(|name| !name.is_empty()),
            port: target_port(pod, port)?,
            protocol: Some(protocol(port).to_owned()),
            app_protocol: port.app_protocol.clone(),
        })
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use k8s_openapi::api::core::v1::{
        Pod, PodCondition, PodIP, PodStatus, Service, ServicePort, ServiceSpec,
    };

    use super::{is_managed, plan};

    fn pod(ip: &str, is_ready: bool) -> Arc<Pod> {
        let ready = PodCondition {
            type_: "Ready".into(),
            status: if is_ready { "True" } else { "False" }.into(),
            ..PodCondition::default()
        };
        Arc::new(Pod {
            status: Some(PodStatus {
                phase: Some("Running".into()),
                pod_ips: Some(vec![PodIP { ip: ip.into() }]),
                conditions: Some(vec![ready]),
                ..PodStatus::default()
            }),
            ..Pod::default()
        })
    }

    fn service() -> Service {
        Service {
            spec: Some(ServiceSpec {
                cluster_ip: Some("10.0.0.1".into()),
                ports: Some(vec![ServicePort {
                    port: 80,
                    ..ServicePort::default()
                }]),
                ..ServiceSpec::default()
            }),
            ..Service::default()
        }
    }

    #[test]
    fn pods_are_grouped_and_a_second_look_changes_nothing() {
        let pods = [
            pod("10.1.0.2", true),
            pod("10.1.0.1", true),
            pod("10.1.0.3", false),
        ];
        let made = plan(&service(), &pods, None).unwrap();
        assert!(is_managed(&made));
        let subset = &made.subsets.as_ref().unwrap()[0];
        let ips: Vec<&str> = subset
            .addresses
            .as_ref()
            .unwrap()
            .iter()
            .map(|one| one.ip.as_str())
            .collect();
        assert_eq!(ips, ["10.1.0.1", "10.1.0.2"]);
        assert_eq!(subset.not_ready_addresses.as_ref().unwrap().len(), 1);
        assert_eq!(subset.ports.as_ref().unwrap()[0].port, 80);
        assert_eq!(plan(&service(), &pods, Some(&made)), None);
        let emptied = plan(&service(), &[], Some(&made)).unwrap();
        assert_eq!(emptied.subsets, None);
    }

    #[test]
    fn a_thousand_addresses_at_most_and_ready_ones_first() {
        let many: Vec<Arc<Pod>> = (0..1100)
            .map(|n| pod(&format!("10.2.{}.{}", n / 250, n % 250), n >= 200))
            .collect();
        let made = plan(&service(), &many, None).unwrap();
        let subset = &made.subsets.as_ref().unwrap()[0];
        assert_eq!(subset.addresses.as_ref().unwrap().len(), 900);
        assert_eq!(subset.not_ready_addresses.as_ref().unwrap().len(), 100);
        assert!(made.metadata.annotations.is_some());
    }
}
