//! The store as this server uses it: keys, values and guarded transactions over the etcd wire.
//!
//! Reading order: [`etcd`] (members, failover), [`error`], [`keys`], [`codec`] (bytes at rest),
//! [`commit`] (writes guarded by revisions), [`continue_token`], [`lease`], [`compaction`].

pub mod codec;
pub mod commit;
pub mod compaction;
pub mod continue_token;
pub mod error;
pub mod etcd;
pub mod keys;
pub mod lease;
pub mod range;
pub mod watch;

pub use commit::{Guarded, Outcome, Step};
pub use error::Error;
pub use etcd::{Etcd, EtcdConfig};
