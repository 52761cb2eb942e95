//! Users and roles: the same requests to the real etcd and to ours, by etcdctl and by gRPC, and what
//! a cluster of members must do with tokens and certificates.

mod certificates;
mod members;
mod script;
mod transcript;

use super::harness::Cluster;
use super::real::{compare_lines, real_etcds};

/// Hashes are cheap on both sides.
const CHEAP: &str = "--bcrypt-cost=4";

/// One member of ours, with cheap hashes.
async fn one_member() -> Cluster {
    Cluster::start_with(1, &[CHEAP]).await
}
