//! The table of kinds: what discovery tells, the columns that Tables show, and the few facts that
//! no server tells (places in the store, generations, selectable fields), which stand here.

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::server::{AGGREGATED, Server, TABLE};
use super::write;

/// Resources that do not lie under their own name.
const PREFIXES: [(&str, &str, &str); 7] = [
    ("", "replicationcontrollers", "controllers"),
    ("", "endpoints", "services/endpoints"),
    ("", "nodes", "minions"),
    ("", "services", "services/specs"),
    ("networking.k8s.io", "ingresses", "ingress"),
    (
        "apiregistration.k8s.io",
        "apiservices",
        "apiregistration.k8s.io/apiservices",
    ),
    (
        "apiextensions.k8s.io",
        "customresourcedefinitions",
        "apiextensions.k8s.io/customresourcedefinitions",
    ),
];

/// Resources whose objects count their generations.
const GENERATIONS: [&str; 26] = [
    "priorityclasses",
    "ingressclasses",
    "networkpolicies",
    "ingresses",
    "endpointslices",
    "poddisruptionbudgets",
    "resourceslices",
    "deviceclasses",
    "flowschemas",
    "prioritylevelconfigurations",
    "daemonsets",
    "statefulsets",
    "deployments",
    "replicasets",
    "jobs",
    "cronjobs",
    "pods",
    "podtemplates",
    "replicationcontrollers",
    "validatingadmissionpolicies",
    "mutatingadmissionpolicies",
    "mutatingwebhookconfigurations",
    "validatingwebhookconfigurations",
    "customresourcedefinitions",
    "validatingadmissionpolicybindings",
    "mutatingadmissionpolicybindings",
];

const EVENT: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
];

/// Fields, besides name and namespace, by which objects can be selected.
const FIELDS: [(&str, &str, &[&str]); 12] = [
    (
        "",
        "pods",
        &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
    ),
    ("", "nodes", &["spec.unschedulable"]),
    ("", "replicationcontrollers", &["status.replicas"]),
    ("", "events", EVENT),
    ("events.k8s.io", "events", EVENT),
    ("", "namespaces", &["status.phase"]),
    ("", "secrets", &["type"]),
    ("", "services", &["spec.clusterIP", "spec.type"]),
    ("apps", "replicasets", &["status.replicas"]),
    ("batch", "jobs", &["status.successful"]),
    (
        "certificates.k8s.io",
        "certificatesigningrequests",
        &["spec.signerName"],
    ),
    (
        "resource.k8s.io",
        "resourceslices",
        &["spec.nodeName", "spec.driver"],
    ),
];

/// The table.
pub(super) fn table(server: &Server) -> Result<String> {
    let mut lines = Vec::new();
    for (path, root) in [("/api", "/api"), ("/apis", "/apis")] {
        let groups = server.get(path, AGGREGATED)?;
        for group in groups["items"]
            .as_array()
            .context("discovery without items")?
        {
            let name = group["metadata"]["name"].as_str().unwrap_or_default();
            for version in group["versions"].as_array().into_iter().flatten() {
                let version_name = version["version"]
                    .as_str()
                    .context("a version without a name")?;
                let base = match name {
                    "" => format!("{root}/{version_name}"),
                    name => format!("{root}/{name}/{version_name}"),
                };
                let legacy = server.get(&base, "application/json")?;
                for resource in version["resources"].as_array().into_iter().flatten() {
                    lines.push(kind(
                        server,
                        (name, version_name, &base),
                        resource,
                        &legacy,
                    )?);
                }
            }
        }
    }
    Ok(write::list(&lines))
}

fn kind(
    server: &Server,
    (group, version, base): (&str, &str, &str),
    resource: &Value,
    legacy: &Value,
) -> Result<Value> {
    let name = resource["resource"]
        .as_str()
        .context("a resource without a name")?;
    let mut line = Map::new();
    line.insert("group".into(), group.into());
    line.insert("version".into(), version.into());
    line.insert("kind".into(), resource["responseKind"]["kind"].clone());
    line.insert("resource".into(), name.into());
    line.insert("singular".into(), resource["singularResource"].clone());
    line.insert(
        "namespaced".into(),
        (resource["scope"] == "Namespaced").into(),
    );
    for (from, to) in [
        ("shortNames", "short_names"),
        ("categories", "categories"),
        ("verbs", "verbs"),
    ] {
        if let Some(list) = resource.get(from) {
            line.insert(to.into(), list.clone());
        }
    }
    let subresources: Vec<Value> = resource["subresources"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|found| subresource(found, group, version))
        .collect();
    if !subresources.is_empty() {
        line.insert("subresources".into(), subresources.into());
    }
    let same = |entry: &&Value| entry["name"] == name;
    let described = legacy["resources"]
        .as_array()
        .into_iter()
        .flatten()
        .find(same);
    if let Some(hash) = described.and_then(|entry| entry.get("storageVersionHash")) {
        line.insert("storage_version_hash".into(), hash.clone());
    }
    let lists = resource["verbs"]
        .as_array()
        .is_some_and(|verbs| verbs.contains(&json!("list")));
    if lists {
        let special = PREFIXES.iter().find(|(g, r, _)| (*g, *r) == (group, name));
        line.insert(
            "storage_prefix".into(),
            special.map_or(name, |(_, _, prefix)| prefix).into(),
        );
    }
    if GENERATIONS.contains(&name) {
        line.insert("tracks_generation".into(), true.into());
    }
    if let Some((_, _, fields)) = FIELDS.iter().find(|(g, r, _)| (*g, *r) == (group, name)) {
        line.insert("field_labels".into(), json!(fields));
    }
    if lists {
        let answer = server.get(&format!("{base}/{name}?limit=1"), TABLE)?;
        let columns = answer["columnDefinitions"]
            .as_array()
            .context("a Table without columns")?;
        line.insert("columns".into(), columns.iter().map(column).collect());
    }
    Ok(line.into())
}

/// Discovery leaves the group and version of the resource itself out.
fn subresource(found: &Value, group: &str, version: &str) -> Value {
    let kind = &found["responseKind"];
    let is_own = kind["group"] == "" && kind["version"] == "";
    json!({
        "name": found["subresource"],
        "group": if is_own { group.into() } else { kind["group"].clone() },
        "version": if is_own { version.into() } else { kind["version"].clone() },
        "kind": kind["kind"],
        "verbs": found["verbs"],
    })
}

/// Never the description.
fn column(found: &Value) -> Value {
    json!({
        "name": found["name"], "type": found["type"], "format": found["format"],
        "priority": found["priority"],
    })
}
