//! The ports that Services have on every node: one bitmap in the store for all of them.
//!
//! The bitmap changes by compare-and-swap, in the same transaction as the Service.

use std::collections::{BTreeSet, HashMap};

use api_meta::Cause;
use api_meta::status::Status;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use prost::Message as _;
use serde_json::{Value, json};

use super::service::{invalid, kind_of, needs_node_ports};
use crate::registry::service::Registry;
use crate::registry::{refusals, tree};
use crate::storage::{Guarded, Step, codec};

/// Where the bitmap lies, as upstream's.
const KEY: &[u8] = b"/registry/ranges/servicenodeports";
const HEALTH: &str = "healthCheckNodePort";

/// The ports that a Service has been given.
fn ports(service: &Value) -> BTreeSet<u16> {
    let port = |value: Option<&Value>| {
        value
            .and_then(Value::as_u64)
            .and_then(|port| u16::try_from(port).ok())
            .filter(|p| *p != 0)
    };
    let listed = tree::array(service, "/spec/ports").iter();
    let mut ports: BTreeSet<u16> = listed
        .filter_map(|item| port(item.get("nodePort")))
        .collect();
    ports.extend(port(service.pointer(&format!("/spec/{HEALTH}"))));
    ports
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
    let mut range = Range::read(registry).await?;
    for (place, port) in asked.difference(&had).enumerate() {
        range.claim(*port).map_err(|why| {
            let field = format!("spec.ports[{place}].nodePort");
            invalid(service, Cause::invalid(field, i64::from(*port), &why))
        })?;
    }
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
    Ok(vec![range.write()?])
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
    let mut range = Range::read(registry).await?;
    for port in had {
        range.release(port);
    }
    Ok(vec![range.write()?])
}

fn lacks_any(service: &Value) -> bool {
    let lacks = |item: &Value| item.get("nodePort").and_then(Value::as_u64).unwrap_or(0) == 0;
    tree::array(service, "/spec/ports").iter().any(lacks)
}

/// The stored range and bitmap: JSON from us, protobuf from a real kube-apiserver.
fn stored(value: &Bytes) -> Result<(String, Vec<u8>), Status> {
    if let Some(envelope) = value.strip_prefix(b"k8s\0") {
        let unknown = Unknown::decode(envelope).map_err(Status::internal)?;
        let found = Allocation::decode(&unknown.raw[..]).map_err(Status::internal)?;
        return Ok((found.range, found.data));
    }
    let object: Value = serde_json::from_slice(value).map_err(Status::internal)?;
    let bits = STANDARD
        .decode(tree::text(&object, "/data"))
        .map_err(Status::internal)?;
    Ok((tree::text(&object, "/range").to_owned(), bits))
}

/// The envelope of every protobuf object at rest.
#[derive(Clone, PartialEq, prost::Message)]
struct Unknown {
    #[prost(bytes = "vec", tag = "2")]
    raw: Vec<u8>,
}

/// A `RangeAllocation`, which is stored but never served, so that no table of kinds has it.
#[derive(Clone, PartialEq, prost::Message)]
struct Allocation {
    #[prost(string, tag = "2")]
    range: String,
    #[prost(bytes = "vec", tag = "3")]
    data: Vec<u8>,
}

/// The bitmap: bit `n` is the port `first + n`, the lowest bits in the last byte.
#[derive(Debug)]
struct Range {
    first: u16,
    last: u16,
    revision: i64,
    bits: Vec<u8>,
}

impl Range {
    async fn read(registry: &Registry) -> Result<Self, Status> {
        let (first, last) = registry.services().node_ports;
        let read = registry
            .etcd()
            .get(KEY)
            .await
            .map_err(|error| refusals::of_store(&error))?;
        let Some(kv) = read.kv else {
            return Ok(Self {
                first,
                last,
                revision: 0,
                bits: Vec::new(),
            });
        };
        let (range, bits) = stored(&kv.value)?;
        if range != format!("{first}-{last}") && !range.is_empty() {
            return Err(Status::internal(format!(
                "the stored node port range {range} is not this server's {first}-{last}"
            )));
        }
        Ok(Self {
            first,
            last,
            revision: kv.mod_revision,
            bits,
        })
    }

    fn is_taken(&self, port: u16) -> bool {
        let bit = usize::from(port - self.first);
        let place = self.bits.len().checked_sub(bit / 8 + 1);
        place
            .and_then(|place| self.bits.get(place))
            .is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
    }

    fn set(&mut self, port: u16, taken: bool) {
        let bit = usize::from(port - self.first);
        let bytes = bit / 8 + 1;
        if self.bits.len() < bytes {
            let mut wider = vec![0; bytes - self.bits.len()];
            wider.append(&mut self.bits);
            self.bits = wider;
        }
        let place = self.bits.len() - bytes;
        let mask = 1 << (bit % 8);
        if taken {
            self.bits[place] |= mask;
        } else {
            self.bits[place] &= !mask;
        }
    }

    fn claim(&mut self, port: u16) -> Result<(), String> {
        if port < self.first || port > self.last {
            return Err(format!(
                "provided port is not in the valid range. The range of valid ports is {}-{}",
                self.first, self.last
            ));
        }
        if self.is_taken(port) {
            return Err("provided port is already allocated".to_owned());
        }
        self.set(port, true);
        Ok(())
    }

    fn free(&mut self) -> Result<u16, Status> {
        let count = u32::from(self.last - self.first) + 1;
        let from = rand::random_range(0..count);
        let found = (0..count)
            .filter_map(|step| u16::try_from((from + step) % count).ok())
            .map(|offset| self.first + offset)
            .find(|port| !self.is_taken(*port));
        let port = found
            .ok_or_else(|| Status::internal("failed to allocate a nodePort: range is full"))?;
        self.set(port, true);
        Ok(port)
    }

    fn release(&mut self, port: u16) {
        if (self.first..=self.last).contains(&port) {
            self.set(port, false);
        }
    }

    fn write(&self) -> Result<Guarded, Status> {
        let leading = self.bits.iter().take_while(|byte| **byte == 0).count();
        let object = json!({
            "apiVersion": "v1",
            "kind": "RangeAllocation",
            "metadata": {},
            "range": format!("{}-{}", self.first, self.last),
            "data": STANDARD.encode(self.bits.get(leading..).unwrap_or_default()),
        });
        let value = codec::encode(&object).map_err(|error| refusals::of_codec(&error))?;
        let key = Bytes::from_static(KEY);
        Ok(Guarded {
            key,
            expected: self.revision,
            step: Step::Put { value, lease: 0 },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Range;

    #[test]
    fn the_bitmap_is_one_big_number() {
        let mut range = Range {
            first: 30000,
            last: 30020,
            revision: 0,
            bits: Vec::new(),
        };
        for port in [30000, 30009] {
            range.claim(port).unwrap();
        }
        assert_eq!(range.bits, [0b10, 0b1]);
        assert!(
            range
                .claim(30009)
                .unwrap_err()
                .contains("already allocated")
        );
        assert!(range.claim(29999).unwrap_err().contains("30000-30020"));
        range.release(30009);
        range.claim(30009).unwrap();
        for _ in 0..19 {
            let port = range.free().unwrap();
            assert!((30000..=30020).contains(&port));
        }
        assert!(range.free().is_err());
    }
}
