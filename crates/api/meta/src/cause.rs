//! One fault in one field, in the words that users of Kubernetes know.
//!
//! A cause knows its field path and its text; [`crate::status::Status::invalid`] makes an answer of
//! a list of them.

use std::fmt::{self, Display, Write as _};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A fault in a field, or another machine-readable reason inside a Status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The machine-readable reason, such as `FieldValueRequired`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What is wrong, without the field's path.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The path of the field, such as `spec.containers[0].name`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
}

impl Cause {
    /// Puts the three together.
    pub fn new(reason: &str, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            reason: reason.to_owned(),
            field: field.into(),
            message: message.into(),
        }
    }

    /// The value is not allowed, and `detail` says why.
    pub fn invalid(field: impl Into<String>, value: impl Shown, detail: &str) -> Self {
        let message = with_detail(format!("Invalid value: {}", value.shown()), detail);
        Self::new("FieldValueInvalid", field, message)
    }

    /// The value has the wrong type.
    pub fn type_invalid(field: impl Into<String>, value: impl Shown, detail: &str) -> Self {
        let message = with_detail(format!("Invalid value: {}", value.shown()), detail);
        Self::new("FieldValueTypeInvalid", field, message)
    }

    /// The value is missing.
    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        Self::new(
            "FieldValueRequired",
            field,
            with_detail("Required value".to_owned(), detail),
        )
    }

    /// The value occurs twice where it must be unique.
    pub fn duplicate(field: impl Into<String>, value: impl Shown) -> Self {
        Self::new(
            "FieldValueDuplicate",
            field,
            format!("Duplicate value: {}", value.shown()),
        )
    }

    /// The value names something that does not exist.
    pub fn not_found(field: impl Into<String>, value: impl Shown) -> Self {
        Self::new(
            "FieldValueNotFound",
            field,
            format!("Not found: {}", value.shown()),
        )
    }

    /// The value is none of the supported ones.
    pub fn not_supported(field: impl Into<String>, value: impl Shown, supported: &[&str]) -> Self {
        let mut message = format!("Unsupported value: {}", value.shown());
        for (at, one) in supported.iter().enumerate() {
            message.push_str(if at == 0 {
                ": supported values: "
            } else {
                ", "
            });
            message.push_str(&quoted(one));
        }
        Self::new("FieldValueNotSupported", field, message)
    }

    /// The field must not be set, or not be changed.
    pub fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self::new(
            "FieldValueForbidden",
            field,
            with_detail("Forbidden".to_owned(), detail),
        )
    }

    /// The value has too many bytes.
    pub fn too_long(field: impl Into<String>, bytes_max: usize) -> Self {
        let unit = if bytes_max == 1 { "byte" } else { "bytes" };
        let message = format!("Too long: may not be more than {bytes_max} {unit}");
        Self::new("FieldValueTooLong", field, message)
    }

    /// The list has too many items.
    pub fn too_many(field: impl Into<String>, actual: usize, items_max: usize) -> Self {
        let unit = if items_max == 1 { "item" } else { "items" };
        let message = format!("Too many: {actual}: must have at most {items_max} {unit}");
        Self::new("FieldValueTooMany", field, message)
    }

    /// The check itself could not be made.
    pub fn internal(field: impl Into<String>, detail: &str) -> Self {
        Self::new(
            "InternalError",
            field,
            with_detail("Internal error".to_owned(), detail),
        )
    }
}

impl Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// How a value stands in a refusal: strings quoted, numbers and booleans bare, the rest as JSON.
pub trait Shown {
    /// The text.
    fn shown(&self) -> String;
}

impl Shown for &str {
    fn shown(&self) -> String {
        quoted(self)
    }
}

impl Shown for &String {
    fn shown(&self) -> String {
        quoted(self)
    }
}

impl Shown for i64 {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for bool {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for &Value {
    fn shown(&self) -> String {
        match self {
            Value::String(text) => quoted(text),
            other => go_json(other),
        }
    }
}

/// A string between double quotes, escaped as Go's `%q` does it.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\u{b}' => out.push_str("\\v"),
            c if c.is_control() && (c as u32) < 0x80 => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// JSON as Go writes it: `<`, `>` and `&` escaped.
pub fn go_json(value: &Value) -> String {
    let plain = value.to_string();
    if !plain.contains(['<', '>', '&']) {
        return plain;
    }
    plain
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
}

fn with_detail(mut message: String, detail: &str) -> String {
    if !detail.is_empty() {
        message.push_str(": ");
        message.push_str(detail);
    }
    message
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Cause;

    #[test]
    fn texts_are_upstreams() {
        let check = |cause: Cause, text: &str| assert_eq!(cause.to_string(), text);
        check(
            Cause::required("spec.selector", ""),
            "spec.selector: Required value",
        );
        check(
            Cause::invalid("a", "b\n", "no"),
            "a: Invalid value: \"b\\n\": no",
        );
        check(Cause::invalid("a", 3, ""), "a: Invalid value: 3");
        check(
            Cause::invalid("a", &json!({"x": "<"}), "no"),
            "a: Invalid value: {\"x\":\"\\u003c\"}: no",
        );
        check(
            Cause::not_supported("p", "X", &["A", "B"]),
            "p: Unsupported value: \"X\": supported values: \"A\", \"B\"",
        );
        check(
            Cause::too_long("n", 1),
            "n: Too long: may not be more than 1 byte",
        );
        check(
            Cause::too_many("n", 3, 1),
            "n: Too many: 3: must have at most 1 item",
        );
        check(Cause::forbidden("f", "why"), "f: Forbidden: why");
    }
}
