//! Which resources the server has, each in its preferred version. Only what aggregated discovery says; no kind is known here.

use std::collections::BTreeSet;

use client::Client;
use kube::Api;
use kube::api::{ApiResource, DynamicObject};
use kube::client::APIGroupDiscoveryList;
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
    /// Every resource, once.
    pub resources: Vec<Resource>,
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
            let number = version.version.clone().unwrap_or_default();
            let api_version = if name.is_empty() {
                number.clone()
            } else {
                format!("{name}/{number}")
            };
            if version.freshness.as_deref() == Some("Stale") {
                found.failed.push(api_version.clone());
            }
            for resource in &version.resources {
                let Some(plural) = resource.resource.clone() else {
                    continue;
                };
                let kind = resource
                    .response_kind
                    .as_ref()
                    .and_then(|kind| kind.kind.clone());
                let Some(kind) = kind.filter(|kind| !kind.is_empty()) else {
                    continue;
                };
                if !seen.insert(plural.clone()) {
                    continue;
                }
                found.resources.push(Resource {
                    api: ApiResource {
                        group: name.clone(),
                        version: number.clone(),
                        api_version: api_version.clone(),
                        kind,
                        plural,
                    },
                    is_namespaced: resource.scope.as_deref() == Some("Namespaced"),
                    verbs: resource.verbs.iter().cloned().collect(),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Found, read};

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
        let names: Vec<_> = found
            .resources
            .iter()
            .map(|r| (r.api.plural.as_str(), r.api.api_version.as_str()))
            .collect();
        assert_eq!(names, [("as", "g/v1"), ("bs", "g/v1beta1")]);
        assert!(found.resources[0].is_namespaced && found.resources[0].can(&["get", "list"]));
        assert!(!found.resources[1].is_namespaced && !found.resources[1].can(&["get"]));
        assert_eq!(found.failed, ["g/v1beta1"]);
    }
}
