//! Leader election by a Lease, record and timing as client-go's, so that ours and upstream's can stand for the same one.
//!
//! The leading part is cancelled, and given the rest of the lease to end, before anybody else can take the lease.
//! Writes are PUTs with a resourceVersion: of two candidates one is refused.

mod config;
mod elector;
mod record;

pub use config::Config;
pub use elector::{Elector, Error, Status};
