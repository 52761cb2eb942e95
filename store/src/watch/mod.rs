//! Tells watchers what changed, in revision order, without a gap and without a double.
//!
//! Apply publishes one batch per revision to the [`Hub`] and never waits for a watcher. A watcher
//! that keeps up is served from memory; one that does not, or that starts in the past, reads the
//! ring of recent batches and behind it the disk, at the pace of its own stream. Nothing here knows
//! gRPC: a stream hands out lists of events.

mod catch_up;
pub mod event;
mod group;
pub mod hub;
mod progress;
mod queue;
pub mod spec;
pub mod stream;

#[cfg(test)]
mod tests;

pub use event::{Change, ChangeKind, RevBatch, SharedBatch};
pub use hub::{Chunk, History, Hub, HubStats};
pub use spec::{CreateError, Item, WatchSpec};
pub use stream::WatchStream;
