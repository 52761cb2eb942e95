//! The folder of the state: one engine folder is current, a small file says which.
//!
//! Installing a snapshot makes a new engine folder and then moves the file, so that a crash leaves
//! either the old state or the new one. Whatever is not current is removed at the next start.
//! ```text
//! DIR/CURRENT   the name of the current folder and a newline
//! DIR/state-N   an engine
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

use crate::consensus::Fatal;
use crate::disk::{self, FileSystem, Open};
use crate::engine::{Engine, Opener};
use crate::failpoint;

const CURRENT: &str = "CURRENT";
const PREFIX: &str = "state-";
/// Copied at once, where a folder lies on another file system.
const COPY_BYTES: usize = 1 << 20;

/// One engine and its folder. Goes with its folder once it is retired and nobody reads it.
pub(super) struct Generation {
    files: Arc<dyn FileSystem>,
    engine: Option<Arc<dyn Engine>>,
    dir: PathBuf,
    number: u64,
    is_retired: AtomicBool,
}

impl Generation {
    /// Opens the current engine of `dir`, or the first one of a new folder.
    pub(super) fn open(
        files: &Arc<dyn FileSystem>,
        dir: &Path,
        opener: &dyn Opener,
    ) -> Result<Arc<Self>, Fatal> {
        let number = current(&**files, dir).map_err(Fatal::at("generation::current"))?;
        remove_others(&**files, dir, number).map_err(Fatal::at("generation::clean"))?;
        Self::open_numbered(files, dir, number, opener)
    }

    fn open_numbered(
        files: &Arc<dyn FileSystem>,
        dir: &Path,
        number: u64,
        opener: &dyn Opener,
    ) -> Result<Arc<Self>, Fatal> {
        let dir = dir.join(name(number));
        let engine = opener.open(&dir).map_err(Fatal::at("generation::open"))?;
        // Were the folder's own name lost with the power, what the engine has made durable would be lost.
        if let Some(parent) = dir.parent() {
            files
                .sync_dir(parent)
                .map_err(Fatal::at("generation::sync"))?;
        }
        let is_retired = AtomicBool::new(false);
        Ok(Arc::new(Self {
            files: files.clone(),
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
        let to = dir.join(name(number));
        move_folder(&*self.files, copy, &to).map_err(Fatal::at("generation::adopt"))?;
        failpoint::hit("applyBeforeOpenSnapshot").map_err(Fatal::at("generation::adopt"))?;
        Self::open_numbered(&self.files, dir, number, opener)
    }

    /// Makes this generation the one that the next start opens.
    pub(super) fn make_current(&self, dir: &Path) -> Result<(), Fatal> {
        write_current(&*self.files, dir, self.number).map_err(Fatal::at("generation::make_current"))
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
            && let Err(error) = self.files.remove_dir_all(&self.dir)
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
fn current(files: &dyn FileSystem, dir: &Path) -> anyhow::Result<u64> {
    files.create_dir_all(dir)?;
    match disk::read(files, &dir.join(CURRENT)) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            number_of(text.trim_end()).with_context(|| format!("bad {CURRENT}: {text:?}"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(found) = generations(files, dir)?.first() {
                anyhow::bail!("{CURRENT} is missing but {} is there", name(*found));
            }
            write_current(files, dir, 1)?;
            Ok(1)
        }
        Err(error) => Err(error).context("reading CURRENT"),
    }
}

fn write_current(files: &dyn FileSystem, dir: &Path, number: u64) -> anyhow::Result<()> {
    let temporary = dir.join("CURRENT.tmp");
    let file = files.open(&temporary, Open::Empty)?;
    file.write_all_at(format!("{}\n", name(number)).as_bytes(), 0)?;
    file.sync_all()?;
    files.rename(&temporary, &dir.join(CURRENT))?;
    files.sync_dir(dir)?;
    Ok(())
}

fn generations(files: &dyn FileSystem, dir: &Path) -> anyhow::Result<Vec<u64>> {
    let paths = files.list(dir)?;
    let names = paths.iter().filter_map(|path| path.file_name()?.to_str());
    let mut found: Vec<u64> = names.filter_map(number_of).collect();
    found.sort_unstable();
    Ok(found)
}

fn remove_others(files: &dyn FileSystem, dir: &Path, current: u64) -> anyhow::Result<()> {
    for number in generations(files, dir)? {
        if number != current {
            files.remove_dir_all(&dir.join(name(number)))?;
        }
    }
    Ok(())
}

/// Moves a folder, by copying where it lies on another file system, and makes the move durable.
fn move_folder(files: &dyn FileSystem, from: &Path, to: &Path) -> anyhow::Result<()> {
    if files.exists(to) {
        files.remove_dir_all(to)?;
    }
    match files.rename(from, to) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            copy_folder(files, from, to)?;
            files.remove_dir_all(from)?;
        }
        Err(error) => return Err(error).context("moving the snapshot into place"),
    }
    if let Some(parent) = to.parent() {
        files.sync_dir(parent)?;
    }
    Ok(())
}

fn copy_folder(files: &dyn FileSystem, from: &Path, to: &Path) -> anyhow::Result<()> {
    files.create_dir_all(to)?;
    let mut chunk = vec![0; COPY_BYTES];
    for path in files.list(from)? {
        let name = path.file_name().context("a file without a name")?;
        let (source, target) = (
            files.open(&path, Open::Existing)?,
            files.open(&to.join(name), Open::Empty)?,
        );
        let (size, mut at) = (source.size()?, 0);
        while at < size {
            let left = usize::try_from(size - at).unwrap_or(COPY_BYTES);
            let chunk = &mut chunk[..left.min(COPY_BYTES)];
            source.read_exact_at(chunk, at)?;
            target.write_all_at(chunk, at)?;
            at += chunk.len() as u64;
        }
        target.sync_all()?;
    }
    files.sync_dir(to)?;
    Ok(())
}
