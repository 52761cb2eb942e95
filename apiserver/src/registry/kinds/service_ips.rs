//! The addresses of Services: one IPAddress object for each that is given out.

use std::net::IpAddr;

use api_meta::Cause;
use api_meta::kinds::{Kind, Kinds};
use api_meta::status::Status;
use ipnet::IpNet;
use serde_json::{Value, json};

use super::service::{invalid, needs_address};
use crate::registry::service::Registry;
use crate::registry::{refusals, tree};
use crate::storage::{Guarded, Step, codec, keys};

/// Random tries before every address is looked at in turn.
const RANDOM_TRIES: usize = 32;
/// Addresses looked at in turn at most: a range may be larger than any cluster.
const SCAN_MAX: u128 = 1 << 20;
const HEADLESS: &str = "None";

/// The addresses that a Service has been given.
pub(super) fn addresses(service: &Value) -> Vec<IpAddr> {
    let mut all = tree::strings(service, "/spec/clusterIPs");
    if all.is_empty() {
        all.push(tree::text(service, "/spec/clusterIP").to_owned());
    }
    all.iter().filter_map(|text| text.parse().ok()).collect()
}

/// Gives a Service the addresses that it lacks. `had` are its own already.
pub(super) async fn give(
    registry: &Registry,
    service: &mut Value,
    had: &[IpAddr],
) -> Result<Vec<Guarded>, Status> {
    if !needs_address(service) {
        return Ok(Vec::new());
    }
    let mut wanted = tree::strings(service, "/spec/clusterIPs");
    let first = tree::text(service, "/spec/clusterIP").to_owned();
    if wanted.is_empty() && !first.is_empty() {
        wanted.push(first);
    }
    let cidrs = families(registry, service, &wanted)?;
    let names: Vec<Value> = cidrs.iter().map(|cidr| family(cidr).into()).collect();
    let mut writes = Vec::new();
    let mut given = Vec::new();
    if wanted.first().is_some_and(|ip| ip == HEADLESS) {
        given.push(HEADLESS.to_owned());
    } else {
        for (place, cidr) in cidrs.iter().enumerate() {
            let (ip, is_new) = match wanted.get(place) {
                Some(text) => {
                    let ip = check(service, text, cidr)?;
                    (ip, !had.contains(&ip))
                }
                None => (free(registry, service, cidr)?, true),
            };
            if is_new {
                if wanted.get(place).is_some() {
                    check_free(registry, service, ip).await?;
                }
                writes.push(claim(service, ip)?);
            }
            given.push(ip.to_string());
        }
    }
    let spec = tree::child(service, "spec");
    spec.insert(
        "clusterIP".into(),
        given.first().cloned().unwrap_or_default().into(),
    );
    spec.insert("clusterIPs".into(), given.into());
    let policy = if names.len() > 1 {
        "RequireDualStack"
    } else {
        "SingleStack"
    };
    spec.insert("ipFamilies".into(), names.into());
    if spec.get("ipFamilyPolicy").is_none_or(Value::is_null) {
        spec.insert("ipFamilyPolicy".into(), policy.into());
    }
    Ok(writes)
}

/// Lets go of addresses of a Service.
pub(super) async fn take_back(
    registry: &Registry,
    service: &Value,
    ips: &[IpAddr],
) -> Result<Vec<Guarded>, Status> {
    let kind = kind();
    let mut writes = Vec::new();
    for ip in ips {
        let Some(claim) = registry.read_store(kind, &ip.to_string()).await? else {
            continue;
        };
        let parent = claim.value()?;
        let is_ours = tree::text(&parent, "/spec/parentRef/name") == tree::name(service)
            && tree::text(&parent, "/spec/parentRef/namespace") == tree::namespace(service);
        if is_ours {
            writes.push(Guarded {
                key: keys::object(kind, "", &ip.to_string()),
                expected: i64::try_from(claim.revision).unwrap_or(i64::MAX),
                step: Step::Delete,
            });
        }
    }
    Ok(writes)
}

fn kind() -> &'static Kind {
    Kinds::builtin()
        .by_resource("networking.k8s.io", "v1", "ipaddresses")
        .expect("the table of built-in kinds has it, and a test reads the table")
}

fn family(cidr: &IpNet) -> &'static str {
    if cidr.addr().is_ipv4() {
        "IPv4"
    } else {
        "IPv6"
    }
}

/// The ranges that the Service draws from, in its order.
fn families(registry: &Registry, service: &Value, wanted: &[String]) -> Result<Vec<IpNet>, Status> {
    let cidrs = &registry.services().cidrs;
    let named = tree::strings(service, "/spec/ipFamilies");
    let find = |name: &str| {
        cidrs
            .iter()
            .find(|cidr| family(cidr) == name)
            .copied()
            .ok_or_else(|| {
                let why = "not configured on this cluster";
                invalid(service, Cause::invalid("spec.ipFamilies[0]", name, why))
            })
    };
    let mut chosen = Vec::new();
    for name in &named {
        chosen.push(find(name)?);
    }
    if chosen.is_empty() {
        let asked = wanted.first().and_then(|text| text.parse::<IpAddr>().ok());
        chosen.extend(match asked {
            Some(ip) => Some(find(if ip.is_ipv4() { "IPv4" } else { "IPv6" })?),
            None => cidrs.first().copied(),
        });
    }
    let policy = tree::text(service, "/spec/ipFamilyPolicy");
    if matches!(policy, "PreferDualStack" | "RequireDualStack") && chosen.len() == 1 {
        chosen.extend(cidrs.iter().find(|cidr| !chosen.contains(cidr)).copied());
    }
    if policy == "RequireDualStack" && chosen.len() < 2 {
        let why = "Cluster is not configured for dual-stack services";
        return Err(invalid(
            service,
            Cause::invalid("spec.ipFamilyPolicy", policy, why),
        ));
    }
    Ok(chosen)
}

/// An address that the user asks for must be one of the range.
fn check(service: &Value, text: &str, cidr: &IpNet) -> Result<IpAddr, Status> {
    let fault = |why: &str| {
        let message = format!("Invalid value: [{text:?}]: failed to allocate IP {text}: {why}");
        invalid(
            service,
            Cause::new("FieldValueInvalid", "spec.clusterIPs", message),
        )
    };
    let ip: IpAddr = text.parse().map_err(|_| {
        invalid(
            service,
            Cause::invalid(
                "spec.clusterIPs[0]",
                text,
                "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            ),
        )
    })?;
    if !cidr.contains(&ip) || ip == cidr.network() || ip == cidr.broadcast() {
        return Err(fault(&format!(
            "the provided IP ({ip}) is not in the valid range. The range of valid IPs is {cidr}"
        )));
    }
    Ok(ip)
}

async fn check_free(registry: &Registry, service: &Value, ip: IpAddr) -> Result<(), Status> {
    if registry
        .read_store(kind(), &ip.to_string())
        .await?
        .is_none()
    {
        return Ok(());
    }
    let text = ip.to_string();
    let message = format!(
        "Invalid value: [{text:?}]: failed to allocate IP {text}: provided IP is already allocated"
    );
    Err(invalid(
        service,
        Cause::new("FieldValueInvalid", "spec.clusterIPs", message),
    ))
}

/// An address that the cache does not know as given. The transaction has the last word.
fn free(registry: &Registry, service: &Value, cidr: &IpNet) -> Result<IpAddr, Status> {
    let given = registry.kind_cache(kind())?;
    let is_free = |ip: &IpAddr| given.get(&ip.to_string()).is_none();
    let size = size(cidr);
    // The lower part is left to those who ask for an address, as upstream does.
    let band = (size / 16).clamp(16, 256).min(size / 2);
    // The first is the network, the last the broadcast address.
    let usable = size.saturating_sub(1).max(2);
    for _ in 0..RANDOM_TRIES {
        let ip = nth(cidr, rand::random_range(band.max(1)..usable.max(band + 2)));
        if cidr.contains(&ip) && ip != cidr.broadcast() && is_free(&ip) {
            return Ok(ip);
        }
    }
    let scan = (band..usable)
        .chain(1..band)
        .take(usize::try_from(SCAN_MAX).unwrap_or(usize::MAX));
    let found = scan.map(|n| nth(cidr, n)).find(is_free);
    found.ok_or_else(|| {
        let why = "failed to allocate a serviceIP: range is full";
        Status::internal(format!("{why} ({})", tree::name(service)))
    })
}

fn size(cidr: &IpNet) -> u128 {
    let bits = u32::from(cidr.max_prefix_len() - cidr.prefix_len());
    1_u128.checked_shl(bits).unwrap_or(u128::MAX)
}

fn nth(cidr: &IpNet, n: u128) -> IpAddr {
    match cidr.network() {
        IpAddr::V4(base) => {
            let offset = u32::try_from(n).unwrap_or(0);
            IpAddr::V4(u32::from(base).wrapping_add(offset).into())
        }
        IpAddr::V6(base) => IpAddr::V6(u128::from(base).wrapping_add(n).into()),
    }
}

/// The object that makes an address the Service's.
fn claim(service: &Value, ip: IpAddr) -> Result<Guarded, Status> {
    let name = ip.to_string();
    let object = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IPAddress",
        "metadata": {
            "name": name,
            "uid": uuid::Uuid::new_v4().to_string(),
            "creationTimestamp": tree::now(),
            "labels": {
                "ipaddress.kubernetes.io/ip-family": if ip.is_ipv4() { "IPv4" } else { "IPv6" },
                "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
            },
        },
        "spec": {"parentRef": {
            "resource": "services",
            "namespace": tree::namespace(service),
            "name": tree::name(service),
        }},
    });
    let value = codec::encode(&object).map_err(|error| refusals::of_codec(&error))?;
    let key = keys::object(kind(), "", &name);
    Ok(Guarded {
        key,
        expected: 0,
        step: Step::Put { value, lease: 0 },
    })
}

#[cfg(test)]
mod tests {
    use ipnet::IpNet;

    use super::{nth, size};

    #[test]
    fn ranges_are_counted() {
        let small: IpNet = "10.0.0.0/24".parse().unwrap();
        assert_eq!(
            (size(&small), nth(&small, 17).to_string()),
            (256, "10.0.0.17".into())
        );
        let large: IpNet = "fd00::/64".parse().unwrap();
        assert_eq!(
            (size(&large), nth(&large, 1).to_string()),
            (1 << 64, "fd00::1".into())
        );
        let all: IpNet = "::/0".parse().unwrap();
        assert_eq!(size(&all), u128::MAX);
    }
}
