//! Files and folders by their numbers, and the space that they take.

use std::collections::BTreeSet;
use std::ops::Range;

use rustix::io::Errno;

use super::{Body, FILE_BYTES_MAX, File, Folder, Node, ROOT, Result, Tree};

impl Tree {
    /// Frees what has no name in either state, and no opener. A disk has few enough files to look at
    /// them all.
    pub(super) fn drop_unreachable(&mut self) {
        let opened = self.nodes.iter().filter(|(_, node)| node.opens > 0);
        let mut open: Vec<u64> = opened.map(|(number, _)| *number).chain([ROOT]).collect();
        let mut seen = BTreeSet::new();
        while let Some(number) = open.pop() {
            if seen.insert(number)
                && let Ok(folder) = self.folder(number)
            {
                open.extend(folder.now.values().chain(folder.synced.values()));
            }
        }
        self.nodes.retain(|number, _| seen.contains(number));
        let files = self.nodes.values().map(|node| match &node.body {
            Body::File(file) => file.now.allocated(),
            Body::Folder(_) => 0,
        });
        self.pages = files.sum();
    }

    pub(super) fn make_room(&mut self, node: u64, offset: u64, length: u64) -> Result<()> {
        if offset.saturating_add(length) > FILE_BYTES_MAX {
            return Err(Errno::FBIG);
        }
        let missing = self.file(node)?.now.missing(offset, length);
        match missing > self.space().1 {
            true => Err(Errno::NOSPC),
            false => Ok(()),
        }
    }

    /// Changes a file's bytes, and knows which pages are dirty and how many there are.
    pub(super) fn change(
        &mut self,
        node: u64,
        change: impl FnOnce(&mut File) -> Range<usize>,
    ) -> Result<()> {
        let Body::File(file) = &mut self.node_mut(node)?.body else {
            return Err(Errno::ISDIR);
        };
        let before = file.now.allocated();
        let touched = change(file);
        file.dirty.extend(touched);
        let after = file.now.allocated();
        self.pages = (self.pages + after).saturating_sub(before);
        self.touch(node);
        Ok(())
    }

    pub(super) fn touch(&mut self, node: u64) {
        self.changes += 1;
        if let Some(node) = self.nodes.get_mut(&node) {
            node.changes = self.changes;
        }
    }

    pub(super) fn node(&self, node: u64) -> Result<&Node> {
        self.nodes.get(&node).ok_or(Errno::NOENT)
    }

    pub(super) fn node_mut(&mut self, node: u64) -> Result<&mut Node> {
        self.nodes.get_mut(&node).ok_or(Errno::NOENT)
    }

    pub(super) fn file(&self, node: u64) -> Result<&File> {
        match &self.node(node)?.body {
            Body::File(file) => Ok(file),
            Body::Folder(_) => Err(Errno::ISDIR),
        }
    }

    pub(super) fn folder(&self, node: u64) -> Result<&Folder> {
        match &self.node(node)?.body {
            Body::Folder(folder) => Ok(folder),
            Body::File(_) => Err(Errno::NOTDIR),
        }
    }

    pub(super) fn folder_mut(&mut self, node: u64) -> Result<&mut Folder> {
        match &mut self.node_mut(node)?.body {
            Body::Folder(folder) => Ok(folder),
            Body::File(_) => Err(Errno::NOTDIR),
        }
    }
}
