//! The table of built-in kinds: paths, verbs, names, columns, selectable fields. Data, read once.
//!
//! It says what a kind is, never what it does. The file is generated from a running kube-apiserver.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::gvk::{Gvk, Gvr};

static TABLE: &str = include_str!("../data/kinds.json");

/// One kind in one version, under one resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Kind {
    /// The group; empty for the core group.
    pub group: String,
    /// The version, such as `v1`.
    pub version: String,
    /// The kind, such as `Pod`.
    pub kind: String,
    /// The plural in paths, such as `pods`.
    pub resource: String,
    /// The singular name, such as `pod`.
    pub singular: String,
    /// Short names, such as `po`.
    #[serde(default)]
    pub short_names: Vec<String>,
    /// Groups of resources that kubectl knows, such as `all`.
    #[serde(default)]
    pub categories: Vec<String>,
    /// Whether its objects lie in namespaces.
    pub namespaced: bool,
    /// What can be done with it, as discovery lists it.
    pub verbs: Vec<String>,
    /// What lies below an object's path.
    #[serde(default)]
    pub subresources: Vec<Subresource>,
    /// Its place below `/registry/`; empty for kinds that are never stored.
    #[serde(default)]
    pub storage_prefix: String,
    /// The short hash by which clients notice that the stored version has changed.
    #[serde(default)]
    pub storage_version_hash: String,
    /// Whether a change of the spec counts up `metadata.generation`.
    #[serde(default)]
    pub tracks_generation: bool,
    /// Fields, beyond name and namespace, that a field selector may name.
    #[serde(default)]
    pub field_labels: Vec<String>,
    /// Columns of a Table of its objects.
    #[serde(default)]
    pub columns: Vec<Column>,
}

/// A path below an object's path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Subresource {
    /// Its name, such as `status`.
    pub name: String,
    /// The group of what it speaks.
    pub group: String,
    /// The version of what it speaks.
    pub version: String,
    /// The kind of what it speaks.
    pub kind: String,
    /// What can be done with it.
    pub verbs: Vec<String>,
}

/// A column of a Table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Column {
    /// The heading.
    pub name: String,
    /// An OpenAPI type.
    #[serde(rename = "type")]
    pub data_type: String,
    /// An OpenAPI format, or `name` for the column of names.
    pub format: String,
    /// 0 is always shown, 1 only in wide output.
    pub priority: i32,
}

impl Kind {
    /// Group, version and kind.
    pub fn gvk(&self) -> Gvk {
        Gvk::new(&self.group, &self.version, &self.kind)
    }

    /// Group, version and resource.
    pub fn gvr(&self) -> Gvr {
        Gvr::new(&self.group, &self.version, &self.resource)
    }

    /// The `apiVersion` of its objects.
    pub fn api_version(&self) -> String {
        crate::gvk::api_version(&self.group, &self.version)
    }

    /// The kind of a list of its objects.
    pub fn list_kind(&self) -> String {
        format!("{}List", self.kind)
    }

    /// True if discovery lists the verb.
    pub fn has_verb(&self, verb: &str) -> bool {
        self.verbs.iter().any(|found| found == verb)
    }

    /// The subresource of that name.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|found| found.name == name)
    }

    /// Whether its objects have a status that is written apart from the rest.
    pub fn has_status(&self) -> bool {
        self.subresource("status").is_some()
    }

    /// Whether its objects are kept in the store.
    pub fn is_stored(&self) -> bool {
        !self.storage_prefix.is_empty()
    }
}

/// All built-in kinds, in the order of discovery.
#[derive(Debug)]
pub struct Kinds {
    all: Vec<Kind>,
    by_resource: HashMap<Gvr, usize>,
    by_kind: HashMap<Gvk, usize>,
}

static BUILTIN: LazyLock<Kinds> = LazyLock::new(|| {
    let all: Vec<Kind> =
        serde_json::from_str(TABLE).expect("the table is part of the program and read by a test");
    let by_resource = all
        .iter()
        .enumerate()
        .map(|(i, kind)| (kind.gvr(), i))
        .collect();
    // A kind that is served under two resources is found by the stored one.
    let mut by_kind = HashMap::new();
    for (i, kind) in all.iter().enumerate() {
        if kind.is_stored() || !by_kind.contains_key(&kind.gvk()) {
            by_kind.insert(kind.gvk(), i);
        }
    }
    Kinds {
        all,
        by_resource,
        by_kind,
    }
});

impl Kinds {
    /// The table.
    pub fn builtin() -> &'static Self {
        &BUILTIN
    }

    /// The kind behind a resource.
    pub fn by_resource(&self, group: &str, version: &str, resource: &str) -> Option<&Kind> {
        self.by_resource
            .get(&Gvr::new(group, version, resource))
            .map(|i| &self.all[*i])
    }

    /// The kind of that name.
    pub fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Kind> {
        self.by_kind
            .get(&Gvk::new(group, version, kind))
            .map(|i| &self.all[*i])
    }

    /// Every kind.
    pub fn iter(&self) -> impl Iterator<Item = &Kind> {
        self.all.iter()
    }

    /// Groups with their versions, preferred first, in the order of discovery.
    pub fn groups(&self) -> Vec<(&str, Vec<&str>)> {
        let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
        for kind in &self.all {
            match groups.iter_mut().find(|(group, _)| *group == kind.group) {
                Some((_, versions)) if versions.contains(&kind.version.as_str()) => {}
                Some((_, versions)) => versions.push(&kind.version),
                None => groups.push((&kind.group, vec![&kind.version])),
            }
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::Kinds;

    #[test]
    fn the_table_is_read() {
        let kinds = Kinds::builtin();
        assert_eq!(kinds.iter().count(), 68);
        let pods = kinds.by_resource("", "v1", "pods").unwrap();
        assert_eq!((pods.kind.as_str(), pods.namespaced), ("Pod", true));
        assert!(
            pods.subresource("eviction")
                .is_some_and(|sub| sub.group == "policy")
        );
        let nodes = kinds.by_kind("", "v1", "Node").unwrap();
        assert_eq!(nodes.storage_prefix, "minions");
        assert!(kinds.by_kind("apps", "v1", "Nonsense").is_none());
        assert_eq!(kinds.groups()[0], ("", vec!["v1"]));
    }
}
