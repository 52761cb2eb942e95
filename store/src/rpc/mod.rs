//! The store's door: etcd's v3 services. Checks a request, hands it on, and puts what comes back
//! into etcd's words. Holds no state of its own beyond open streams.
//!
//! Must never decide what the replicated state becomes: whatever depends on it is decided by apply.

pub mod context;
mod counted;
pub mod services;
pub mod status;

mod access;
mod auth;
mod check;
mod cluster;
mod downgrade;
mod election;
mod gate;
mod http;
mod identity;
mod kv;
mod lease;
mod lock;
mod maintenance;
pub(crate) mod names;
mod profiles;
mod queue;
mod range_stream;
mod snapshot;
mod traced;
mod watch;
mod witness;

pub use context::{Context, Ids, Limits, Parts};
pub use http::{health_routes, metrics_routes, version_routes};
pub use identity::{Authenticator, CommonName};
pub use services::not_found;

pub(crate) use access::{Access, guarded};
pub(crate) use gate::{Method, Shape};
pub(crate) use http::{CLUSTER_ID_HEADER, PeerMember, peer_routes};
pub(crate) use identity::LocalAddr;
pub(crate) use profiles::profile_routes;
pub(crate) use services::grpc_routes;
