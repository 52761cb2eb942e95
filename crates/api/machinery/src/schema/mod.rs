//! The types of built-in kinds: which fields they have, and how lists and maps in them merge.
//!
//! Read once from a table made of a real kube-apiserver's OpenAPI.

mod canonical;
mod check;
mod duplicates;

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use api_meta::Gvk;
use serde::Deserialize;
use serde_json::Value;

pub use canonical::{canonicalise, canonicalise as default};
pub use check::{Fault, check};
pub use duplicates::duplicates;

/// A named type.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Definition {
    /// Its fields by name; none for types that are no objects with known fields.
    #[serde(default, rename = "p")]
    pub fields: Option<BTreeMap<String, Type>>,
    /// The type itself where it has no known fields.
    #[serde(default, rename = "s")]
    pub plain: Option<Type>,
    /// Fields that must be there.
    #[serde(default, rename = "r")]
    pub required: Vec<String>,
    /// Group, version and kind of the objects that have this type.
    #[serde(default, rename = "g")]
    pub kinds: Vec<(String, String, String)>,
}

/// The type of a field, of a list's items or of a map's values.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Type {
    /// `string`, `integer`, `number`, `boolean`, `object`, `array` or `any`; empty for a reference.
    #[serde(default, rename = "t")]
    pub data_type: String,
    /// The name of a definition.
    #[serde(default, rename = "ref")]
    pub reference: Option<String>,
    /// An OpenAPI format, such as `int32`.
    #[serde(default, rename = "f")]
    pub format: Option<String>,
    /// What a list holds.
    #[serde(default, rename = "i")]
    pub items: Option<Box<Type>>,
    /// What a map holds.
    #[serde(default, rename = "m")]
    pub values: Option<Box<Type>>,
    /// What stands in its place where it is left out.
    #[serde(default, rename = "d")]
    pub default: Option<Value>,
    /// The allowed values.
    #[serde(default, rename = "e")]
    pub choices: Option<Vec<Value>>,
    /// `map`, `set` or `atomic`.
    #[serde(default, rename = "lt")]
    pub list_type: Option<String>,
    /// The fields that tell items of a `map` list apart.
    #[serde(default, rename = "lk")]
    pub list_keys: Option<Vec<String>>,
    /// `granular` or `atomic`.
    #[serde(default, rename = "mt")]
    pub map_type: Option<String>,
    /// `merge`, `replace`, `retainKeys` or several of them.
    #[serde(default, rename = "ps")]
    pub patch_strategy: Option<String>,
    /// The field that tells items apart in a strategic merge patch.
    #[serde(default, rename = "pk")]
    pub patch_merge_key: Option<String>,
    /// Of a field: the struct inside upstream's type that has it.
    #[serde(default, rename = "in")]
    pub embedded: Option<String>,
    /// Of a field: how its zero value is written.
    #[serde(default, rename = "z")]
    pub zero: Zero,
}

/// How upstream's encoder writes a field that is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Zero {
    /// It is a pointer: left out when it is not set, written when it is.
    #[default]
    Pointer,
    /// Left out, unless it is a struct.
    #[serde(rename = "d")]
    Dropped,
    /// Left out, also as a struct.
    #[serde(rename = "z")]
    StructDropped,
    /// Written.
    #[serde(rename = "k")]
    Kept,
}

/// All definitions.
#[derive(Debug)]
pub struct Schemas {
    all: BTreeMap<String, Definition>,
    by_kind: HashMap<Gvk, String>,
}

static BUILTIN: LazyLock<Schemas> = LazyLock::new(|| {
    let all: BTreeMap<String, Definition> = serde_json::from_str(api_meta::data::SCHEMAS)
        .expect("the table is part of the program and read by a test");
    let mut by_kind = HashMap::new();
    for (name, definition) in &all {
        // What many groups share, such as options, belongs to no kind.
        if let [(group, version, kind)] = definition.kinds.as_slice() {
            by_kind.insert(Gvk::new(group, version, kind), name.clone());
        }
    }
    Schemas { all, by_kind }
});

impl Schemas {
    /// The table.
    pub fn builtin() -> &'static Self {
        &BUILTIN
    }

    /// A definition by name.
    pub fn get(&self, name: &str) -> Option<&Definition> {
        self.all.get(name)
    }

    /// The definition of a kind, with its name.
    pub fn of_kind(&self, gvk: &Gvk) -> Option<(&str, &Definition)> {
        let name = self.by_kind.get(gvk)?;
        Some((name, self.all.get(name)?))
    }

    /// Every definition by name.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Definition)> {
        self.all.iter()
    }

    /// The definition that a type refers to.
    pub fn target(&self, field: &Type) -> Option<&Definition> {
        self.get(field.reference.as_deref()?)
    }
}

#[cfg(test)]
mod tests {
    use api_meta::{Gvk, Kinds};

    use super::Schemas;

    #[test]
    fn every_stored_kind_has_a_definition_and_every_reference_a_target() {
        let schemas = Schemas::builtin();
        for kind in Kinds::builtin().iter().filter(|kind| kind.is_stored()) {
            assert!(schemas.of_kind(&kind.gvk()).is_some(), "{}", kind.gvk());
        }
        for (name, definition) in schemas.iter() {
            for (field, kind) in definition.fields.iter().flatten() {
                assert!(
                    kind.reference.is_none() || schemas.target(kind).is_some(),
                    "{name}.{field}"
                );
            }
        }
    }

    #[test]
    fn lists_say_how_they_merge() {
        let schemas = Schemas::builtin();
        let spec = schemas.get("io.k8s.api.core.v1.ServiceSpec").unwrap();
        let ports = &spec.fields.as_ref().unwrap()["ports"];
        assert_eq!(ports.patch_merge_key.as_deref(), Some("port"));
        assert_eq!(
            ports.list_keys.as_deref(),
            Some(&["port".to_owned(), "protocol".to_owned()][..])
        );
        assert!(
            schemas
                .of_kind(&Gvk::new("apps", "v1", "Deployment"))
                .is_some()
        );
    }
}
