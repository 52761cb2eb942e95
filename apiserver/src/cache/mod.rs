//! Every object of the store, in memory, one revision cursor for all kinds.
//!
//! Reading order: [`object`] (shared bytes and header), [`ingest`] (the one watch), [`kind_cache`]
//! (the state of a kind), [`ring`] (its recent events), [`fan_out`] (who hears of them),
//! [`consistent_read`] (how a read proves that it is fresh).

pub mod consistent_read;
pub mod fan_out;
pub mod ingest;
pub mod kind_cache;
pub mod object;
pub mod position;
pub mod reader;
pub mod ring;
pub mod snapshot;
#[cfg(test)]
pub(crate) mod testing;
pub mod watcher;

pub use kind_cache::{Cache, KindCache};
pub use object::Object;
pub use reader::ObjectReader;
