//! The ConfigMap from which other servers learn whose client certificates this cluster trusts.
//! Certificates are added and never removed: another replica may still need them. Pure.

use std::collections::BTreeSet;

use api_meta::object;
use serde_json::{Value, json};

use super::ensure::Mend;

const KEY: &str = "client-ca-file";
const END: &str = "-----END CERTIFICATE-----";

/// The ConfigMap with this replica's bundle.
pub(super) fn config_map(client_ca: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": {KEY: client_ca},
    })
}

/// Adds the certificates that the present ConfigMap lacks.
pub(super) fn judge(present: &Value, wanted: &Value) -> Mend {
    let held = object::str_at(present, &["data", KEY]).unwrap_or_default();
    let needed = object::str_at(wanted, &["data", KEY]).unwrap_or_default();
    let mut known: BTreeSet<&str> = certificates(held).collect();
    let mut bundle = held.to_owned();
    for certificate in certificates(needed) {
        if known.insert(certificate) {
            if !bundle.is_empty() && !bundle.ends_with('\n') {
                bundle.push('\n');
            }
            bundle.push_str(certificate);
            bundle.push('\n');
        }
    }
    if bundle == held {
        return Mend::Keep;
    }
    let mut mended = present.clone();
    object::set(&mut mended, &["data", KEY], json!(bundle));
    Mend::Update(mended)
}

/// The certificates of a bundle, each as its text.
fn certificates(pem: &str) -> impl Iterator<Item = &str> {
    pem.split_inclusive(END)
        .map(str::trim)
        .filter(|part| part.ends_with(END))
}

#[cfg(test)]
mod tests {
    use super::{Mend, config_map, judge};

    fn certificate(body: &str) -> String {
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    }

    #[test]
    fn bundles_grow_and_stay() {
        let (a, b) = (certificate("AAAA"), certificate("BBBB"));
        assert_eq!(judge(&config_map(&a), &config_map(&a)), Mend::Keep);
        let both = config_map(&format!("{a}{b}"));
        assert_eq!(judge(&both, &config_map(&b)), Mend::Keep);
        assert_eq!(judge(&config_map(&a), &config_map(&b)), Mend::Update(both));
        assert_eq!(
            judge(&config_map(""), &config_map(&b)),
            Mend::Update(config_map(&b))
        );
    }
}
