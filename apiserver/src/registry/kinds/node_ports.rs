//! The ports that Services have on every node: one bitmap in the store for all of them.
//!
//! The bitmap changes by compare-and-swap, in the same transaction as the Service.

use std::collections::{BTreeSet, HashMap};

use api_meta::Cause;
use api_meta::kinds::Kinds;
use api_meta::status::Status;
use bytes::Bytes;
use serde_json::Value;

use super::port_range::{self, PortRange};
use super::service::{invalid, kind_of, needs_node_ports};
use crate::registry::options::ListOptions;
use crate::registry::selection::Selection;
use crate::registry::service::Registry;
use crate::registry::{refusals, tree};
use crate::storage::{Guarded, Step};

/// Where the bitmap lies, as upstream's.
const KEY: &[u8] = b"/registry/ranges/servicenodeports";
const HEALTH: &str = "healthCheckNodePort";

/// The ports that a Service has been given.
fn ports(service: &Value) -> BTreeSet<u16> {
    let listed = tree::array(service, "/spec/ports").iter();
    let mut ports: BTreeSet<u16> = listed
        .filter_map(|item| port(item.get("nodePort")))
        .collect();
    ports.extend(health_port(service));
    ports
}

fn health_port(service: &Value) -> Option<u16> {
    port(service.pointer(&format!("/spec/{HEALTH}")))
}

fn port(value: Option<&Value>) -> Option<u16> {
    let port = u16::try_from(value?.as_u64()?).ok()?;
    (port != 0).then_some(port)
}

/// Ports that the request leaves out stay those of the old Service.
pub(super) fn keep(new: &mut Value, old: &Value) {
    if !needs_node_ports(old) {
        return;
    }
    let given: HashMap<_, _> = tree::array(old, "/spec/ports")
        .iter()
        .filter_map(|item| Some((identity(item), item.get("nodePort")?.clone())))
        .collect();
    let needs = needs_node_ports(new);
    let asked = ports(new);
    let Some(list) = new.pointer_mut("/spec/ports").and_then(Value::as_array_mut) else {
        return;
    };
    for item in list {
        let own = item.get("nodePort").and_then(Value::as_u64).unwrap_or(0);
        let before = given.get(&identity(item));
        let Value::Object(item) = item else { continue };
        if needs && own == 0 {
            let is_taken = |port: &Value| {
                port.as_u64()
                    .and_then(|p| u16::try_from(p).ok())
                    .is_some_and(|p| asked.contains(&p))
            };
            if let Some(before) = before.filter(|port| !is_taken(port)) {
                item.insert("nodePort".into(), before.clone());
            }
        } else if !needs && kind_of_is_cluster(own, before) {
            // The type changed to one without node ports, and the port is only carried along.
            item.remove("nodePort");
        }
    }
}

fn kind_of_is_cluster(own: u64, before: Option<&Value>) -> bool {
    before.and_then(Value::as_u64) == Some(own)
}

fn identity(item: &Value) -> (String, String) {
    let protocol = item
        .get("protocol")
        .and_then(Value::as_str)
        .unwrap_or("TCP")
        .to_owned();
    (
        protocol,
        item.get("port").map(Value::to_string).unwrap_or_default(),
    )
}

/// Gives a Service the ports that it lacks and takes back those that it lost.
pub(super) async fn give(
    registry: &Registry,
    service: &mut Value,
    old: &Value,
) -> Result<Vec<Guarded>, Status> {
    let had = ports(old);
    let needs = needs_node_ports(service);
    let needs_health = kind_of(service) == "LoadBalancer"
        && tree::text(service, "/spec/externalTrafficPolicy") == "Local";
    let asked = ports(service);
    let lacks = needs && lacks_any(service);
    let lacks_health =
        needs_health && tree::number(service, &format!("/spec/{HEALTH}")).unwrap_or(0) == 0;
    if asked == had && !lacks && !lacks_health {
        return Ok(Vec::new());
    }
    let (mut range, revision) = read(registry).await?;
    claim(&mut range, service, &had)?;
    if lacks {
        let list = service
            .pointer_mut("/spec/ports")
            .and_then(Value::as_array_mut);
        for item in list.into_iter().flatten() {
            if item.get("nodePort").and_then(Value::as_u64).unwrap_or(0) == 0 {
                let port = range.free()?;
                if let Value::Object(item) = item {
                    item.insert("nodePort".into(), port.into());
                }
            }
        }
    }
    if lacks_health {
        let port = range.free()?;
        tree::child(service, "spec").insert(HEALTH.into(), port.into());
    }
    let has = ports(service);
    for lost in had.difference(&has) {
        range.release(*lost);
    }
    Ok(vec![write(&range, revision)?])
}

/// Takes the ports that a Service asks for and does not have yet.
fn claim(range: &mut PortRange, service: &Value, had: &BTreeSet<u16>) -> Result<(), Status> {
    let mut own = had.clone();
    for (place, item) in tree::array(service, "/spec/ports").iter().enumerate() {
        // Two protocols may share one number.
        let Some(port) = port(item.get("nodePort")).filter(|port| own.insert(*port)) else {
            continue;
        };
        range.claim(port).map_err(|why| {
            let field = format!("spec.ports[{place}].nodePort");
            invalid(service, Cause::invalid(field, i64::from(port), &why))
        })?;
    }
    if let Some(port) = health_port(service).filter(|port| own.insert(*port)) {
        range.claim(port).map_err(|why| {
            Status::internal(format!(
                "failed to allocate requested HealthCheck NodePort {port}: {why}"
            ))
        })?;
    }
    Ok(())
}

/// Takes back all ports of a Service.
pub(super) async fn take_back(
    registry: &Registry,
    service: &Value,
) -> Result<Vec<Guarded>, Status> {
    let had = ports(service);
    if had.is_empty() {
        return Ok(Vec::new());
    }
    let (mut range, revision) = read(registry).await?;
    for port in had {
        range.release(port);
    }
    Ok(vec![write(&range, revision)?])
}

fn lacks_any(service: &Value) -> bool {
    let lacks = |item: &Value| item.get("nodePort").and_then(Value::as_u64).unwrap_or(0) == 0;
    tree::array(service, "/spec/ports").iter().any(lacks)
}

/// The bitmap as it is, with the revision to write it at.
async fn read(registry: &Registry) -> Result<(PortRange, i64), Status> {
    let ends = registry.services().node_ports;
    let read = registry
        .etcd()
        .get(KEY)
        .await
        .map_err(|error| refusals::of_store(&error))?;
    let Some(kv) = read.kv else {
        return Ok((PortRange::new(ends, Vec::new()), 0));
    };
    let (name, bits) = port_range::stored(&kv.value)?;
    if name.is_empty() || name == PortRange::name(ends) {
        return Ok((PortRange::new(ends, bits), kv.mod_revision));
    }
    // The bitmap of another range says nothing of this one; the Services themselves do. Whoever
    // takes a port after this list was read changes the bitmap, and then its revision is not ours.
    let taken = all_ports(registry).await?;
    tracing::info!(stored = name, wanted = %PortRange::name(ends), "node ports are counted anew for another range");
    Ok((PortRange::of(ends, taken.into_iter()), kv.mod_revision))
}

/// The ports of all Services.
async fn all_ports(registry: &Registry) -> Result<BTreeSet<u16>, Status> {
    let services = Kinds::builtin()
        .by_resource("", "v1", "services")
        .expect("the table of built-in kinds has it, and a test reads the table");
    let everything = (Selection::everything(""), ListOptions::everything());
    let list = registry
        .list(services, &everything.0, &everything.1)
        .await?;
    let mut taken = BTreeSet::new();
    for object in list.items {
        taken.extend(ports(&object.value()?));
    }
    Ok(taken)
}

fn write(range: &PortRange, revision: i64) -> Result<Guarded, Status> {
    Ok(Guarded {
        key: Bytes::from_static(KEY),
        expected: revision,
        step: Step::Put {
            value: range.encode()?,
            lease: 0,
        },
    })
}
