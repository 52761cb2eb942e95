//! `cargo xtask up`: from a fresh checkout to a running cluster.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{command, setup, workspace};

/// Installs what is missing, builds the release binary and becomes `keelson up ARGS`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    setup::build_only(false)?;
    let binary = build()?;
    let error = Command::new(&binary).arg("up").args(args).exec();
    Err(error).with_context(|| format!("start {}", binary.display()))
}

/// Builds the release binary, with cargo's own progress, and says where it is.
pub(crate) fn build() -> Result<PathBuf> {
    command::run(&mut command::cargo(&[
        "build",
        "--release",
        "--package",
        "keelson",
    ]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR");
    let target = target.map_or_else(|| workspace::root().join("target"), PathBuf::from);
    Ok(target.join("release/keelson"))
}
