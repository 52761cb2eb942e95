//! `test`, `verify` and `fix`: what CI and every change must pass.

use std::time::Instant;

use anyhow::{Context, Result};

use crate::{command, setup, tidy, up};

/// Everything, on the release profile alone, so that a fresh machine compiles its dependencies once.
pub(crate) fn test() -> Result<()> {
    let started = Instant::now();
    let peers = setup::run(true)?;
    let after = |what: &str| eprintln!("[{:>4} s] {what}", started.elapsed().as_secs());
    after("set up");
    lints()?;
    after("format, tidy and lints");
    let binary = up::build()?;
    after("built");
    command::run(
        command::cargo(&["test", "--release", "--workspace", "--no-fail-fast"])
            .env(
                "KEELSON_BIN",
                binary.canonicalize().context("find the built binary")?,
            )
            .env("KEELSON_PEERS_BIN", peers),
    )?;
    after("tests");
    Ok(())
}

/// Format, tidy and lints.
pub(crate) fn verify() -> Result<()> {
    setup::build_only(false)?;
    lints()
}

/// Formats and applies what the lints suggest.
pub(crate) fn fix() -> Result<()> {
    setup::build_only(false)?;
    command::run(&mut command::cargo(&["fmt", "--all"]))?;
    let clippy = [
        "clippy",
        "--release",
        "--workspace",
        "--all-targets",
        "--fix",
        "--allow-dirty",
        "--allow-staged",
    ];
    command::run(&mut command::cargo(&clippy))
}

fn lints() -> Result<()> {
    command::run(&mut command::cargo(&["fmt", "--all", "--check"]))?;
    tidy::run(false)?;
    let clippy = [
        "clippy",
        "--release",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ];
    command::run(&mut command::cargo(&clippy))
}
