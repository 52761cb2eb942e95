//! The folder of the state: one engine folder is current, a small file says which.
//!
//! Installing a snapshot makes a new engine folder and then moves the file, so that a crash leaves
//! either the old state or the new one. Whatever is not current is removed at the next start.
//! ```text
//! DIR/CURRENT   the name of the current folder and a newline
//! DIR/state-N   an engine
//! ```

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

use crate::consensus::Fatal;
use crate::engine::{Engine, Opener};
use crate::failpoint;

const CURRENT: &str = "CURRENT";
const PREFIX: &str = "state-";

/// One engine and its folder. Goes with its folder once it is retired and nobody reads it.
pub(super) struct Generation {
    engine: Option<Arc<dyn Engine>>,
    dir: PathBuf,
    number: u64,
    is_retired: AtomicBool,
}

impl Generation {
    /// Opens the current engine of `dir`, or the first one of a new folder.
    pub(super) fn open(dir: &Path, opener: &dyn Opener) -> Result<Arc<Self>, Fatal> {
        let number = current(dir).map_err(Fatal::at("generation::current"))?;
        remove_others(dir, number).map_err(Fatal::at("generation::clean"))?;
        Self::open_numbered(dir, number, opener)
    }

    fn open_numbered(dir: &Path, number: u64, opener: &dyn Opener) -> Result<Arc<Self>, Fatal> {
        let dir = dir.join(name(number));
        let engine = opener.open(&dir).map_err(Fatal::at("generation::open"))?;
        let is_retired = AtomicBool::new(false);
        Ok(Arc::new(Self {
            engine: Some(engine),
            dir,
            number,
            is_retired,
        }))
    }

    /// Opens a verified copy as the generation after this one. It is not current yet.
    pub(super) fn adopt(
        &self,
        dir: &Path,
        copy: &Path,
        opener: &dyn Opener,
    ) -> Result<Arc<Self>, Fatal> {
        let number = self.number + 1;
        move_folder(copy, &dir.join(name(number))).map_err(Fatal::at("generation::adopt"))?;
        failpoint::hit("applyBeforeOpenSnapshot").map_err(Fatal::at("generation::adopt"))?;
        Self::open_numbered(dir, number, opener)
    }

    /// Makes this generation the one that the next start opens.
    pub(super) fn make_current(&self, dir: &Path) -> Result<(), Fatal> {
        write_current(dir, self.number).map_err(Fatal::at("generation::make_current"))
    }

    /// The folder goes when the last reader has.
    pub(super) fn retire(&self) {
        self.is_retired.store(true, Ordering::Release);
    }

    /// The engine.
    pub(super) fn engine(&self) -> &dyn Engine {
        // Taken out in `drop` alone.
        &**self
            .engine
            .as_ref()
            .expect("the engine lives as long as its generation")
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.engine = None;
        if self.is_retired.load(Ordering::Acquire)
            && let Err(error) = std::fs::remove_dir_all(&self.dir)
        {
            tracing::warn!(dir = %self.dir.display(), %error, "cannot remove a replaced state");
        }
    }
}

fn name(number: u64) -> String {
    format!("{PREFIX}{number}")
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.parse().ok()
}

/// The current number. A folder with engines but without the file is damaged, not new.
fn current(dir: &Path) -> anyhow::Result<u64> {
    std::fs::create_dir_all(dir)?;
    match std::fs::read_to_string(dir.join(CURRENT)) {
        Ok(text) => number_of(text.trim_end()).with_context(|| format!("bad {CURRENT}: {text:?}")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if let Some(found) = generations(dir)?.first() {
                anyhow::bail!("{CURRENT} is missing but {} is there", name(*found));
            }
            write_current(dir, 1)?;
            Ok(1)
        }
        Err(error) => Err(error).context("reading CURRENT"),
    }
}

fn write_current(dir: &Path, number: u64) -> anyhow::Result<()> {
    let temporary = dir.join("CURRENT.tmp");
    let mut file = File::create(&temporary)?;
    writeln!(file, "{}", name(number))?;
    file.sync_all()?;
    std::fs::rename(&temporary, dir.join(CURRENT))?;
    File::open(dir)?.sync_all()?;
    Ok(())
}

fn generations(dir: &Path) -> anyhow::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        found.extend(entry?.file_name().to_str().and_then(number_of));
    }
    found.sort_unstable();
    Ok(found)
}

fn remove_others(dir: &Path, current: u64) -> anyhow::Result<()> {
    for number in generations(dir)? {
        if number != current {
            std::fs::remove_dir_all(dir.join(name(number)))?;
        }
    }
    Ok(())
}

/// Moves a folder, by copying where it lies on another file system, and makes the move durable.
fn move_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    if to.exists() {
        std::fs::remove_dir_all(to)?;
    }
    match std::fs::rename(from, to) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {
            std::fs::create_dir(to)?;
            for entry in std::fs::read_dir(from)? {
                let entry = entry?;
                let target = to.join(entry.file_name());
                std::fs::copy(entry.path(), &target)?;
                File::open(&target)?.sync_all()?;
            }
            File::open(to)?.sync_all()?;
            std::fs::remove_dir_all(from)?;
        }
        Err(error) => return Err(error).context("moving the snapshot into place"),
    }
    if let Some(parent) = to.parent() {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}
