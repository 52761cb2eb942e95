//! The cluster under test: real processes that are ours to break, or endpoints that are not.
//!
//! A member of ours and a real etcd take the same flags, so one launcher serves both. Every peer
//! link passes a proxy of ours, which can hold or delay each direction of each pair of members.

mod cluster;
mod guard;
mod kind;
mod link;
mod logs;
mod member;

pub(crate) use cluster::Cluster;
pub use kind::Kind;
pub(crate) use kind::Target;
pub(crate) use link::Rules;
