//! Real clusters for tests: started by running the binary that `KEELSON_BIN` names, steered by its
//! own commands, ended whatever happens. Where a program is missing, a test fails and says so.

mod cluster;
mod poll;
mod programs;
mod revocations;

pub use cluster::{Cluster, Component, Shape};
pub use poll::{poll, poll_blocking};
pub use programs::{keelson, peer};
pub use revocations::revocation_list;
