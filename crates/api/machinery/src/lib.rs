//! What is done to objects of any kind, without knowing what the kind does: patches, bodies, schema
//! walks, tables.

pub mod patch;
pub mod protobuf;
pub mod schema;
pub mod table;
