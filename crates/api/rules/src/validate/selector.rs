//! Label selectors inside objects.

use api_meta::labels::Selector;
use api_meta::{Cause, names};
use serde_json::Value;

use super::meta;
use super::tools::{is_empty, list, reasons, text};

/// Faults of a selector.
pub(super) fn check(faults: &mut Vec<Cause>, path: &str, selector: &Value) {
    meta::labels(
        faults,
        &format!("{path}.matchLabels"),
        selector.get("matchLabels"),
    );
    for (i, expression) in list(selector, "matchExpressions").iter().enumerate() {
        let path = format!("{path}.matchExpressions[{i}]");
        let has_values = !list(expression, "values").is_empty();
        match text(expression, "operator") {
            "In" | "NotIn" if !has_values => faults.push(Cause::required(
                format!("{path}.values"),
                "must be specified when `operator` is 'In' or 'NotIn'",
            )),
            "Exists" | "DoesNotExist" if has_values => faults.push(Cause::forbidden(
                format!("{path}.values"),
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            )),
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => {
                let path = format!("{path}.operator");
                faults.push(Cause::invalid(path, other, "not a valid selector operator"));
            }
        }
        let key = text(expression, "key");
        reasons(faults, &format!("{path}.key"), key, names::label_key(key));
        for (i, value) in list(expression, "values")
            .iter()
            .filter_map(Value::as_str)
            .enumerate()
        {
            reasons(
                faults,
                &format!("{path}.values[{i}]"),
                value,
                names::label_value(value),
            );
        }
    }
}

/// Whether a selector selects everything.
pub(super) fn is_blank(selector: &Value) -> bool {
    is_empty(selector.get("matchLabels")) && is_empty(selector.get("matchExpressions"))
}

/// Reads a selector; none if it has faults.
pub(super) fn read(selector: Option<&Value>) -> Option<Selector> {
    let mut faults = Vec::new();
    check(&mut faults, "", selector.unwrap_or(&Value::Null));
    if faults.is_empty() {
        Selector::from_value(selector).ok()
    } else {
        None
    }
}

/// A fault whose value is the selector, in the order of upstream's type.
pub(super) fn invalid(path: &str, selector: &Value, why: &str) -> Cause {
    let part = |field: &str| {
        let value = selector.get(field).filter(|value| !is_empty(Some(value)))?;
        Some(format!("\"{field}\":{}", ordered(value)))
    };
    let parts: Vec<String> = ["matchLabels", "matchExpressions"]
        .into_iter()
        .filter_map(part)
        .collect();
    let message = format!("Invalid value: {{{}}}: {why}", parts.join(","));
    Cause::new("FieldValueInvalid", path, message)
}

/// Expressions have their fields in the order of upstream's type.
fn ordered(value: &Value) -> String {
    let Value::Array(expressions) = value else {
        return value.to_string();
    };
    let each = expressions.iter().map(|expression| {
        let part = |field: &str| Some(format!("\"{field}\":{}", expression.get(field)?));
        let parts: Vec<String> = ["key", "operator", "values"]
            .into_iter()
            .filter_map(part)
            .collect();
        format!("{{{}}}", parts.join(","))
    });
    format!("[{}]", each.collect::<Vec<_>>().join(","))
}
