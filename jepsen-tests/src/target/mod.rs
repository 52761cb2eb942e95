//! The cluster under test: real processes that are ours to break, or endpoints that are not.
//!
//! A member of ours and a real etcd take the same flags, so one launcher serves both. Each direction
//! of each pair of members is a link that can be cut: each member has a network namespace of its own,
//! or every link passes a proxy of ours. For faults of disks each member has one of ours
//! (`crate::disk`).

mod alone;
mod clock;
mod cluster;
mod guard;
mod kind;
mod link;
mod logs;
mod member;
mod net;
mod place;
mod tls;

pub(crate) use alone::Alone;
pub(crate) use clock::{Library as ClockLibrary, Wrong, has_boots, why_not as why_no_clock};
pub(crate) use cluster::{Cluster, Disks, Program};
pub(crate) use guard::Guard;
pub(crate) use kind::Target;
pub use kind::{Kind, Network};
pub(crate) use link::Rules;
pub(crate) use member::Member;
pub(crate) use net::why_not as why_no_namespaces;
pub(crate) use tls::{Pki, REVOCABLE, Validity};
