//! The committed form of a table: JSON with one entry a line, so that a diff names what changed.

use serde_json::Value;

/// A list, one item a line.
pub(super) fn list(items: &[Value]) -> String {
    let lines: Vec<String> = items.iter().map(Value::to_string).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

/// A map, one entry a line, in the order given.
pub(super) fn map<'a>(entries: impl IntoIterator<Item = (&'a str, &'a Value)>) -> String {
    let line = |(key, value): (&str, &Value)| format!("{}:{value}", Value::from(key));
    let lines: Vec<String> = entries.into_iter().map(line).collect();
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}
