//! `cargo xtask up`: from a fresh checkout to a running cluster.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{command, packages, peers, setup, workspace};

/// Installs what is missing, builds the release binary and becomes `keelson up ARGS`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    setup::build_only(wants_real_node(args))?;
    let binary = build()?;
    let mut up = Command::new(&binary);
    up.arg("up").args(args);
    if let Some(clients) = clients() {
        up.env("KEELSON_PEERS_BIN", clients);
    }
    let error = up.exec();
    Err(error).with_context(|| format!("start {}", binary.display()))
}

/// The folder of a kubectl and an etcdctl, for `env.sh`, where this machine lacks one of them. A cluster is of
/// use without them, so a failure is only told.
fn clients() -> Option<PathBuf> {
    if ["kubectl", "etcdctl"].into_iter().all(is_on_path) {
        return None;
    }
    peers::ensure()
        .inspect_err(|error| {
            eprintln!("kubectl or etcdctl is not installed here, and cannot be fetched: {error:#}");
        })
        .ok()
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
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
    command::run(&mut command::cargo(BUILD))?;
    Ok(target().join(BINARY))
}

/// The same with the store's feature `name`, in a folder of its own: nobody takes it for the other.
pub(crate) fn build_with(name: &str) -> Result<PathBuf> {
    let target = target().join(name);
    command::run(
        command::cargo(BUILD)
            .args(["--features", name])
            .env("CARGO_TARGET_DIR", &target),
    )?;
    Ok(target.join(BINARY))
}

const BUILD: &[&str] = &["build", "--release", "--package", "keelson"];
const BINARY: &str = "release/keelson";

fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR");
    target.map_or_else(|| workspace::root().join("target"), PathBuf::from)
}
