//! Decides which slices a Service needs and which of those that exist change least on the way there. Pure.

mod made;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use client::store::Key;
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use kube::core::ObjectMeta;

use self::made::{blank, endpoint, ports};
use crate::services::is_candidate;

/// Endpoints in one slice, as upstream's default.
pub(super) const ENDPOINTS_MAX: usize = 100;
const MANAGER: &str = "endpointslice-controller.k8s.io";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const SERVICE_NAME: &str = "kubernetes.io/service-name";
const HEADLESS: &str = "service.kubernetes.io/headless";

/// What a plan is made from.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) service: Arc<Service>,
    /// The pods that the Service selects.
    pub(super) pods: Vec<Arc<Pod>>,
    /// The zones of the nodes that exist.
    pub(super) zones: BTreeMap<String, Option<String>>,
    /// The slices of this manager that are not being deleted.
    pub(super) slices: Vec<Arc<EndpointSlice>>,
}

/// What to do.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Plan {
    pub(super) create: Vec<EndpointSlice>,
    pub(super) update: Vec<EndpointSlice>,
    pub(super) delete: Vec<Arc<EndpointSlice>>,
}

/// Whether this controller made the slice.
pub(super) fn is_managed(slice: &EndpointSlice) -> bool {
    label(slice, MANAGED_BY) == Some(MANAGER)
}

/// The Service of a slice.
pub(super) fn service_of(slice: &EndpointSlice) -> Option<Key> {
    let name = label(slice, SERVICE_NAME)?;
    Some(Key::new(
        slice.metadata.namespace.clone().unwrap_or_default(),
        name,
    ))
}

/// The zone of a node.
pub(super) fn zone(node: &Node) -> Option<&str> {
    node.metadata
        .labels
        .as_ref()?
        .get("topology.kubernetes.io/zone")
        .map(String::as_str)
}

fn label<'a>(slice: &'a EndpointSlice, key: &str) -> Option<&'a str> {
    slice.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

/// Makes the plan.
pub(super) fn plan(snapshot: &Snapshot) -> Plan {
    let families = families(&snapshot.service);
    let mut plan = Plan::default();
    for family in &families {
        let of_family = snapshot
            .slices
            .iter()
            .filter(|slice| slice.address_type == *family);
        plan_family(snapshot, family, of_family.cloned().collect(), &mut plan);
    }
    let others = snapshot
        .slices
        .iter()
        .filter(|slice| !families.contains(&slice.address_type));
    plan.delete.extend(others.cloned());
    plan
}

/// The address types of the Service.
fn families(service: &Service) -> BTreeSet<String> {
    let spec = service.spec.as_ref();
    let given: BTreeSet<String> = spec
        .iter()
        .flat_map(|spec| spec.ip_families.iter().flatten().cloned())
        .collect();
    if !given.is_empty() {
        return given;
    }
    let ip = spec
        .and_then(|spec| spec.cluster_ip.as_deref())
        .and_then(|ip| ip.parse().ok());
    match ip {
        Some(IpAddr::V6(_)) => BTreeSet::from(["IPv6".to_owned()]),
        _ => BTreeSet::from(["IPv4".to_owned()]),
    }
}

type Ports = Vec<EndpointPort>;

fn plan_family(
    snapshot: &Snapshot,
    family: &str,
    existing: Vec<Arc<EndpointSlice>>,
    plan: &mut Plan,
) {
    let service = &snapshot.service;
    let (owned, mut delete): (Vec<_>, Vec<_>) = existing
        .iter()
        .cloned()
        .partition(|slice| is_owned(slice, service));
    // Pods can differ in what a named port is; each set of ports has its own slices.
    let mut wanted: Vec<(Ports, Vec<Endpoint>)> = Vec::new();
    for pod in snapshot.pods.iter().filter(|pod| is_candidate(pod)) {
        let Some(endpoint) = endpoint(snapshot, pod, family) else {
            continue;
        };
        let ports = ports(service, pod);
        match wanted.iter_mut().find(|(known, _)| *known == ports) {
            Some((_, endpoints)) => endpoints.push(endpoint),
            None => wanted.push((ports, vec![endpoint])),
        }
    }
    let mut used = BTreeSet::new();
    let (mut create, mut update) = (Vec::new(), Vec::new());
    for (ports, endpoints) in wanted {
        let same_ports = |slice: &&Arc<EndpointSlice>| {
            same_ports(slice.ports.as_deref().unwrap_or_default(), &ports)
        };
        let own: Vec<Arc<EndpointSlice>> = owned.iter().filter(same_ports).cloned().collect();
        used.extend(own.iter().filter_map(|slice| slice.metadata.name.clone()));
        let blank = blank(service, family, ports);
        fill(blank, own, endpoints, &mut create, &mut update, &mut delete);
    }
    let unused = owned.into_iter().filter(|slice| {
        !slice
            .metadata
            .name
            .as_ref()
            .is_some_and(|name| used.contains(name))
    });
    delete.extend(unused);
    if delete.len() == existing.len() && create.is_empty() && update.is_empty() {
        // A Service without endpoints keeps one empty slice, so that watchers know it as served.
        let blank = blank(service, family, Vec::new());
        let is_there = |slice: &Arc<EndpointSlice>| {
            is_owned(slice, service)
                && slice.endpoints.as_deref().unwrap_or_default().is_empty()
                && slice.ports.as_deref().unwrap_or_default().is_empty()
                && slice.metadata.labels == blank.metadata.labels
        };
        match delete.iter().position(is_there) {
            Some(place) => {
                delete.remove(place);
            }
            None => create.push(blank),
        }
    }
    reuse(&mut create, &mut update, &mut delete, service);
    plan.create.extend(create);
    plan.update.extend(update);
    plan.delete.extend(delete);
}

/// Turns pairs of a deletion and a creation into updates: cheaper for every watcher.
fn reuse(
    create: &mut Vec<EndpointSlice>,
    update: &mut Vec<EndpointSlice>,
    delete: &mut Vec<Arc<EndpointSlice>>,
    service: &Service,
) {
    let mut kept = Vec::new();
    for old in delete.drain(..) {
        match create.pop() {
            Some(mut new) if is_owned(&old, service) => {
                let labels = new.metadata.labels.take();
                new.metadata = ObjectMeta {
                    labels,
                    ..old.metadata.clone()
                };
                update.push(new);
            }
            other => {
                create.extend(other);
                kept.push(old);
            }
        }
    }
    *delete = kept;
}

/// Spreads endpoints over the slices of one set of ports: what is right stays, changed slices are filled first, then one
/// that has room for all of the rest, then new ones.
fn fill(
    blank: EndpointSlice,
    existing: Vec<Arc<EndpointSlice>>,
    wanted: Vec<Endpoint>,
    create: &mut Vec<EndpointSlice>,
    update: &mut Vec<EndpointSlice>,
    delete: &mut Vec<Arc<EndpointSlice>>,
) {
    let mut wanted: BTreeMap<Identity, Endpoint> = wanted
        .into_iter()
        .map(|endpoint| (identity(&endpoint), endpoint))
        .collect();
    let (mut changed, mut unchanged) = (Vec::new(), Vec::new());
    for slice in existing {
        let old = slice.endpoints.clone().unwrap_or_default();
        let kept: Vec<Endpoint> = old
            .iter()
            .filter_map(|endpoint| wanted.remove(&identity(endpoint)))
            .collect();
        let is_same = kept == old && slice.metadata.labels == blank.metadata.labels;
        if is_same {
            unchanged.push(slice);
        } else if kept.is_empty() {
            delete.push(slice);
        } else {
            let mut slice = slice.as_ref().clone();
            slice.endpoints = Some(kept);
            slice.metadata.labels = blank.metadata.labels.clone();
            changed.push(slice);
        }
    }
    let mut rest: Vec<Endpoint> = wanted.into_values().collect();
    changed.sort_by_key(|slice| std::cmp::Reverse(length(slice)));
    for slice in &mut changed {
        top_up(slice, &mut rest);
    }
    while !rest.is_empty() {
        let with_room = unchanged
            .iter()
            .enumerate()
            .filter(|(_, slice)| length(slice) + rest.len() <= ENDPOINTS_MAX)
            .max_by_key(|(_, slice)| length(slice))
            .map(|(place, _)| place);
        let mut slice = match with_room {
            Some(place) => unchanged.remove(place).as_ref().clone(),
            None => blank.clone(),
        };
        top_up(&mut slice, &mut rest);
        if with_room.is_some() {
            changed.push(slice)
        } else {
            create.push(slice)
        }
    }
    update.extend(changed);
}

fn length(slice: &EndpointSlice) -> usize {
    slice.endpoints.as_ref().map_or(0, Vec::len)
}

fn top_up(slice: &mut EndpointSlice, rest: &mut Vec<Endpoint>) {
    let room = ENDPOINTS_MAX.saturating_sub(length(slice));
    let taken = rest.drain(..room.min(rest.len()));
    slice.endpoints.get_or_insert_default().extend(taken);
}

type Identity = (Vec<String>, Option<String>, Option<String>);

/// What makes an endpoint the same one although its state changes.
fn identity(endpoint: &Endpoint) -> Identity {
    let target = endpoint
        .target_ref
        .as_ref()
        .and_then(|target| target.name.clone());
    (
        endpoint.addresses.clone(),
        endpoint.hostname.clone(),
        target,
    )
}

fn same_ports(a: &[EndpointPort], b: &[EndpointPort]) -> bool {
    a.len() == b.len() && a.iter().all(|port| b.contains(port))
}

fn is_owned(slice: &EndpointSlice, service: &Service) -> bool {
    let mut owners = slice.metadata.owner_references.iter().flatten();
    owners.any(|owner| Some(&owner.uid) == service.metadata.uid.as_ref() && owner.kind == "Service")
}

#[cfg(test)]
mod tests;
