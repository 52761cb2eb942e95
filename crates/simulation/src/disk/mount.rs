//! A process's view of the disk.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use store::disk::{File, FileSystem, Lock, Open};

use super::Shared;
use super::engine::Table;
use super::file::Content;
use super::folder::{self, Folder, Node};

/// The name under which a folder keeps an engine's rows.
const ROWS: &str = "rows";

/// See the module. Clones are the same process.
#[derive(Clone)]
pub(crate) struct Mount {
    shared: Arc<Mutex<Shared>>,
    life: u64,
}

impl fmt::Debug for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mount").field("life", &self.life).finish()
    }
}

fn gone() -> io::Error {
    io::Error::other("the process has ended")
}

fn missing(path: &Path) -> io::Error {
    io::Error::new(
        ErrorKind::NotFound,
        format!("there is no {}", path.display()),
    )
}

fn other(path: &Path) -> io::Error {
    io::Error::other(format!("{} is of another kind", path.display()))
}

impl Mount {
    pub(super) fn new(shared: Arc<Mutex<Shared>>, life: u64) -> Self {
        Self { shared, life }
    }

    /// Whether the process is still there.
    pub(crate) fn is_alive(&self) -> bool {
        let shared = self.shared.lock();
        shared.is_up && shared.life == self.life
    }

    /// Counts a call; an error if the process is gone, or goes now.
    pub(super) fn call(&self) -> io::Result<Arc<Mutex<Folder>>> {
        let mut shared = self.shared.lock();
        if !shared.is_up || shared.life != self.life {
            return Err(gone());
        }
        match &mut shared.ends_in {
            Some(0) => {
                shared.is_up = false;
                return Err(gone());
            }
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(shared.root.clone())
    }

    fn sync_fails(&self) -> bool {
        let mut shared = self.shared.lock();
        let fails = shared.sync_faults > 0;
        shared.has_failed |= fails;
        shared.sync_faults = shared.sync_faults.saturating_sub(1);
        fails
    }

    /// The folder at `path`.
    fn folder(&self, path: &Path) -> io::Result<Arc<Mutex<Folder>>> {
        let mut at = self.call()?;
        for name in names(path) {
            let next = match at.lock().live.get(name) {
                Some(Node::Folder(next)) => next.clone(),
                Some(_) => return Err(other(path)),
                None => return Err(missing(path)),
            };
            at = next;
        }
        Ok(at)
    }

    /// The folder that a path's last name is in, and that name.
    fn place<'p>(&self, path: &'p Path) -> io::Result<(Arc<Mutex<Folder>>, &'p str)> {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| missing(path))?;
        let parent = path.parent().unwrap_or(Path::new("/"));
        Ok((self.folder(parent)?, name))
    }

    /// The rows of the engine in `dir`; empty ones are made where there are none.
    pub(super) fn table(&self, dir: &Path) -> io::Result<Arc<Mutex<Table>>> {
        self.create_dir_all(dir)?;
        let folder = self.folder(dir)?;
        let found = folder.lock().live.get(ROWS).cloned();
        match found {
            Some(Node::Table(table)) => Ok(table),
            Some(_) => Err(other(dir)),
            None => self
                .put_table(dir, Table::default())
                .and_then(|()| self.table(dir)),
        }
    }

    /// Puts rows into `dir`, durable as soon as the folder is.
    pub(super) fn put_table(&self, dir: &Path, table: Table) -> io::Result<()> {
        self.create_dir_all(dir)?;
        let folder = self.folder(dir)?;
        let table = Node::Table(Arc::new(Mutex::new(table)));
        folder.lock().live.insert(ROWS.to_owned(), table);
        folder::sync(&folder);
        Ok(())
    }

    /// Brings a copy of the rows in `from`, on another disk, into `to` on this one.
    pub(crate) fn receive(&self, other: &Self, from: &Path, to: &Path) -> io::Result<()> {
        let copy = other.table(from)?.lock().copy();
        self.put_table(to, copy)
    }
}

fn names(path: &Path) -> impl Iterator<Item = &str> {
    path.iter()
        .filter_map(|name| name.to_str())
        .filter(|name| *name != "/")
}

/// An open file of one process.
#[derive(Debug)]
struct Handle {
    mount: Mount,
    content: Arc<Mutex<Content>>,
}

fn to_usize(number: u64) -> io::Result<usize> {
    usize::try_from(number).map_err(io::Error::other)
}

impl File for Handle {
    fn size(&self) -> io::Result<u64> {
        self.mount.call()?;
        Ok(self.content.lock().len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.mount.call()?;
        match self.content.lock().read(buffer, to_usize(offset)?) {
            true => Ok(()),
            false => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.mount.call()?;
        self.content.lock().write(bytes, to_usize(offset)?);
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.mount.call()?;
        self.content.lock().set_len(to_usize(bytes)?);
        Ok(())
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        self.mount.call()?;
        let bytes = to_usize(bytes)?;
        let mut content = self.content.lock();
        if content.len() < bytes {
            content.set_len(bytes);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.mount.call()?;
        let mut content = self.content.lock();
        if self.mount.sync_fails() {
            content.fail_sync();
            return Err(io::Error::other("input/output error"));
        }
        content.sync();
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// The lock of one process.
struct Held(Mount);

impl Lock for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        if self.0.is_alive() {
            self.0.shared.lock().is_locked = false;
        }
    }
}

impl FileSystem for Mount {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut at = self.call()?;
        for name in names(dir) {
            let next = {
                let mut folder = at.lock();
                let made = || Node::Folder(Arc::default());
                match folder.live.entry(name.to_owned()).or_insert_with(made) {
                    Node::Folder(next) => next.clone(),
                    _ => return Err(other(dir)),
                }
            };
            at = next;
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let folder = self.folder(dir)?;
        let folder = folder.lock();
        Ok(folder.live.keys().map(|name| dir.join(name)).collect())
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        let (folder, name) = self.place(path)?;
        let mut folder = folder.lock();
        let content = match (folder.live.get(name), how) {
            (Some(Node::File(content)), Open::Existing) => content.clone(),
            (Some(Node::File(content)), Open::Empty) => {
                content.lock().set_len(0);
                content.clone()
            }
            (Some(_), _) => return Err(other(path)),
            (None, Open::Existing) => return Err(missing(path)),
            (None, Open::Empty) => {
                let content: Arc<Mutex<Content>> = Arc::default();
                let node = Node::File(content.clone());
                folder.live.insert(name.to_owned(), node);
                content
            }
        };
        Ok(Arc::new(Handle {
            mount: self.clone(),
            content,
        }))
    }

    fn exists(&self, path: &Path) -> bool {
        let Ok((folder, name)) = self.place(path) else {
            return false;
        };
        folder.lock().live.contains_key(name)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from_folder, name) = self.place(from)?;
        let (to_folder, new_name) = self.place(to)?;
        match folder::rename(&from_folder, name, &to_folder, new_name) {
            true => Ok(()),
            false => Err(missing(from)),
        }
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let (folder, name) = self.place(path)?;
        let removed = folder.lock().live.remove(name);
        removed.map(drop).ok_or_else(|| missing(path))
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.remove_file(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        folder::sync(&self.folder(dir)?);
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        let (folder, name) = self.place(path)?;
        let made = || Node::File(Arc::default());
        folder
            .lock()
            .live
            .entry(name.to_owned())
            .or_insert_with(made);
        let mut shared = self.shared.lock();
        if std::mem::replace(&mut shared.is_locked, true) {
            return Ok(None);
        }
        drop(shared);
        Ok(Some(Box::new(Held(self.clone()))))
    }
}
