//! The table of schemas: OpenAPI's facts in short names, with how Go writes a zero field.
//!
//! A definition has `p` fields, or `s` where it has no known fields, `r` required fields, `g`
//! group-version-kinds. A type has `t` type, `ref` reference, `f` format, `i` items, `m` values of a
//! map, `d` default, `e` enum, `lt` list type, `lk` list map keys, `mt` map type, `ps` patch
//! strategy, `pk` patch merge key, and of a field `z`: what a decoder and encoder of Go make of its
//! zero value, `d` dropped unless it is a struct, `z` dropped, `k` kept, absent for a pointer; `in`:
//! the embedded struct that has the field.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use super::server::Server;
use super::source::{GoField, Sources};
use super::write;

const REFERENCE: &str = "#/components/schemas/";

/// Definitions by name.
pub(super) type Schemas = BTreeMap<String, Value>;

/// The definitions of all groups.
pub(super) fn read(server: &Server, sources: &Sources) -> Result<Schemas> {
    let index = server.get("/openapi/v3", "application/json")?;
    let mut schemas = Schemas::new();
    for (_, entry) in index["paths"]
        .as_object()
        .context("an index without paths")?
    {
        let path = entry["serverRelativeURL"]
            .as_str()
            .context("an entry without a URL")?;
        let document = server.get(path, "application/json")?;
        let Some(found) = document["components"]["schemas"].as_object() else {
            continue;
        };
        for (name, schema) in found {
            let mut definition = define(schema);
            let mut facts = BTreeMap::new();
            field_facts(sources, name, None, &mut facts);
            for (field, (zero, embedded)) in facts {
                let Some(field) = definition.get_mut("p").and_then(|p| p.get_mut(&field)) else {
                    continue;
                };
                if let Some(zero) = zero {
                    field["z"] = zero.into();
                }
                if let Some(embedded) = embedded {
                    field["in"] = embedded.into();
                }
            }
            // The kinds that a shared definition (DeleteOptions) belongs to differ per document.
            match schemas.get_mut(name) {
                Some(known) => merge_kinds(known, &definition),
                None => drop(schemas.insert(name.clone(), definition)),
            }
        }
    }
    Ok(schemas)
}

/// The table.
pub(super) fn table(schemas: &Schemas) -> String {
    write::map(schemas.iter().map(|(name, schema)| (name.as_str(), schema)))
}

fn merge_kinds(known: &mut Value, other: &Value) {
    let more = other["g"].as_array().cloned().unwrap_or_default();
    let Some(kinds) = known.get_mut("g").and_then(Value::as_array_mut) else {
        return;
    };
    for kind in more {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds.sort_by_key(Value::to_string);
}

fn define(schema: &Value) -> Value {
    let mut definition = Map::new();
    if let Some(fields) = schema["properties"].as_object() {
        let fields: Map<String, Value> = fields
            .iter()
            .map(|(name, schema)| (name.clone(), type_of(schema).into()))
            .collect();
        definition.insert("p".into(), fields.into());
    } else {
        definition.insert("s".into(), type_of(schema).into());
    }
    if let Some(required) = schema.get("required") {
        definition.insert("r".into(), required.clone());
    }
    if let Some(kinds) = schema["x-kubernetes-group-version-kind"].as_array() {
        let three =
            |kind: &Value| serde_json::json!([kind["group"], kind["version"], kind["kind"]]);
        definition.insert("g".into(), kinds.iter().map(three).collect());
    }
    definition.into()
}

fn type_of(schema: &Value) -> Map<String, Value> {
    let mut short = Map::new();
    for (from, to) in [
        ("type", "t"),
        ("format", "f"),
        ("default", "d"),
        ("enum", "e"),
        ("x-kubernetes-list-type", "lt"),
        ("x-kubernetes-list-map-keys", "lk"),
        ("x-kubernetes-map-type", "mt"),
        ("x-kubernetes-patch-strategy", "ps"),
        ("x-kubernetes-patch-merge-key", "pk"),
    ] {
        if let Some(value) = schema.get(from) {
            short.insert(to.into(), value.clone());
        }
    }
    let direct = schema.get("$ref");
    let wrapped = schema["allOf"].as_array().and_then(|all| all.first());
    let reference = direct.or_else(|| wrapped.and_then(|one| one.get("$ref")));
    if let Some(reference) = reference.and_then(Value::as_str) {
        short.insert("ref".into(), reference.trim_start_matches(REFERENCE).into());
    } else if !short.contains_key("t") {
        short.insert("t".into(), "any".into());
    }
    if let Some(items) = schema.get("items") {
        short.insert("i".into(), type_of(items).into());
    }
    if let Some(values) = schema
        .get("additionalProperties")
        .filter(|values| values.is_object())
    {
        short.insert("m".into(), type_of(values).into());
    }
    short
}

/// How a zero field is written, and the embedded struct that it belongs to.
type Facts = (Option<&'static str>, Option<String>);

/// What Go's encoder does with each field of a struct that is zero. A pointer is left out when it
/// is nil and written otherwise, which needs no mark.
fn field_facts(
    sources: &Sources,
    name: &str,
    embedded_in: Option<&str>,
    facts: &mut BTreeMap<String, Facts>,
) {
    for field in sources.structs.get(name).into_iter().flatten() {
        if field.json.is_empty() {
            if let Some(embedded) = embedded_name(sources, name, field) {
                let plain = embedded
                    .rsplit('.')
                    .next()
                    .filter(|plain| *plain != "TypeMeta");
                field_facts(sources, &embedded, plain, facts);
            }
        } else {
            let zero = (!field.is_pointer).then(|| form(field));
            facts.insert(field.json.clone(), (zero, embedded_in.map(str::to_owned)));
        }
    }
}

/// `omitempty` has no effect on structs, which the reader of the table has to know.
fn form(field: &GoField) -> &'static str {
    match (field.omits_empty, field.omits_zero) {
        (_, true) => "z",
        (true, false) => "d",
        (false, false) => "k",
    }
}

fn embedded_name(sources: &Sources, outer: &str, field: &GoField) -> Option<String> {
    let (package, _) = outer.rsplit_once('.')?;
    let name = match field.type_name.rsplit_once('.') {
        None => format!("{package}.{}", field.type_name),
        Some((_, "TypeMeta")) => "io.k8s.apimachinery.pkg.apis.meta.v1.TypeMeta".to_owned(),
        Some((_, name)) => format!("io.k8s.api.core.v1.{name}"),
    };
    sources.structs.contains_key(&name).then_some(name)
}
