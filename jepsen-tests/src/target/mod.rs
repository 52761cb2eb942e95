//! The cluster under test: real processes that are ours to break, or endpoints that are not.
//!
//! A member of ours and a real etcd take the same flags, so one launcher serves both. Every peer
//! link passes a proxy of ours, which can hold or delay each direction of each pair of members. For
//! faults of disks each member has one of ours (`crate::disk`).

mod alone;
mod clock;
mod cluster;
mod guard;
mod kind;
mod link;
mod logs;
mod member;
mod tls;

pub(crate) use alone::Alone;
pub(crate) use clock::{Library as ClockLibrary, Wrong, has_boots, why_not as why_no_clock};
pub(crate) use cluster::{Cluster, Disks, Program};
pub(crate) use guard::Guard;
pub use kind::Kind;
pub(crate) use kind::Target;
pub(crate) use link::Rules;
pub(crate) use member::Member;
pub(crate) use tls::{Pki, REVOCABLE, Validity};
