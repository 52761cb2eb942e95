//! The first document of a YAML text as a tree that keeps fields given twice, and the lines of its
//! fields. Recursion and aliases are bounded by the library.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    /// The word that Go's decoder has for it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Integer(_) | Self::Float(_) => "number",
            Self::Text(_) => "string",
            Self::List(_) => "array",
            Self::Map(_) => "object",
        }
    }
}

/// Reads the first document; none is null. The error names line and column.
pub(super) fn parse(text: &str) -> Result<Node, serde_yaml_ng::Error> {
    let is_blank = |line: &str| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#')
    };
    if text.lines().all(is_blank) {
        return Ok(Node::Null);
    }
    match serde_yaml_ng::Deserializer::from_str(text).next() {
        Some(document) => Node::deserialize(document),
        None => Ok(Node::Null),
    }
}

/// What YAML 1.1, which etcd reads, also takes for a boolean.
pub(super) fn old_bool(text: &str) -> Option<bool> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// The line of the last field at `path`, names with slashes between them, from 1. None where the
/// text is not written in the usual form of one field a line.
pub(super) fn line_of(text: &str, path: &str) -> Option<usize> {
    let mut found = None;
    // The open fields above the present line: how deep they are, and their names.
    let mut open: Vec<(usize, String)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let body = line.trim_start();
        let Some((key, _)) = body.split_once(':') else {
            continue;
        };
        if body.starts_with('#') || body.starts_with('-') {
            continue;
        }
        let depth = line.len() - body.len();
        open.retain(|(above, _)| *above < depth);
        let key = key.trim().trim_matches(['"', '\'']).to_ascii_lowercase();
        open.push((depth, key));
        let is_it = open
            .iter()
            .map(|(_, name)| name.as_str())
            .eq(path.split('/'));
        if is_it {
            found = Some(index + 1);
        }
    }
    found
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Tree)
    }
}

struct Tree;

impl<'de> Visitor<'de> for Tree {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value without a tag")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Integer(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Node, E> {
        Ok(Node::Integer(value))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Node, E> {
        // Beyond every limit either way.
        Ok(Node::Integer(i128::try_from(value).unwrap_or(i128::MAX)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some((key, value)) = pairs.next_entry::<Node, Node>()? {
            let key = match key {
                Node::Text(text) => text,
                Node::Integer(number) => number.to_string(),
                Node::Bool(value) => value.to_string(),
                other => other.kind().to_owned(),
            };
            map.push((key, value));
        }
        Ok(Node::Map(map))
    }
}
