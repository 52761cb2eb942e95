//! Files as the store needs them: what is durable, and when, is said by each call.
//!
//! [`Real`] is the machine's file system. A simulation gives another one, which forgets at a crash
//! what was not synced.

mod real;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use real::Real;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// It must be there; to be read and written.
    Existing,
    /// Made, or emptied if it is there; to be read and written.
    Empty,
}

/// An open file. Usable from any thread.
pub trait File: fmt::Debug + Send + Sync {
    /// Its length in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Fills `buffer` from `offset` on; an error if the file ends before.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`. Not durable before a sync.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts or lengthens the file. Not durable before [`File::sync_all`].
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// Makes the file at least `bytes` long, with space reserved on the disk where that is possible.
    fn reserve(&self, bytes: u64) -> io::Result<()>;

    /// Makes what was written durable, but not what only times and the like are changed by.
    fn sync_data(&self) -> io::Result<()>;

    /// Makes what was written and the length durable.
    fn sync_all(&self) -> io::Result<()>;
}

/// Held as long as it lives.
pub trait Lock: Send + Sync {}

/// Folders and names. A name that was made, moved or removed is durable only once its folder is synced.
pub trait FileSystem: fmt::Debug + Send + Sync {
    /// Makes a folder and those above it, where they are missing.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// What is in a folder, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;

    /// Opens a file.
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>>;

    /// Whether there is something of that name.
    fn exists(&self, path: &Path) -> bool;

    /// Moves a file or a folder.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder and all in it.
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes the lock that the file at `path`, made if need be, stands for; none if another holds it.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>>;
}

/// A whole file.
pub fn read(files: &dyn FileSystem, path: &Path) -> io::Result<Vec<u8>> {
    let file = files.open(path, Open::Existing)?;
    let size = usize::try_from(file.size()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}
