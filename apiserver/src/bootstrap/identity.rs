//! The Lease by which each replica tells that it lives, and the end of those of replicas that do not.
//! Pure.

use api_meta::{object, time};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Config;
use super::ensure::Mend;

/// Where the Leases are.
pub(super) const NAMESPACE: &str = "kube-system";
const LABEL: &str = "apiserver.kubernetes.io/identity";
const LABEL_VALUE: &str = "kube-apiserver";
/// How long a Lease counts after its last renewal, as upstream has it.
const SECONDS: i64 = 3600;

/// The name of this replica, the same after a restart. Upstream takes the machine's name alone; here
/// several replicas may share a machine.
pub(super) fn name(config: &Config) -> String {
    let hash = Sha256::digest(format!("{}:{}", config.hostname, config.advertise.1));
    format!("apiserver-{}", base32(hash.get(..16).unwrap_or_default()))
}

/// The Lease of this replica. `holder` tells one run of it from another.
pub(super) fn lease(config: &Config, holder: &str, now: Timestamp) -> Value {
    let name = name(config);
    let (address, port) = config.advertise;
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {LABEL: LABEL_VALUE, "kubernetes.io/hostname": config.hostname},
            "annotations": {"kubernetes.io/peer-advertise-address": format!("{}", std::net::SocketAddr::new(address, port))},
        },
        "spec": {
            "holderIdentity": format!("{name}_{holder}"),
            "leaseDurationSeconds": SECONDS,
            "renewTime": time::format_micro(now),
        },
    })
}

/// A renewal: the spec as wanted.
pub(super) fn judge(present: &Value, wanted: &Value) -> Mend {
    let mut mended = present.clone();
    object::set(&mut mended, &["spec"], wanted["spec"].clone());
    for field in ["labels", "annotations"] {
        for (key, value) in object::string_map(wanted, &["metadata", field]) {
            object::set(&mut mended, &["metadata", field, key], json!(value));
        }
    }
    Mend::Update(mended)
}

/// True if the Lease is of a replica that has been gone for longer than the Lease counts.
pub(super) fn is_expired(lease: &Value, now: Timestamp) -> bool {
    if object::label(lease, LABEL) != Some(LABEL_VALUE) {
        return false;
    }
    let renewed = object::str_at(lease, &["spec", "renewTime"]).and_then(time::parse);
    let seconds = object::i64_at(lease, &["spec", "leaseDurationSeconds"]).unwrap_or(SECONDS);
    // Upstream removes a Lease that says neither, too.
    renewed.is_none_or(|renewed| now.duration_since(renewed) > SignedDuration::from_secs(seconds))
}

/// Unpadded base32 in lower case, of which object names may consist.
fn base32(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut text = String::new();
    let (mut held, mut bits) = (0_u32, 0);
    for byte in bytes {
        held = (held << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(DIGITS[(held >> bits & 31) as usize]));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        text.push(char::from(DIGITS[(held << (5 - bits) & 31) as usize]));
    }
    text
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::{Config, base32, is_expired, lease, name};

    fn config(port: u16) -> Config {
        Config {
            client_ca: None,
            service_cidrs: Vec::new(),
            advertise: ("10.0.0.9".parse().unwrap(), port),
            hostname: "vm".to_owned(),
        }
    }

    #[test]
    fn names_tell_replicas_of_one_machine_apart() {
        let first = name(&config(6443));
        assert_eq!(first.len(), "apiserver-".len() + 26);
        assert_eq!(first, name(&config(6443)));
        assert_ne!(first, name(&config(6444)));
    }

    #[test]
    fn base32_is_the_standard_one() {
        for (bytes, text) in [
            ("", ""),
            ("f", "my"),
            ("fo", "mzxq"),
            ("foo", "mzxw6"),
            ("foob", "mzxw6yq"),
            ("foobar", "mzxw6ytboi"),
        ] {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn only_dead_replicas_lose_their_lease() {
        let now = Timestamp::now();
        let lease = lease(&config(1), "x", now);
        assert!(!is_expired(&lease, now + SignedDuration::from_secs(3599)));
        assert!(is_expired(&lease, now + SignedDuration::from_secs(3602)));
        let mut other = lease.clone();
        other["metadata"]["labels"] = serde_json::json!({});
        assert!(!is_expired(&other, now + SignedDuration::from_secs(99_999)));
    }
}
