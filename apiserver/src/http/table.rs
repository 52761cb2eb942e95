//! Tables: what people read instead of the objects. The cells come from the machinery.

use api_machinery::table::rows;
use api_meta::kinds::{Column, Kind};
use api_meta::status::Status;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::cache::Object;
use crate::registry::query::Query;

/// What a row carries besides its cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Include {
    /// The object's metadata.
    #[default]
    Metadata,
    /// The whole object.
    Object,
    /// Nothing.
    Nothing,
}

impl Include {
    /// Reads `includeObject`.
    pub fn parse(query: &Query) -> Result<Self, Status> {
        match query.str("includeObject") {
            None | Some("Metadata") => Ok(Self::Metadata),
            Some("Object") => Ok(Self::Object),
            Some("None") => Ok(Self::Nothing),
            Some(other) => Err(Status::bad_request(format!(
                "unrecognized includeObject value: {other:?}"
            ))),
        }
    }
}

/// A Table of `objects`. `metadata` is that of the list.
pub fn table(
    kind: &Kind,
    objects: &[&Object],
    metadata: Value,
    include: Include,
) -> Result<Value, Status> {
    let now = Timestamp::now();
    let mut out = Vec::with_capacity(objects.len());
    for object in objects {
        let value = object.value()?;
        let mut row = Map::new();
        row.insert(
            "cells".into(),
            rows::cells(&kind.group, &kind.resource, &value, now).into(),
        );
        match include {
            Include::Metadata => {
                row.insert("object".into(), partial(&value));
            }
            Include::Object => {
                row.insert("object".into(), value);
            }
            Include::Nothing => {}
        }
        out.push(Value::Object(row));
    }
    Ok(json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": columns(kind),
        "rows": out,
    }))
}

/// The metadata alone, in the form of its own kind.
pub fn partial(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object.get("metadata").cloned().unwrap_or_default(),
    })
}

fn columns(kind: &Kind) -> Vec<Value> {
    let describe = |column: &Column| {
        json!({
            "name": column.name,
            "type": column.data_type,
            "format": column.format,
            "description": "",
            "priority": column.priority,
        })
    };
    if rows::is_known(&kind.group, &kind.resource) && !kind.columns.is_empty() {
        return kind.columns.iter().map(describe).collect();
    }
    let plain = |name: &str, data_type: &str, format: &str| json!({"name": name, "type": data_type, "format": format, "description": "", "priority": 0});
    vec![
        plain("Name", "string", "name"),
        plain("Created At", "date", ""),
    ]
}
