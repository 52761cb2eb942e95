//! What every room shares: task ownership, error reports, backoff, log setup, ports to keep.
//!
//! Nothing here knows of etcd or Kubernetes.

pub mod backoff;
pub mod logging;
pub mod ports;
pub mod report;
pub mod tasks;

pub use report::report;
pub use tasks::{OnError, Tasks};
