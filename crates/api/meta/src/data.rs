//! The larger tables as text, for the crates that read them.

/// Field numbers of protobuf messages.
pub const PROTOBUF: &str = include_str!("../data/protobuf.txt");

/// The types of every built-in kind: fields, list types, merge keys, defaults, enums.
pub const SCHEMAS: &str = include_str!("../data/schemas.json");
