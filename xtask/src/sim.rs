//! `cargo xtask sim`: the deterministic simulation.

use anyhow::Result;

use crate::{command, setup};

/// Builds the simulation and passes `args` on to it.
pub(crate) fn run(args: &[String]) -> Result<()> {
    setup::build_only(false)?;
    let mut words = vec![
        "run",
        "--release",
        "--quiet",
        "--package",
        "simulation",
        "--",
    ];
    words.extend(args.iter().map(String::as_str));
    command::run(&mut command::cargo(&words))
}
