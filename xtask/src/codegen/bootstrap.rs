//! The objects that a fresh cluster has: roles, bindings, flow schemas, priorities, namespaces.
//! What is of one cluster only (UIDs, versions, times, owners of fields, status) is left out.

use anyhow::{Context, Result};
use serde_json::Value;

use super::server::Server;
use super::{Tables, write};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const FLOW: &str = "/apis/flowcontrol.apiserver.k8s.io/v1";
const OWN: [&str; 6] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "managedFields",
    "generation",
    "selfLink",
];

/// One file per resource.
pub(super) fn tables(server: &Server, tables: &mut Tables) -> Result<()> {
    for (name, path, has_status) in [
        ("clusterroles", format!("{RBAC}/clusterroles"), false),
        (
            "clusterrolebindings",
            format!("{RBAC}/clusterrolebindings"),
            false,
        ),
        ("roles", format!("{RBAC}/roles"), false),
        ("rolebindings", format!("{RBAC}/rolebindings"), false),
        ("flowschemas", format!("{FLOW}/flowschemas"), true),
        (
            "prioritylevelconfigurations",
            format!("{FLOW}/prioritylevelconfigurations"),
            true,
        ),
        (
            "priorityclasses",
            "/apis/scheduling.k8s.io/v1/priorityclasses".to_owned(),
            false,
        ),
        ("namespaces", "/api/v1/namespaces".to_owned(), true),
    ] {
        let list = server.get(&path, "application/json")?;
        let mut items = list["items"]
            .as_array()
            .context("a list without items")?
            .clone();
        let (api_version, kind) = (
            &list["apiVersion"],
            list["kind"].as_str().unwrap_or_default(),
        );
        for item in &mut items {
            clean(item, has_status);
            item["apiVersion"] = api_version.clone();
            item["kind"] = kind.trim_end_matches("List").into();
        }
        aggregate_only_by_rule(&mut items);
        let path = format!("bootstrap/{name}.json");
        tables.insert(path, write::list(&items));
    }
    Ok(())
}

fn clean(item: &mut Value, has_status: bool) {
    if let Some(metadata) = item["metadata"].as_object_mut() {
        for field in OWN {
            metadata.remove(field);
        }
    }
    if has_status && let Some(item) = item.as_object_mut() {
        item.remove("status");
    }
}

/// The rules of an aggregated role are filled in by a controller.
fn aggregate_only_by_rule(items: &mut [Value]) {
    for item in items {
        if item.get("aggregationRule").is_some() {
            item["rules"] = Value::Null;
        }
    }
}
