//! Installs what the workspace needs on this machine. Safe to run again: it does only what is missing.

use std::path::PathBuf;

use anyhow::Result;

use crate::{packages, peers, rocksdb};

/// Everything for building; `node`: also for a real node. Returns the folder of the packaged peers.
pub(crate) fn run(node: bool) -> Result<PathBuf> {
    build_only(node)?;
    peers::ensure()
}

/// Without the peers: tests need them all, and `up` their clients where the machine has none.
pub(crate) fn build_only(node: bool) -> Result<()> {
    let mut wanted = packages::BUILD.to_vec();
    if node {
        wanted.extend(packages::NODE);
    }
    packages::ensure(&wanted)?;
    rocksdb::ensure_built()
}
