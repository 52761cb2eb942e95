//! Every key at every revision: what a write changes, and what a read sees.
//!
//! A write opens a [`Writer`] on the present state, which gathers the changes of one revision and
//! serves its own reads; nothing is stored here, the caller does that with what the writer gathered.
//! Knows neither raft nor gRPC, only etcd's messages. Decides by its inputs alone: no clock, no
//! chance, no map order.

pub mod compact;
mod delete;
pub mod hash;
pub mod index;
pub mod live_map;
mod put;
pub mod range;
pub mod revision;
pub mod source;
pub mod txn;
pub mod writer;

#[cfg(test)]
mod tests;

pub use index::{Index, Live};
pub use range::KeyRange;
pub use revision::Revision;
pub use source::{Base, Load, Source};
pub use writer::{Writer, Written};

use crate::consensus::Fatal;

/// Why a read or a write was refused; nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The revision has been compacted. Not worth another try.
    #[error("required revision has been compacted")]
    Compacted,
    /// The revision is not there yet. Worth another try later.
    #[error("required revision is a future revision")]
    FutureRev,
    /// A put that keeps the old value or lease found no old pair.
    #[error("key not found")]
    KeyNotFound,
    /// A put names a lease that is not there.
    #[error("lease not found")]
    LeaseNotFound,
    /// The disk failed or holds what it must not.
    #[error(transparent)]
    Storage(#[from] Fatal),
}
