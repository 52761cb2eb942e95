//! The types that a group's kinds are made of, in OpenAPI's form.

use std::collections::BTreeSet;

use api_machinery::schema::{Definition, Schemas, Type};
use api_meta::kinds::Kinds;
use serde_json::{Map, Value, json};

/// The types that every group's requests use beside its own.
const SHARED: &[&str] = &[
    "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Status",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Patch",
    "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent",
];

/// All types that the kinds of a group and version reach.
pub(super) fn of(group: &str, version: &str) -> Map<String, Value> {
    let schemas = Schemas::builtin();
    let mut wanted: Vec<&str> = SHARED
        .iter()
        .copied()
        .filter(|name| schemas.get(name).is_some())
        .collect();
    for kind in Kinds::builtin()
        .iter()
        .filter(|kind| kind.group == group && kind.version == version)
    {
        let subs = kind
            .subresources
            .iter()
            .map(|sub| api_meta::Gvk::new(&sub.group, &sub.version, &sub.kind));
        let list = api_meta::Gvk::new(group, version, &kind.list_kind());
        for gvk in [kind.gvk(), list].into_iter().chain(subs) {
            wanted.extend(schemas.of_kind(&gvk).map(|(name, _)| name));
        }
    }
    let mut seen = BTreeSet::new();
    let mut found = Map::new();
    while let Some(name) = wanted.pop() {
        let Some(definition) = schemas.get(name).filter(|_| seen.insert(name)) else {
            continue;
        };
        for field in definition
            .fields
            .iter()
            .flat_map(|fields| fields.values())
            .chain(&definition.plain)
        {
            wanted.extend(references(field));
        }
        found.insert(name.to_owned(), render(definition));
    }
    found
}

/// The name of a kind's type, for references from paths.
pub(super) fn name_of(gvk: &api_meta::Gvk) -> Option<&'static str> {
    Schemas::builtin().of_kind(gvk).map(|(name, _)| name)
}

fn references(kind: &Type) -> Vec<&str> {
    let inner = [kind.items.as_deref(), kind.values.as_deref()];
    let mut found: Vec<&str> = inner.into_iter().flatten().flat_map(references).collect();
    found.extend(kind.reference.as_deref());
    found
}

fn render(definition: &Definition) -> Value {
    let mut schema = match (&definition.fields, &definition.plain) {
        (Some(fields), _) => {
            let properties: Map<String, Value> = fields
                .iter()
                .map(|(name, kind)| (name.clone(), field(kind)))
                .collect();
            json!({"type": "object", "properties": properties})
        }
        (None, Some(plain)) => field(plain),
        (None, None) => json!({"type": "object"}),
    };
    if !definition.required.is_empty() {
        schema["required"] = definition.required.clone().into();
    }
    let kinds: Vec<Value> = definition
        .kinds
        .iter()
        .map(|(group, version, kind)| json!({"group": group, "version": version, "kind": kind}))
        .collect();
    if !kinds.is_empty() {
        schema["x-kubernetes-group-version-kind"] = kinds.into();
    }
    schema
}

fn field(kind: &Type) -> Value {
    let mut schema = Map::new();
    if let Some(name) = &kind.reference {
        // A reference alone would hide what stands beside it.
        schema.insert(
            "allOf".into(),
            json!([{"$ref": format!("#/components/schemas/{name}")}]),
        );
    } else if kind.format.as_deref() == Some("int-or-string") {
        schema.insert(
            "oneOf".into(),
            json!([{"type": "integer"}, {"type": "string"}]),
        );
    } else if kind.data_type != "any" {
        schema.insert("type".into(), kind.data_type.clone().into());
    }
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            schema.insert(name.to_owned(), value);
        }
    };
    set("format", kind.format.clone().map(Value::from));
    set("items", kind.items.as_deref().map(field));
    set("additionalProperties", kind.values.as_deref().map(field));
    set("default", kind.default.clone());
    set("enum", kind.choices.clone().map(Value::from));
    set(
        "x-kubernetes-list-type",
        kind.list_type.clone().map(Value::from),
    );
    set(
        "x-kubernetes-list-map-keys",
        kind.list_keys.clone().map(Value::from),
    );
    set(
        "x-kubernetes-map-type",
        kind.map_type.clone().map(Value::from),
    );
    set(
        "x-kubernetes-patch-strategy",
        kind.patch_strategy.clone().map(Value::from),
    );
    set(
        "x-kubernetes-patch-merge-key",
        kind.patch_merge_key.clone().map(Value::from),
    );
    Value::Object(schema)
}
