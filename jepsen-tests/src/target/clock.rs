//! A wall clock for each member, by a small library that is preloaded and reads how far from the true
//! time it is in a file of the member. Clocks that only run forward cannot be moved without root and
//! time namespaces, and are left alone: what waits by them waits right.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::cluster::Program;

const SOURCE: &str = include_str!("clock.c");

/// The library, built now. It is there as long as this is.
#[derive(Debug)]
pub(crate) struct Library {
    pub(crate) path: PathBuf,
    _dir: TempDir,
}

impl Library {
    /// Builds it with the machine's C compiler.
    pub(crate) fn build() -> Result<Self> {
        let dir = tempfile::tempdir().context("make a folder for the clock's library")?;
        let (source, path) = (dir.path().join("clock.c"), dir.path().join("clock.so"));
        fs::write(&source, SOURCE).context("write the clock's library")?;
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-o"])
            .args([&path, &source])
            .output()
            .context("a clock of each member's own needs a C compiler: put `cc` on PATH")?;
        let said = String::from_utf8_lossy(&built.stderr);
        ensure!(built.status.success(), "build the clock's library: {said}");
        Ok(Self { path, _dir: dir })
    }
}

/// What makes a process of `program` go by the clock in `file`.
pub(super) fn environment(program: &Program, file: &Path) -> Vec<(String, String)> {
    let Some(library) = &program.clock else {
        return Vec::new();
    };
    let pair = |name: &str, path: &Path| (name.to_owned(), path.display().to_string());
    vec![pair("LD_PRELOAD", library), pair("JEPSEN_CLOCK", file)]
}

/// Says how many nanoseconds from the true time the clock in `file` is.
pub(super) fn set(file: &Path, ns: i64) -> Result<()> {
    let shown = file.display();
    let opened = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(file);
    let opened = opened.with_context(|| format!("open {shown}"))?;
    // Eight bytes within a page are written at once.
    let written = opened.write_all_at(&ns.to_ne_bytes(), 0);
    written.with_context(|| format!("write {shown}"))
}

/// What this machine lacks for it.
pub(crate) fn why_not() -> Option<&'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|folder| folder.join("cc").is_file());
    (!is_there).then_some("there is no C compiler, which makes a member's own clock")
}
