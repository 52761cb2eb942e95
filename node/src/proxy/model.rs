//! What the rules are about: each port of each service, and the endpoints behind it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

/// The label that ties a slice to its service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The label of services that another proxy serves.
const OTHER_PROXY: &str = "service.kubernetes.io/service-proxy-name";

/// An endpoint's address and port.
pub type Target = (Ipv4Addr, u16);

/// One port of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServicePort {
    /// `namespace/name:port`, for people.
    pub name: String,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: &'static str,
    /// The service's own addresses, reached from inside the cluster.
    pub internal: BTreeSet<Ipv4Addr>,
    /// Its addresses for the world outside.
    pub external: BTreeSet<Ipv4Addr>,
    /// The port at those addresses.
    pub port: u16,
    /// The port at every node's address.
    pub node_port: Option<u16>,
    /// Where traffic from inside may go.
    pub cluster_targets: BTreeSet<Target>,
    /// Where traffic from outside may go.
    pub external_targets: BTreeSet<Target>,
    /// Traffic from outside stays on its node, and keeps its source.
    pub external_local: bool,
}

/// Every service port, by namespace, name and port name.
pub fn service_ports(
    services: &[Arc<Service>],
    slices: &[Arc<EndpointSlice>],
    node: &str,
) -> BTreeMap<(String, String, String), ServicePort> {
    let mut by_service: BTreeMap<(&str, &str), Vec<&EndpointSlice>> = BTreeMap::new();
    for slice in slices.iter().filter(|s| s.address_type == "IPv4") {
        let name = slice
            .metadata
            .labels
            .as_ref()
            .and_then(|l| l.get(SERVICE_NAME));
        if let (Some(namespace), Some(name)) = (slice.metadata.namespace.as_deref(), name) {
            by_service.entry((namespace, name)).or_default().push(slice);
        }
    }
    let mut out = BTreeMap::new();
    for service in services {
        let Some(spec) = served(service) else {
            continue;
        };
        let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
        let name = service.metadata.name.as_deref().unwrap_or_default();
        let slices = by_service
            .get(&(namespace, name))
            .map(Vec::as_slice)
            .unwrap_or_default();
        for port in spec.ports.iter().flatten() {
            let port_name = port.name.clone().unwrap_or_default();
            let protocol = match port.protocol.as_deref() {
                Some("UDP") => "udp",
                Some("SCTP") => "sctp",
                _ => "tcp",
            };
            let Ok(number) = u16::try_from(port.port) else {
                continue;
            };
            let all = targets(slices, &port_name, None);
            let local = targets(slices, &port_name, Some(node));
            let external_local = spec.external_traffic_policy.as_deref() == Some("Local");
            let internal_local = spec.internal_traffic_policy.as_deref() == Some("Local");
            let entry = ServicePort {
                name: format!("{namespace}/{name}:{port_name}"),
                protocol,
                internal: addresses(spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip)),
                external: external(service, spec),
                port: number,
                node_port: port
                    .node_port
                    .and_then(|p| u16::try_from(p).ok())
                    .filter(|p| *p > 0),
                cluster_targets: if internal_local {
                    local.clone()
                } else {
                    all.clone()
                },
                external_targets: if external_local { local } else { all },
                external_local,
            };
            out.insert((namespace.to_owned(), name.to_owned(), port_name), entry);
        }
    }
    out
}

/// The specification of a service that this proxy serves.
fn served(service: &Service) -> Option<&ServiceSpec> {
    let spec = service.spec.as_ref()?;
    let of_other = service
        .metadata
        .labels
        .as_ref()
        .is_some_and(|l| l.contains_key(OTHER_PROXY));
    let is_external = spec.type_.as_deref() == Some("ExternalName");
    let has_address = spec
        .cluster_ip
        .as_deref()
        .is_some_and(|ip| !ip.is_empty() && ip != "None");
    (!of_other && !is_external && has_address).then_some(spec)
}

fn external(service: &Service, spec: &ServiceSpec) -> BTreeSet<Ipv4Addr> {
    let balancers = service
        .status
        .iter()
        .filter_map(|s| s.load_balancer.as_ref()?.ingress.as_ref())
        .flatten();
    let balancers = balancers
        .filter(|i| i.ip_mode.as_deref() != Some("Proxy"))
        .filter_map(|i| i.ip.as_ref());
    addresses(spec.external_ips.iter().flatten().chain(balancers))
}

fn addresses<'a>(texts: impl Iterator<Item = &'a String>) -> BTreeSet<Ipv4Addr> {
    texts.filter_map(|text| text.parse().ok()).collect()
}

/// The endpoints of a port: those that are ready, or where there are none, those that still serve
/// while they end. With `node`, only those on it.
fn targets(slices: &[&EndpointSlice], port_name: &str, node: Option<&str>) -> BTreeSet<Target> {
    let collect = |usable: fn(&Endpoint) -> bool| {
        let mut out = BTreeSet::new();
        for slice in slices {
            let ports = slice.ports.iter().flatten();
            let ports = ports.filter(|p| p.name.as_deref().unwrap_or_default() == port_name);
            let Some(port) = ports.filter_map(|p| u16::try_from(p.port?).ok()).next() else {
                continue;
            };
            let here = |e: &&Endpoint| node.is_none() || e.node_name.as_deref() == node;
            for endpoint in slice
                .endpoints
                .iter()
                .flatten()
                .filter(here)
                .filter(|e| usable(e))
            {
                out.extend(
                    endpoint
                        .addresses
                        .iter()
                        .filter_map(|a| a.parse().ok())
                        .map(|ip| (ip, port)),
                );
            }
        }
        out
    };
    let ready = collect(|e| e.conditions.as_ref().is_none_or(|c| c.ready != Some(false)));
    if !ready.is_empty() {
        return ready;
    }
    collect(|e| {
        let conditions = e.conditions.as_ref();
        conditions.is_some_and(|c| c.terminating == Some(true) && c.serving != Some(false))
    })
}
