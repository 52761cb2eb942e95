//! Everything in two documents: `apidiscovery.k8s.io/v2`.

use api_meta::kinds::{Kind, Kinds};
use serde_json::{Value, json};

/// How the document is announced.
pub(super) const CONTENT_TYPE: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// True if the client's first choice among what it accepts is the aggregated form in JSON.
pub(super) fn is_asked_for(accept: &str) -> bool {
    accept.split(',').any(|choice| {
        let mut words = choice.split(';').map(str::trim);
        words.next() == Some("application/json")
            && words.clone().any(|word| word == "g=apidiscovery.k8s.io")
            && words.clone().any(|word| word == "v=v2")
            && words.any(|word| word == "as=APIGroupDiscoveryList")
    })
}

/// The core group, or all others.
pub(super) fn document(is_core: bool) -> Vec<u8> {
    let kinds = Kinds::builtin();
    let groups = kinds.groups();
    let chosen = groups
        .iter()
        .filter(|(group, _)| group.is_empty() == is_core);
    let items: Vec<Value> = chosen
        .map(|(group, versions)| item(kinds, group, versions))
        .collect();
    let list = json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items,
    });
    list.to_string().into_bytes()
}

fn item(kinds: &Kinds, group: &str, versions: &[&str]) -> Value {
    let version = |version: &&str| {
        let of_version = kinds
            .iter()
            .filter(|kind| kind.group == group && kind.version == **version);
        let resources: Vec<Value> = of_version.map(resource).collect();
        json!({"version": version, "freshness": "Current", "resources": resources})
    };
    let metadata = if group.is_empty() {
        json!({})
    } else {
        json!({"name": group})
    };
    json!({"metadata": metadata, "versions": versions.iter().map(version).collect::<Vec<_>>()})
}

fn resource(kind: &Kind) -> Value {
    let subresources: Vec<Value> = kind
        .subresources
        .iter()
        .map(|sub| {
            let is_own = sub.group == kind.group && sub.version == kind.version;
            let (group, version) = if is_own {
                ("", "")
            } else {
                (sub.group.as_str(), sub.version.as_str())
            };
            json!({
                "subresource": sub.name, "verbs": sub.verbs,
                "responseKind": {"group": group, "version": version, "kind": sub.kind},
            })
        })
        .collect();
    let mut entry = json!({
        "resource": kind.resource, "singularResource": kind.singular, "verbs": kind.verbs,
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "responseKind": {"group": "", "version": "", "kind": kind.kind},
    });
    for (field, list) in [
        ("shortNames", &kind.short_names),
        ("categories", &kind.categories),
    ] {
        if !list.is_empty() {
            entry[field] = list.clone().into();
        }
    }
    if !subresources.is_empty() {
        entry["subresources"] = subresources.into();
    }
    entry
}
