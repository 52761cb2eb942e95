//! Users and roles: the same requests to the real etcd and to ours, by etcdctl and by gRPC, and what
//! a cluster of members must do with tokens and certificates.

mod certificates;
mod members;
mod script;
mod transcript;

use super::differential::RealEtcd;
use super::harness::Cluster;

/// Hashes are cheap on both sides.
const CHEAP: &str = "--bcrypt-cost=4";

/// The real etcd 3.5 and, where the machine has one, 3.7, which is the one to be like. By name.
pub(crate) async fn real_etcds(flags: &[&str]) -> Vec<(&'static str, RealEtcd)> {
    let mut found = Vec::new();
    for name in ["etcd", "etcd-3.7"] {
        if testkit::peer(name).is_ok() {
            found.push((name, RealEtcd::start_with(name, flags).await));
        }
    }
    assert!(!found.is_empty(), "there must be one to compare with");
    found
}

/// Compares what ours answered with what each real one did, line by line. `newer` are words of those
/// requests that 3.5 answers as 3.7 no longer does.
fn compare(name: &str, theirs: &[String], ours: &[String], newer: &[&str]) {
    assert_eq!(theirs.len(), ours.len());
    let mut unlike = Vec::new();
    for (theirs, ours) in theirs.iter().zip(ours) {
        let asked = ours.split(" => ").next().unwrap_or(ours);
        let is_newer = newer.iter().any(|words| asked.contains(words));
        if theirs != ours && (name == "etcd-3.7" || !is_newer) {
            unlike.push(format!("{name}: {theirs}\n  ours: {ours}"));
        }
    }
    assert!(unlike.is_empty(), "{}", unlike.join("\n"));
}

/// One member of ours, with cheap hashes.
async fn one_member() -> Cluster {
    Cluster::start_with(1, &[CHEAP]).await
}
