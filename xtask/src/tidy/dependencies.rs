//! What the whole graph may hold: bans with their reasons, one version of what must be one, licences.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// A crate and why it is banned.
const BANNED: &[(&str, &str)] = &[
    ("ring", "one crypto provider: aws-lc"),
    ("openssl-sys", "one TLS stack: rustls"),
    ("native-tls", "one TLS stack: rustls"),
];
/// Two versions of these in one binary do not understand each other.
const SINGLE: &[&str] = &[
    "rustls",
    "tonic",
    "prost",
    "k8s-openapi",
    "kube-core",
    "openraft",
    "hyper",
    "tokio",
];
/// A feature that must be on nowhere, since features unify, and why.
const FEATURES: &[(&str, &str, &str)] = &[
    (
        "serde_json",
        "preserve_order",
        "objects would be read back in another order",
    ),
    (
        "serde_json",
        "arbitrary_precision",
        "numbers would be read as maps",
    ),
];
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Every fault in the graph. `built` has a line `NAME vVERSION …` for each package that is built.
pub(super) fn check(metadata: &Value, built: &str) -> Vec<String> {
    let built: BTreeSet<(&str, &str)> = built
        .lines()
        .filter_map(|line| line.split_once(" v"))
        .map(|(name, rest)| (name, rest.split(' ').next().unwrap_or(rest)))
        .collect();
    let is_built = |package: &&Value| {
        let part = |field: &str| package[field].as_str().unwrap_or_default();
        built.contains(&(part("name"), part("version")))
    };
    let packages: Vec<&Value> = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(is_built)
        .collect();
    let mut findings = Vec::new();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in &packages {
        let name = package["name"].as_str().unwrap_or_default();
        versions
            .entry(name)
            .or_default()
            .push(package["version"].as_str().unwrap_or_default());
        if let Some((_, why)) = BANNED.iter().find(|(banned, _)| *banned == name) {
            findings.push(format!("{name} is in the graph, but banned: {why}"));
        }
        let licence = package["license"].as_str().unwrap_or_default();
        if !licence_is_allowed(licence) && package["license_file"].is_null() {
            findings.push(format!(
                "{name} has the licence '{licence}', which is not on the list"
            ));
        }
    }
    for name in SINGLE {
        if let Some(found) = versions.get(name).filter(|found| found.len() > 1) {
            findings.push(format!(
                "{name} is there in {} versions: {}",
                found.len(),
                found.join(", ")
            ));
        }
    }
    findings.extend(features(metadata));
    findings
}

/// True if every part joined by AND has an allowed choice among its ORs.
fn licence_is_allowed(expression: &str) -> bool {
    let flat = expression.replace(['(', ')'], "").replace('/', " OR ");
    flat.split(" AND ").all(|part| {
        part.split(" OR ").any(|one| {
            let base = one.split(" WITH ").next().unwrap_or(one).trim();
            LICENCES.contains(&base)
        })
    })
}

fn features(metadata: &Value) -> Vec<String> {
    let nodes = metadata["resolve"]["nodes"]
        .as_array()
        .into_iter()
        .flatten();
    let mut findings = Vec::new();
    for node in nodes {
        let id = node["id"].as_str().unwrap_or_default();
        let on: Vec<&str> = node["features"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        for (name, feature, why) in FEATURES {
            if id.contains(&format!("#{name}@")) && on.contains(feature) {
                findings.push(format!("{name} has the feature {feature} on: {why}"));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::licence_is_allowed;

    #[test]
    fn reads_licence_expressions() {
        assert!(licence_is_allowed("MIT OR Apache-2.0"));
        assert!(licence_is_allowed("(MIT OR GPL-3.0) AND Unicode-3.0"));
        assert!(licence_is_allowed("Apache-2.0 WITH LLVM-exception"));
        assert!(!licence_is_allowed("GPL-3.0-only"));
        assert!(!licence_is_allowed("MIT AND GPL-3.0-only"));
    }
}
