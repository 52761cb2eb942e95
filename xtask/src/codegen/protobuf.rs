//! The table of protobuf messages: for each field its number, its JSON name and its type.
//!
//! A line `kind APIVERSION/KIND MESSAGE`, or `message NAME` followed by its fields, each
//! ` NUMBER NAME SHAPE TYPE [keep]`. Shapes: `o` one, `r` repeated, `m` a map from strings, `i`
//! embedded: its fields belong to the message around it. `keep` marks fields whose zero is kept.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use super::schemas::Schemas;
use super::source::{Label, ProtoField, Sources};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";
/// What requests of any group may carry.
const OPTIONS: [&str; 4] = [
    "CreateOptions",
    "UpdateOptions",
    "PatchOptions",
    "DeleteOptions",
];

/// The table, of the kinds that are served and what they are made of.
pub(super) fn table(schemas: &Schemas, sources: &Sources) -> String {
    let mut kinds = BTreeSet::new();
    let mut wanted: Vec<String> = OPTIONS.iter().map(|name| format!("{META}{name}")).collect();
    for (name, schema) in schemas {
        let Some([kind]) = schema["g"].as_array().map(Vec::as_slice) else {
            continue;
        };
        // Nobody sends a list.
        if sources.messages.contains_key(name) && !name.ends_with("List") {
            kinds.insert(format!("kind {} {}\n", api_version(kind), proto_name(name)));
            wanted.push(name.clone());
        }
    }
    let mut reached = BTreeSet::new();
    while let Some(name) = wanted.pop() {
        let Some(fields) = sources.messages.get(&name) else {
            continue;
        };
        if reached.insert(name) {
            wanted.extend(fields.iter().map(|field| field.type_name.clone()));
        }
    }
    let mut text: String = kinds.into_iter().collect();
    for name in &reached {
        message(&mut text, sources, name);
    }
    text
}

fn api_version(kind: &Value) -> String {
    let part = |i: usize| kind[i].as_str().unwrap_or_default();
    match part(0) {
        "" => format!("{}/{}", part(1), part(2)),
        group => format!("{group}/{}/{}", part(1), part(2)),
    }
}

fn message(text: &mut String, sources: &Sources, name: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "message {}", proto_name(name));
    let mut fields: Vec<&ProtoField> = sources.messages.get(name).into_iter().flatten().collect();
    fields.sort_by_key(|field| field.number);
    let structs = sources.structs.get(name);
    for field in fields {
        let go = structs
            .into_iter()
            .flatten()
            .find(|go| go.number == Some(field.number));
        let json = go
            .map(|go| go.json.as_str())
            .filter(|json| !json.is_empty());
        let shape = match field.label {
            Label::Single if go.is_some_and(|go| go.json.is_empty()) => "i",
            Label::Single => "o",
            Label::Repeated => "r",
            Label::Map => "m",
        };
        let keeps = go.is_some_and(|go| go.is_pointer || !(go.omits_empty || go.omits_zero));
        let keep = if shape == "o" && keeps { " keep" } else { "" };
        let json = json.unwrap_or(&field.name);
        let type_name = proto_name(&field.type_name);
        let _ = writeln!(text, " {} {json} {shape} {type_name}{keep}", field.number);
    }
}

/// The reverse of what the sources' reader does to names.
fn proto_name(name: &str) -> String {
    let name = name
        .strip_prefix("io.k8s.")
        .map_or_else(|| name.to_owned(), |rest| format!("k8s.io.{rest}"));
    name.replace("apiextensions-apiserver", "apiextensions_apiserver")
        .replace("kube-aggregator", "kube_aggregator")
}
