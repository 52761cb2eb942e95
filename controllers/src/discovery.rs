//! Which resources the server has, each in its preferred version, and in which other versions. Only what aggregated discovery says; no kind is known here.

use std::collections::BTreeSet;

use client::Client;
use kube::Api;
use kube::api::{ApiResource, DynamicObject};
use kube::client::{APIGroupDiscoveryList, APIResourceDiscovery};
use kube::core::PartialObjectMeta;

/// An object of any kind, its metadata only.
pub(crate) type Meta = PartialObjectMeta<DynamicObject>;

/// One resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Resource {
    /// Names and version.
    pub api: ApiResource,
    /// Whether its objects live in namespaces.
    pub is_namespaced: bool,
    /// What may be done with it.
    pub verbs: BTreeSet<String>,
}

impl Resource {
    /// Whether all of these may be done.
    pub(crate) fn can(&self, verbs: &[&str]) -> bool {
        verbs.iter().all(|verb| self.verbs.contains(*verb))
    }

    /// Its objects' metadata, of one namespace or, with an empty one, of all.
    pub(crate) fn metadata(&self, client: &Client, namespace: &str) -> Api<Meta> {
        if self.is_namespaced && !namespace.is_empty() {
            Api::namespaced_with(client.clone(), namespace, &self.api)
        } else {
            Api::all_with(client.clone(), &self.api)
        }
    }
}

/// What discovery found, and what it could not find out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// Every resource, once, in its preferred version.
    pub resources: Vec<Resource>,
    /// The same resources in the other versions that are served: references may name any of them.
    pub others: Vec<Resource>,
    /// Group versions whose server did not answer.
    pub failed: Vec<String>,
}

/// Asks the server.
pub(crate) async fn discover(client: &Client) -> Result<Found, kube::Error> {
    let core = client.list_core_api_versions_aggregated().await?;
    let groups = client.list_api_groups_aggregated().await?;
    let mut found = Found::default();
    read(&core, &mut found);
    read(&groups, &mut found);
    Ok(found)
}

fn read(list: &APIGroupDiscoveryList, found: &mut Found) {
    for group in &list.items {
        let name = group
            .metadata
            .as_ref()
            .and_then(|meta| meta.name.clone())
            .unwrap_or_default();
        let mut seen = BTreeSet::new();
        // Versions come in order of preference; the first that has a resource is the one to use.
        for version in &group.versions {
            let number = version.version.as_deref().unwrap_or_default();
            if version.freshness.as_deref() == Some("Stale") {
                found.failed.push(api_version(&name, number));
            }
            for one in &version.resources {
                let Some(resource) = resource(&name, number, one) else {
                    continue;
                };
                if seen.insert(resource.api.plural.clone()) {
                    found.resources.push(resource);
                } else {
                    found.others.push(resource);
                }
            }
        }
    }
}

fn api_version(group: &str, number: &str) -> String {
    if group.is_empty() {
        number.to_owned()
    } else {
        format!("{group}/{number}")
    }
}

/// None for what has no name or no kind of its own.
fn resource(group: &str, number: &str, found: &APIResourceDiscovery) -> Option<Resource> {
    let kind = found.response_kind.as_ref()?.kind.clone();
    Some(Resource {
        api: ApiResource {
            group: group.to_owned(),
            version: number.to_owned(),
            api_version: api_version(group, number),
            kind: kind.filter(|kind| !kind.is_empty())?,
            plural: found.resource.clone()?,
        },
        is_namespaced: found.scope.as_deref() == Some("Namespaced"),
        verbs: found.verbs.iter().cloned().collect(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Found, Resource, read};

    #[test]
    fn the_first_version_that_has_a_resource_wins() {
        let kind = |kind: &str| json!({"group": "g", "version": "v1", "kind": kind});
        let list = json!({"items": [{"metadata": {"name": "g"}, "versions": [
            {"version": "v1", "freshness": "Current", "resources": [
                {"resource": "as", "responseKind": kind("A"), "scope": "Namespaced", "verbs": ["get", "list"]},
            ]},
            {"version": "v1beta1", "freshness": "Stale", "resources": [
                {"resource": "as", "responseKind": kind("A"), "scope": "Namespaced", "verbs": []},
                {"resource": "bs", "responseKind": kind("B"), "scope": "Cluster", "verbs": ["delete"]},
            ]},
        ]}]});
        let mut found = Found::default();
        read(&serde_json::from_value(list).unwrap(), &mut found);
        let names = |all: &[Resource]| -> Vec<String> {
            let name = |one: &Resource| format!("{} {}", one.api.plural, one.api.api_version);
            all.iter().map(name).collect()
        };
        assert_eq!(names(&found.resources), ["as g/v1", "bs g/v1beta1"]);
        assert_eq!(names(&found.others), ["as g/v1beta1"]);
        assert!(found.resources[0].is_namespaced && found.resources[0].can(&["get", "list"]));
        assert!(!found.resources[1].is_namespaced && !found.resources[1].can(&["get"]));
        assert_eq!(found.failed, ["g/v1beta1"]);
    }
}
