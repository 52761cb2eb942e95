//! Comparisons with peers that are built from Go, outside CI.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};

use crate::{codegen, workspace};

/// Compares what is committed with what the real servers say now.
pub(crate) fn run(peers: Option<PathBuf>) -> Result<()> {
    let bin = peers.map_or_else(|| workspace::peers().map(|dir| dir.join("bin")), Ok)?;
    for program in ["etcd", "kube-apiserver", "kube-controller-manager"] {
        ensure!(
            bin.join(program).exists(),
            "{} is missing: build the Go peers first and name their folder with --peers",
            bin.join(program).display()
        );
    }
    match codegen::compare(&bin)? {
        findings if findings.is_empty() => Ok(()),
        findings => bail!(
            "the tables of kinds differ from the real server:\n{}",
            findings.join("\n")
        ),
    }
}
