//! The `kubernetes` Service and the endpoints behind it, from the list of live replicas. Pure.
//!
//! Replicas on one machine may share an address and differ in their port. Endpoints then have a
//! subset for each port, and each port has an EndpointSlice of its own, because a slice has one set
//! of ports.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use api_meta::object;
use serde_json::{Value, json};

use super::ensure::Mend;

/// Name of the Service and of all that belongs to it.
pub(super) const NAME: &str = "kubernetes";
const NAMESPACE: &str = "default";
const SERVICE_LABEL: &str = "kubernetes.io/service-name";
const SKIP_MIRROR: &str = "endpointslice.kubernetes.io/skip-mirror";

/// Where replicas are reached: addresses by port.
pub(super) type Masters = BTreeMap<u16, BTreeSet<IpAddr>>;

/// The Service. It has no selector: its endpoints are these.
pub(super) fn service(address: IpAddr, target_port: u16) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": NAME, "namespace": NAMESPACE,
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "clusterIP": address,
            "ipFamilyPolicy": "SingleStack",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": target_port}],
            "sessionAffinity": "None",
            "type": "ClusterIP",
        },
    })
}

/// The Endpoints of all replicas.
pub(super) fn endpoints(masters: &Masters) -> Value {
    let subsets: Vec<Value> = masters
        .iter()
        .map(|(port, addresses)| {
            let addresses: Vec<Value> = addresses.iter().map(|ip| json!({"ip": ip})).collect();
            json!({"addresses": addresses, "ports": [{"name": "https", "port": port, "protocol": "TCP"}]})
        })
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": {SKIP_MIRROR: "true"}},
        "subsets": subsets,
    })
}

/// The EndpointSlices of all replicas: one for the lowest port under the Service's own name, which
/// is the only one in most clusters, and one for each further port.
pub(super) fn slices(masters: &Masters) -> Vec<Value> {
    let family = |ip: &IpAddr| if ip.is_ipv4() { "IPv4" } else { "IPv6" };
    let mut slices = Vec::new();
    for (port, addresses) in masters {
        for kind in ["IPv4", "IPv6"] {
            let endpoints: Vec<Value> = addresses
                .iter()
                .filter(|ip| family(ip) == kind)
                .map(|ip| json!({"addresses": [ip], "conditions": {"ready": true}}))
                .collect();
            if endpoints.is_empty() {
                continue;
            }
            let name = if slices.is_empty() {
                NAME.to_owned()
            } else {
                format!("{NAME}-{port}-{}", kind.to_lowercase())
            };
            slices.push(json!({
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {"name": name, "namespace": NAMESPACE, "labels": {SERVICE_LABEL: NAME}},
                "addressType": kind,
                "endpoints": endpoints,
                "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
            }));
        }
    }
    slices
}

/// Whether a slice that is there is one of ours that is no longer wanted.
pub(super) fn is_stale(present: &Value, wanted: &[Value]) -> bool {
    object::namespace(present) == NAMESPACE
        && object::label(present, SERVICE_LABEL) == Some(NAME)
        && !wanted
            .iter()
            .any(|one| object::name(one) == object::name(present))
}

/// Brings Endpoints or an EndpointSlice to what is wanted.
pub(super) fn judge(present: &Value, wanted: &Value) -> Mend {
    if present["addressType"] != wanted["addressType"] {
        return Mend::Replace;
    }
    let mut mended = present.clone();
    for field in ["subsets", "endpoints", "ports"] {
        if let Some(value) = object::at(wanted, &[field])
            && present.get(field) != Some(value)
        {
            object::set(&mut mended, &[field], value.clone());
        }
    }
    for (key, value) in object::labels(wanted) {
        object::set(&mut mended, &["metadata", "labels", key], json!(value));
    }
    if mended == *present {
        Mend::Keep
    } else {
        Mend::Update(mended)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use serde_json::json;

    use super::{Masters, Mend, endpoints, is_stale, judge, slices};

    fn masters(list: &[(&str, u16)]) -> Masters {
        let mut masters = Masters::new();
        for (ip, port) in list {
            masters
                .entry(*port)
                .or_default()
                .insert(ip.parse::<IpAddr>().unwrap());
        }
        masters
    }

    #[test]
    fn replicas_with_one_port_share_a_subset_and_a_slice() {
        let two = masters(&[("10.1.1.2", 6443), ("10.1.1.1", 6443)]);
        assert_eq!(
            endpoints(&two)["subsets"],
            json!([{"addresses": [{"ip": "10.1.1.1"}, {"ip": "10.1.1.2"}], "ports": [{"name": "https", "port": 6443, "protocol": "TCP"}]}])
        );
        let slices = slices(&two);
        assert_eq!(slices.len(), 1);
        assert_eq!(slices[0]["metadata"]["name"], "kubernetes");
        assert_eq!(
            slices[0]["endpoints"][1],
            json!({"addresses": ["10.1.1.2"], "conditions": {"ready": true}})
        );
    }

    #[test]
    fn replicas_on_one_machine_have_a_slice_each() {
        let two = masters(&[("10.1.1.1", 6443), ("10.1.1.1", 6444)]);
        assert_eq!(endpoints(&two)["subsets"].as_array().unwrap().len(), 2);
        let two = slices(&two);
        let names: Vec<_> = two
            .iter()
            .map(|slice| slice["metadata"]["name"].clone())
            .collect();
        assert_eq!(names, ["kubernetes", "kubernetes-6444-ipv4"]);
        let one = slices(&masters(&[("10.1.1.1", 6444)]));
        assert!(is_stale(&two[1], &one));
        assert!(!is_stale(&two[0], &one));
    }

    #[test]
    fn what_fits_is_kept() {
        let one = endpoints(&masters(&[("10.1.1.1", 6443)]));
        let mut present = one.clone();
        present["metadata"]["uid"] = json!("1");
        assert_eq!(judge(&present, &one), Mend::Keep);
        let two = endpoints(&masters(&[("10.1.1.1", 6443), ("10.1.1.2", 6443)]));
        let Mend::Update(mended) = judge(&present, &two) else {
            panic!()
        };
        assert_eq!(mended["subsets"], two["subsets"]);
        assert_eq!(mended["metadata"]["uid"], "1");
        let six = &slices(&masters(&[("fd00::1", 6443)]))[0];
        assert_eq!(
            judge(&slices(&masters(&[("10.1.1.1", 6443)]))[0], six),
            Mend::Replace
        );
    }
}
