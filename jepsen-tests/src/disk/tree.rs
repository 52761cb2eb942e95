//! Files and folders by number, each as it is now and as it was synced last. Pure: no clock and no
//! kernel.
//!
//! What is durable is what the standard promises and no more: a file's bytes by a sync of the file,
//! and its name by a sync of the folder. A rename between two folders alone is durable as one.

mod nodes;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use rustix::io::Errno;

use super::content::{Content, PAGE};

/// The number of the folder that everything is in.
pub(super) const ROOT: u64 = 1;
/// No file of a store is near it.
const FILE_BYTES_MAX: u64 = 1 << 29;

type Result<T> = std::result::Result<T, Errno>;

/// What is told of a file or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct About {
    pub(super) is_folder: bool,
    pub(super) len: u64,
    pub(super) pages: u64,
    pub(super) mode: u32,
    pub(super) links: u32,
    /// Grows with each change of its bytes or names.
    pub(super) changes: u64,
}

#[derive(Default)]
struct File {
    now: Content,
    synced: Content,
    /// Pages that are not the same in both.
    dirty: BTreeSet<usize>,
}

#[derive(Default)]
struct Folder {
    now: BTreeMap<OsString, u64>,
    synced: BTreeMap<OsString, u64>,
}

enum Body {
    File(File),
    Folder(Folder),
}

struct Node {
    body: Body,
    mode: u32,
    changes: u64,
    /// Names that it has now.
    links: u32,
    /// How often it is open. As long as it is, or has a name in either state, it is kept.
    opens: u64,
}

/// See the module.
pub(super) struct Tree {
    nodes: BTreeMap<u64, Node>,
    next: u64,
    changes: u64,
    pages_max: u64,
    pages: u64,
    /// Folders between which something was renamed since either was synced.
    moves: Vec<(u64, u64)>,
}

impl Tree {
    /// With room for so many bytes.
    pub(super) fn new(bytes: u64) -> Self {
        let mut tree = Self {
            nodes: BTreeMap::new(),
            next: ROOT,
            changes: 0,
            pages_max: bytes / PAGE as u64,
            pages: 0,
            moves: Vec::new(),
        };
        let root = tree.add(Body::Folder(Folder::default()), 0o700);
        debug_assert_eq!(root, ROOT);
        if let Some(root) = tree.nodes.get_mut(&ROOT) {
            root.links = 1;
        }
        tree
    }

    /// Pages there are, and pages that are free.
    pub(super) fn space(&self) -> (u64, u64) {
        (self.pages_max, self.pages_max.saturating_sub(self.pages))
    }

    pub(super) fn about(&self, node: u64) -> Result<About> {
        let found = self.node(node)?;
        let (is_folder, len, pages) = match &found.body {
            Body::File(file) => (false, file.now.len(), file.now.allocated()),
            Body::Folder(_) => (true, PAGE as u64, 1),
        };
        Ok(About {
            is_folder,
            len,
            pages,
            mode: found.mode,
            links: found.links,
            changes: found.changes,
        })
    }

    pub(super) fn set_mode(&mut self, node: u64, mode: u32) -> Result<()> {
        self.node_mut(node)?.mode = mode & 0o7777;
        Ok(())
    }

    pub(super) fn find(&self, folder: u64, name: &OsStr) -> Result<u64> {
        let found = self.folder(folder)?.now.get(name).copied();
        found.ok_or(Errno::NOENT)
    }

    /// The names of a folder, in order.
    pub(super) fn list(&self, folder: u64) -> Result<Vec<(OsString, u64)>> {
        let names = self.folder(folder)?.now.iter();
        Ok(names.map(|(name, node)| (name.clone(), *node)).collect())
    }

    pub(super) fn make_file(&mut self, folder: u64, name: &OsStr, mode: u32) -> Result<u64> {
        self.make(folder, name, Body::File(File::default()), mode)
    }

    pub(super) fn make_folder(&mut self, folder: u64, name: &OsStr, mode: u32) -> Result<u64> {
        self.make(folder, name, Body::Folder(Folder::default()), mode)
    }

    fn make(&mut self, folder: u64, name: &OsStr, body: Body, mode: u32) -> Result<u64> {
        if self.folder(folder)?.now.contains_key(name) {
            return Err(Errno::EXIST);
        }
        let node = self.add(body, mode & 0o7777);
        self.put_name(folder, name, node)?;
        Ok(node)
    }

    /// Gives a file one more name.
    pub(super) fn link(&mut self, node: u64, folder: u64, name: &OsStr) -> Result<()> {
        self.file(node)?;
        if self.folder(folder)?.now.contains_key(name) {
            return Err(Errno::EXIST);
        }
        self.put_name(folder, name, node)
    }

    pub(super) fn unlink(&mut self, folder: u64, name: &OsStr) -> Result<()> {
        let node = self.find(folder, name)?;
        match self.node(node)?.body {
            Body::File(_) => self.take_name(folder, name),
            Body::Folder(_) => Err(Errno::ISDIR),
        }
    }

    pub(super) fn remove_folder(&mut self, folder: u64, name: &OsStr) -> Result<()> {
        let node = self.find(folder, name)?;
        match self.folder(node)?.now.is_empty() {
            true => self.take_name(folder, name),
            false => Err(Errno::NOTEMPTY),
        }
    }

    /// Moves a name; `replaces` lets it take the place of another one.
    pub(super) fn rename(
        &mut self,
        from: (u64, &OsStr),
        to: (u64, &OsStr),
        replaces: bool,
    ) -> Result<()> {
        let node = self.find(from.0, from.1)?;
        let old = self.folder(to.0)?.now.get(to.1).copied();
        if old == Some(node) {
            return Ok(());
        }
        if let Some(old) = old {
            if !replaces {
                return Err(Errno::EXIST);
            }
            match (&self.node(node)?.body, &self.node(old)?.body) {
                (Body::File(_), Body::Folder(_)) => return Err(Errno::ISDIR),
                (Body::Folder(_), Body::File(_)) => return Err(Errno::NOTDIR),
                (Body::Folder(_), Body::Folder(there)) if !there.now.is_empty() => {
                    return Err(Errno::NOTEMPTY);
                }
                _ => {}
            }
            self.take_name(to.0, to.1)?;
        }
        self.put_name(to.0, to.1, node)?;
        self.take_name(from.0, from.1)?;
        if from.0 != to.0 {
            self.moves.push((from.0, to.0));
        }
        Ok(())
    }

    /// A file is opened: it stays until it is closed.
    pub(super) fn open(&mut self, node: u64) -> Result<()> {
        self.node_mut(node)?.opens += 1;
        Ok(())
    }

    /// One that was opened is closed.
    pub(super) fn close(&mut self, node: u64) {
        if let Ok(node) = self.node_mut(node) {
            node.opens = node.opens.saturating_sub(1);
        }
        self.drop_unreachable();
    }

    pub(super) fn read(&self, node: u64, offset: u64, size: usize) -> Result<Vec<u8>> {
        Ok(self.file(node)?.now.read(offset, size))
    }

    pub(super) fn write(&mut self, node: u64, offset: u64, data: &[u8]) -> Result<()> {
        self.make_room(node, offset, data.len() as u64)?;
        self.change(node, |file| file.now.write(offset, data))
    }

    pub(super) fn resize(&mut self, node: u64, len: u64) -> Result<()> {
        if len > FILE_BYTES_MAX {
            return Err(Errno::FBIG);
        }
        self.change(node, |file| file.now.resize(len))
    }

    /// Takes space; the length stays.
    pub(super) fn reserve(&mut self, node: u64, offset: u64, length: u64) -> Result<()> {
        self.make_room(node, offset, length)?;
        self.change(node, |file| file.now.reserve(offset, length))
    }

    /// Whether bytes can be put there without more space.
    pub(super) fn has_room(&self, node: u64, offset: u64, length: u64) -> Result<bool> {
        Ok(self.file(node)?.now.missing(offset, length) == 0)
    }

    /// Makes a file's bytes, or a folder's names, durable.
    pub(super) fn sync(&mut self, node: u64) -> Result<()> {
        match &mut self.node_mut(node)?.body {
            Body::File(file) => {
                file.synced.take(&file.now, &file.dirty);
                file.dirty.clear();
            }
            Body::Folder(_) => self.sync_folder(node),
        }
        Ok(())
    }

    /// A sync that failed: nothing became durable, and what was dirty counts as clean.
    pub(super) fn fail_sync(&mut self, node: u64) {
        if let Ok(node) = self.node_mut(node)
            && let Body::File(file) = &mut node.body
        {
            file.dirty.clear();
        }
    }

    /// Goes back to what was synced.
    pub(super) fn lose(&mut self) {
        self.moves.clear();
        let mut links: BTreeMap<u64, u32> = BTreeMap::from([(ROOT, 1)]);
        for node in self.nodes.values_mut() {
            match &mut node.body {
                Body::File(file) => {
                    file.now = file.synced.clone();
                    file.dirty.clear();
                }
                Body::Folder(folder) => {
                    folder.now = folder.synced.clone();
                    for child in folder.now.values() {
                        *links.entry(*child).or_default() += 1;
                    }
                }
            }
        }
        for (number, node) in &mut self.nodes {
            node.links = links.get(number).copied().unwrap_or(0);
        }
        self.drop_unreachable();
    }

    fn sync_folder(&mut self, node: u64) {
        let (apart, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.moves)
            .into_iter()
            .partition(|(from, to)| *from == node || *to == node);
        self.moves = rest;
        let ends = apart.into_iter().flat_map(|(from, to)| [from, to]);
        for folder in ends.chain([node]) {
            if let Ok(folder) = self.folder_mut(folder) {
                folder.synced = folder.now.clone();
            }
        }
        self.drop_unreachable();
    }

    fn add(&mut self, body: Body, mode: u32) -> u64 {
        let number = self.next;
        self.next += 1;
        let node = Node {
            body,
            mode,
            changes: 0,
            links: 0,
            opens: 0,
        };
        self.nodes.insert(number, node);
        number
    }

    fn put_name(&mut self, folder: u64, name: &OsStr, node: u64) -> Result<()> {
        let names = &mut self.folder_mut(folder)?.now;
        names.insert(name.to_owned(), node);
        self.node_mut(node)?.links += 1;
        self.touch(folder);
        Ok(())
    }

    fn take_name(&mut self, folder: u64, name: &OsStr) -> Result<()> {
        let names = &mut self.folder_mut(folder)?.now;
        let node = names.remove(name).ok_or(Errno::NOENT)?;
        self.node_mut(node)?.links -= 1;
        self.touch(folder);
        self.drop_unreachable();
        Ok(())
    }
}
