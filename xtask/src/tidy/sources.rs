//! The source files themselves: size, first line, words.
//!
//! A file should stay under [`LINES_AIM`] lines and must stay under [`LINES_MAX`]. Files between
//! the two are listed in `xtask/long-files.txt` with their size, which may only shrink.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::{command, workspace};

const LINES_AIM: usize = 400;
const LINES_MAX: usize = 800;

/// Words that mark unfinished work or a place on somebody's machine, spelt apart so that this file passes.
fn forbidden() -> Vec<String> {
    [
        ("TO", "DO"),
        ("FIX", "ME"),
        ("XX", "X:"),
        ("dbg", "!("),
        ("todo", "!("),
        ("/wo", "rk/"),
        (" /ro", "ot/"),
    ]
    .map(|(a, b)| format!("{a}{b}"))
    .to_vec()
}

/// Every fault in the tracked Rust files.
pub(super) fn check() -> Result<Vec<String>> {
    let limits = read_limits();
    let words = forbidden();
    let mut findings = Vec::new();
    for (path, text) in rust_files()? {
        let lines = length(&text);
        let limit = limits
            .get(&path)
            .copied()
            .unwrap_or(LINES_AIM)
            .min(LINES_MAX);
        if lines > limit {
            findings.push(format!(
                "{path} has {lines} lines without its tests, over its limit of {limit}: split it"
            ));
        }
        if !text.starts_with("//!") {
            findings.push(format!(
                "{path} does not begin with a //! line that says what it is"
            ));
        }
        for (number, line) in text.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(word.as_str())) {
                findings.push(format!(
                    "{path}:{}: '{word}' must not reach main",
                    number + 1
                ));
            }
        }
    }
    Ok(findings)
}

/// Writes today's long files down.
pub(super) fn accept() -> Result<()> {
    let mut list = String::new();
    for (path, text) in rust_files()? {
        let lines = length(&text);
        if lines > LINES_AIM {
            list.push_str(&format!("{path} {lines}\n"));
        }
    }
    fs::write(limits_path(), list)?;
    Ok(())
}

/// Lines before the tests.
fn length(text: &str) -> usize {
    text.lines()
        .take_while(|line| *line != "#[cfg(test)]")
        .count()
}

fn limits_path() -> PathBuf {
    workspace::root().join("xtask/long-files.txt")
}

fn read_limits() -> BTreeMap<String, usize> {
    let text = fs::read_to_string(limits_path()).unwrap_or_default();
    let pairs = text.lines().filter_map(|line| line.rsplit_once(' '));
    pairs
        .filter_map(|(path, lines)| Some((path.to_owned(), lines.parse().ok()?)))
        .collect()
}

fn rust_files() -> Result<Vec<(String, String)>> {
    let mut git = Command::new("git");
    git.args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "*.rs",
    ]);
    let list = command::output(git.current_dir(workspace::root()))?;
    let mut files = Vec::new();
    for path in list.lines() {
        // A file deleted but not yet committed is still listed.
        if let Ok(text) = fs::read_to_string(workspace::root().join(path)) {
            files.push((path.to_owned(), text));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::length;

    #[test]
    fn tests_do_not_count() {
        assert_eq!(length("a\nb\n#[cfg(test)]\nmod tests {}\n"), 2);
    }
}
