//! What clients asked and what they were told, in the order of time: the one recorded form.
//!
//! A history is a sequence of events as Jepsen has them. A client, known by its `process`, invokes
//! an operation (`invoke`), and is later told that it happened (`ok`), that it did not (`fail`), or
//! nothing that decides it (`info`). Others than clients (the nemesis, a watcher) only note what
//! they did or saw, as `info`. The order of the events is the order in which they happened.

mod event;
mod file;
mod json;
mod ops;
mod record;
#[cfg(test)]
mod tests;

pub use event::{Event, Kind, Process};
pub(crate) use file::{BYTES_MAX, read, write_edn, write_json};
pub(crate) use ops::{NEVER, Op, PairError, pair};
pub use record::History;
