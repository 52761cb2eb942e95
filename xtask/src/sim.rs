//! `cargo xtask sim`: the deterministic simulation.

use anyhow::Result;

use crate::{command, setup};

const PLANTED: &str = "--planted";

/// Builds the simulation and passes `args` on to it.
pub(crate) fn run(args: &[String]) -> Result<()> {
    setup::build_only(false)?;
    let mut words = vec!["run", "--release", "--quiet", "--package", "simulation"];
    // Faults are built in only where one is asked for.
    if args
        .iter()
        .any(|arg| arg.split('=').next() == Some(PLANTED))
    {
        words.extend(["--features", "planted"]);
    }
    words.push("--");
    words.extend(args.iter().map(String::as_str));
    command::run(&mut command::cargo(&words))
}
