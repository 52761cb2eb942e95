//! Runs a program and shows, in every failure, what it said.

use std::process::Output;

use anyhow::{Result, ensure};

/// Standard output of a program that must succeed.
pub(crate) fn ok(output: Result<Output>) -> Result<String> {
    let output = output?;
    ensure!(
        output.status.success(),
        "{}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Both outputs of a program that must fail.
pub(crate) fn fails(output: Result<Output>) -> Result<String> {
    let output = output?;
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(!output.status.success(), "must fail, but said: {text}");
    Ok(text)
}
