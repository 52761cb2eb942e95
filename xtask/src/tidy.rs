//! Checks that no compiler makes: the arrows between crates, what may be depended on, file sizes,
//! words that must not reach main, and that every file begins by saying what it is.

mod arrows;
mod dependencies;
mod sources;

use anyhow::{Result, bail};

use crate::command;

/// Runs all checks and reports every finding together. `accept` writes today's sizes of long files
/// down as their limits.
pub(crate) fn run(accept: bool) -> Result<()> {
    if accept {
        return sources::accept();
    }
    let text = command::output(&mut command::cargo(&[
        "metadata",
        "--format-version",
        "1",
        "--locked",
    ]))?;
    let metadata: serde_json::Value = serde_json::from_str(&text)?;
    let mut findings = arrows::check(&metadata);
    // The metadata also lists what no chosen feature brings in; the tree holds what is really built.
    let built = command::output(&mut command::cargo(&[
        "tree",
        "--workspace",
        "--locked",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]))?;
    findings.extend(dependencies::check(&metadata, &built));
    findings.extend(sources::check()?);
    if findings.is_empty() {
        return Ok(());
    }
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    bail!("tidy found {} faults", findings.len())
}
