//! bbolt's file format, read and written as streams: the format of etcd's database and snapshots.
//!
//! A file is pages of one size. Pages 0 and 1 are meta pages, of which the valid one with the higher
//! transaction id counts. It names the root bucket's tree, whose leaves hold the other buckets.
//! ```text
//! page      id: u64 | flags: u16 | count: u16 | overflow: u32 | elements | keys and values
//! meta      magic: u32 | version: u32 | page size: u32 | flags: u32 | root: u64 | sequence: u64
//!           | freelist: u64 | pages: u64 | transaction: u64 | FNV-64a of all before it: u64
//! branch    position: u32 | key size: u32 | child: u64
//! leaf      flags: u32 | position: u32 | key size: u32 | value size: u32
//! bucket    root: u64 (0: a leaf page follows right here) | sequence: u64
//! ```
//! Numbers are little-endian; bbolt writes the machine's own order, and etcd's machines agree. A
//! node larger than a page goes on in the `overflow` pages behind it. A position counts from its own
//! element.
//!
//! Reading never trusts a byte: whatever a file holds, it ends in rows or in an [`Error`], touches no
//! page twice and never holds more than one path of the tree. It must never write to a file that it
//! reads. Writing takes buckets and keys in order and goes forwards only, so that a file can be sent
//! while it is made; see [`Writer`].

mod error;
mod format;
mod node;
mod read;
mod rows;
mod source;
mod tree;
mod write;

#[cfg(test)]
mod tests;

pub use error::{Error, WriteError};
pub use format::PAGE_BYTES_DEFAULT;
pub use read::{Bucket, Database};
pub use rows::{Row, Rows, Value};
pub use source::Source;
pub use write::{Shape, Writer};
