//! The table of messages: field numbers, JSON names and types. Data of `api-meta`, read once.
//!
//! A line `kind APIVERSION/KIND MESSAGE`, or `message NAME` followed by its fields, each
//! ` NUMBER NAME SHAPE TYPE [keep]`; `keep` marks fields whose zero means something.

use std::collections::HashMap;
use std::sync::LazyLock;

use api_meta::Gvk;

/// How a field stands in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    List,
    Map,
    /// Its fields are those of the message around it.
    Inline,
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Type {
    String,
    Bytes,
    Bool,
    Integer,
    Double,
    Time { digits: u8 },
    Quantity,
    Duration,
    IntOrString,
    Raw,
    Items,
    Message(String),
}

/// One field.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) shape: Shape,
    pub(super) kind: Type,
    pub(super) keeps_zero: bool,
}

/// One message.
#[derive(Debug, Default)]
pub(super) struct Message {
    fields: HashMap<u32, Field>,
}

impl Message {
    pub(super) fn field(&self, number: u32) -> Option<&Field> {
        self.fields.get(&number)
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Table {
    kinds: HashMap<String, String>,
    messages: HashMap<String, Message>,
}

/// The options of requests, which any group's version may carry.
const META: &str = "k8s.io.apimachinery.pkg.apis.meta.v1.";

impl Table {
    pub(super) fn message(&self, name: &str) -> Option<&Message> {
        self.messages.get(name)
    }

    /// The message of a kind.
    pub(super) fn of_kind(&self, gvk: &Gvk) -> Option<&Message> {
        let found = self
            .kinds
            .get(&format!("{}/{}", gvk.api_version(), gvk.kind));
        match found {
            Some(name) => self.message(name),
            None if gvk.kind.ends_with("Options") => self.message(&format!("{META}{}", gvk.kind)),
            None => None,
        }
    }

    fn read(text: &str) -> Self {
        let mut table = Self::default();
        let mut current = String::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["kind", kind, message] => {
                    table
                        .kinds
                        .insert((*kind).to_owned(), (*message).to_owned());
                }
                ["message", name] => {
                    current = (*name).to_owned();
                    table.messages.entry(current.clone()).or_default();
                }
                [number, name, shape, kind, keep @ ..] => {
                    if let (Ok(number), Some(message)) =
                        (number.parse(), table.messages.get_mut(&current))
                    {
                        let field = Field {
                            name: (*name).to_owned(),
                            shape: read_shape(shape),
                            kind: read_type(kind),
                            keeps_zero: !keep.is_empty(),
                        };
                        message.fields.insert(number, field);
                    }
                }
                _ => {}
            }
        }
        table
    }
}

fn read_shape(word: &str) -> Shape {
    match word {
        "r" => Shape::List,
        "m" => Shape::Map,
        "i" => Shape::Inline,
        _ => Shape::One,
    }
}

fn read_type(word: &str) -> Type {
    match word {
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "bool" => Type::Bool,
        "double" | "float" => Type::Double,
        "int32" | "int64" | "uint32" | "uint64" => Type::Integer,
        "k8s.io.apimachinery.pkg.apis.meta.v1.Time" => Type::Time { digits: 0 },
        "k8s.io.apimachinery.pkg.apis.meta.v1.MicroTime" => Type::Time { digits: 6 },
        "k8s.io.apimachinery.pkg.api.resource.Quantity" => Type::Quantity,
        "k8s.io.apimachinery.pkg.apis.meta.v1.Duration" => Type::Duration,
        "k8s.io.apimachinery.pkg.util.intstr.IntOrString" => Type::IntOrString,
        "k8s.io.apimachinery.pkg.runtime.RawExtension"
        | "k8s.io.apimachinery.pkg.apis.meta.v1.FieldsV1" => Type::Raw,
        "k8s.io.api.authorization.v1.ExtraValue"
        | "k8s.io.api.authentication.v1.ExtraValue"
        | "k8s.io.api.certificates.v1.ExtraValue" => Type::Items,
        message => Type::Message(message.to_owned()),
    }
}

pub(super) static TABLE: LazyLock<Table> = LazyLock::new(|| Table::read(api_meta::data::PROTOBUF));

#[cfg(test)]
mod tests {
    use super::{TABLE, Type};

    #[test]
    fn every_message_that_is_named_is_there() {
        assert!(TABLE.messages.len() > 400);
        for message in TABLE.messages.values() {
            for field in message.fields.values() {
                if let Type::Message(name) = &field.kind {
                    assert!(TABLE.message(name).is_some(), "{name}");
                }
            }
        }
        for message in TABLE.kinds.values() {
            assert!(TABLE.message(message).is_some(), "{message}");
        }
    }
}
