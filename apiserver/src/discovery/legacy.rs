//! The documents of `/api`, `/apis` and below, one for each group and version.

use api_meta::kinds::{Kind, Kinds};
use serde_json::{Value, json};

/// Every document with its path.
pub(super) fn documents() -> Vec<(String, Vec<u8>)> {
    let kinds = Kinds::builtin();
    let clients = json!([{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}]);
    let core =
        json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": clients});
    let mut documents = vec![("/api".to_owned(), render(&core))];
    let mut groups = Vec::new();
    for (group, versions) in kinds.groups() {
        for version in &versions {
            let path = match group {
                "" => format!("/api/{version}"),
                group => format!("/apis/{group}/{version}"),
            };
            documents.push((path, render(&resources(kinds, group, version))));
        }
        if !group.is_empty() {
            let group_object = describe(group, &versions);
            let mut alone = group_object.clone();
            alone["kind"] = "APIGroup".into();
            alone["apiVersion"] = "v1".into();
            documents.push((format!("/apis/{group}"), render(&alone)));
            groups.push(group_object);
        }
    }
    let all = json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups});
    documents.push(("/apis".to_owned(), render(&all)));
    documents
}

fn describe(group: &str, versions: &[&str]) -> Value {
    let version =
        |version: &&str| json!({"groupVersion": format!("{group}/{version}"), "version": version});
    let versions: Vec<Value> = versions.iter().map(version).collect();
    json!({"name": group, "preferredVersion": versions.first(), "versions": versions})
}

fn resources(kinds: &Kinds, group: &str, version: &str) -> Value {
    let mut list = Vec::new();
    for kind in kinds
        .iter()
        .filter(|kind| kind.group == group && kind.version == version)
    {
        list.push(resource(kind));
        for sub in &kind.subresources {
            let mut entry = json!({
                "name": format!("{}/{}", kind.resource, sub.name), "singularName": "",
                "namespaced": kind.namespaced, "kind": sub.kind, "verbs": sub.verbs,
            });
            if (sub.group.as_str(), sub.version.as_str()) != (group, version) {
                entry["group"] = sub.group.clone().into();
                entry["version"] = sub.version.clone().into();
            }
            list.push(entry);
        }
    }
    let group_version = api_meta::gvk::api_version(group, version);
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": list})
}

fn resource(kind: &Kind) -> Value {
    let mut entry = json!({
        "name": kind.resource, "singularName": kind.singular, "namespaced": kind.namespaced,
        "kind": kind.kind, "verbs": kind.verbs,
    });
    if !kind.short_names.is_empty() {
        entry["shortNames"] = kind.short_names.clone().into();
    }
    if !kind.categories.is_empty() {
        entry["categories"] = kind.categories.clone().into();
    }
    if !kind.storage_version_hash.is_empty() {
        entry["storageVersionHash"] = kind.storage_version_hash.clone().into();
    }
    entry
}

fn render(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}
