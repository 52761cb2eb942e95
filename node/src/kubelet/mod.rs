//! The kubelet: makes the pods that are assigned to this node run, and reports on them.
//!
//! source → workers → plan → runtime → status: one task for each pod, which looks at the whole of
//! its pod each time and never at what changed. A hollow node differs only in its runtime.

pub mod backoff;
mod conditions;
pub mod config;
mod context;
mod flags;
mod images;
mod inside;
mod lease;
mod machine;
mod make;
mod node;
pub mod plan;
mod pleg;
pub mod pod_state;
mod probes;
mod run;
mod server;
pub mod spec;
pub mod status;
mod status_writer;
mod steps;
mod stop;
mod worker;
mod workers;

pub use config::Config;
pub use flags::known;
pub use run::{Error, run};
pub use server::Error as ServerError;
