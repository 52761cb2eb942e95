//! One change of one key, as a watch tells it, and its form in histories:
//! `[revision :put key value create version prev lease]`, with `:delete` and `nil` for what a
//! deletion does not have. `prev` is the revision of what was there before, `nil` if nothing was.

use crate::check::Error;
use crate::edn::Value;

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Where it happened.
    pub(crate) revision: i64,
    /// The key.
    pub(crate) key: String,
    /// The new value; none if the key was deleted.
    pub(crate) value: Option<String>,
    /// Where the key was made.
    pub(crate) create: i64,
    /// How often it was written since.
    pub(crate) version: i64,
    /// Where what was there before was written.
    pub(crate) prev: Option<i64>,
    /// The lease it hangs on; 0 if none.
    pub(crate) lease: i64,
}

impl Entry {
    /// As histories have it.
    pub(crate) fn to_value(&self) -> Value {
        let kind = if self.value.is_some() {
            "put"
        } else {
            "delete"
        };
        let text = |text: &String| Value::text(text);
        Value::Vector(vec![
            self.revision.into(),
            Value::keyword(kind),
            Value::text(&self.key),
            self.value.as_ref().map_or(Value::Nil, text),
            self.create.into(),
            self.version.into(),
            self.prev.map_or(Value::Nil, Value::Int),
            self.lease.into(),
        ])
    }

    /// Reads it back; `line` is where it stands.
    pub(super) fn from_value(value: &Value, line: usize) -> Result<Self, Error> {
        let read = || {
            let [revision, kind, key, value, create, version, prev, lease] = value.elements()?
            else {
                return None;
            };
            let value = match (kind.name()?, value) {
                ("put", Value::Text(value)) => Some(value.clone()),
                ("delete", Value::Nil) => None,
                _ => return None,
            };
            Some(Self {
                revision: revision.int()?,
                key: text(key)?.to_owned(),
                value,
                create: create.int()?,
                version: version.int()?,
                prev: prev.int(),
                lease: lease.int()?,
            })
        };
        read().ok_or_else(|| Error::Shape {
            line,
            what: format!(
                "a change must be [revision :put|:delete key value create version prev lease], and not {value}"
            ),
        })
    }
}

/// The text, as it is: of a name [`Value::name`] would take a part away.
pub(super) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}
