//! Whether the members hold the same: hashes of the history, compared at start, on a timer and at
//! each compaction. Whoever differs is named in a CORRUPT alarm, and must be replaced by an operator:
//! nothing here repairs anything. Words of logs are etcd's.

mod hashes;
mod plan;
mod run;

pub(super) use hashes::{Hashes, keep};
pub(super) use run::{compactions, initial, periodic};
