//! The service proxy: makes the addresses of services lead to their endpoints, in nftables.
//!
//! services and endpoint slices → model → ruleset (pure) → one transaction of what differs.

mod config;
mod model;
mod ruleset;
mod run;

pub use config::{Config, known};
pub use model::{ServicePort, Target, service_ports};
pub use ruleset::{Ruleset, Settings};
pub use run::{Error, run};
