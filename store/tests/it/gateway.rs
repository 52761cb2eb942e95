//! The JSON gateway: the same requests to the real etcd and to ours, over HTTP and over websockets.

mod access;
mod client;
mod list;
mod streams;
mod transcript;
mod websocket;

use super::harness::Cluster;
use super::real::{compare_lines, real_etcds};

/// Hashes are cheap on both sides.
const CHEAP: &str = "--bcrypt-cost=4";

/// One member of ours.
async fn one_member(flags: &[&str]) -> Cluster {
    Cluster::start_with(1, flags).await
}
