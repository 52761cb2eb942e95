//! `cargo xtask up`: from a fresh checkout to a running cluster.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{command, packages, setup, workspace};

/// Installs what is missing, builds the release binary and becomes `keelson up ARGS`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    setup::build_only(wants_real_node(args))?;
    let binary = build()?;
    let error = Command::new(&binary).arg("up").args(args).exec();
    Err(error).with_context(|| format!("start {}", binary.display()))
}

/// Whether the cluster will have a node that runs containers, as `keelson up` decides it.
fn wants_real_node(args: &[String]) -> bool {
    let given = |flag: &str| {
        let inline = format!("{flag}=");
        args.iter()
            .any(|arg| arg == flag || arg.starts_with(&inline))
    };
    packages::is_root() && !given("--hollow") && !given("--help") && !given("-h")
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
