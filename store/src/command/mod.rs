//! The replicated command and its reply, in bytes.
//!
//! A command is etcd's own `InternalRaftRequest`, so that a dump of the log reads like etcd's. A
//! reply travels from the member that led to the one that proposed.

pub mod codec;
pub mod reply;

pub use codec::{decode, encode, name};
pub use proto_etcd::etcdserverpb::InternalRaftRequest;
pub use reply::{ApplyError, Reply, ReplyError};
