//! The answers to the kernel's questions, with what a faulty disk makes of them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime};

use fuser::{FileAttr, FileType, Generation, INodeNo, ReplyAttr, ReplyEmpty, ReplyEntry};
use parking_lot::Mutex;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::content::PAGE;
use super::tree::Tree;
use super::{Disk, Eio};

/// The kernel must ask each time: what it knew may have been lost.
pub(super) const AT_ONCE: Duration = Duration::ZERO;
pub(super) const NAME_BYTES_MAX: u32 = 255;

pub(super) type Listing = Vec<(OsString, u64, FileType)>;

/// A disk, served.
pub(super) struct Served {
    pub(super) disk: Arc<Disk>,
    /// Times of changes count from here.
    started: SystemTime,
    /// Folders that are being read, as they were when that began.
    pub(super) listings: Mutex<BTreeMap<u64, Listing>>,
    pub(super) next_listing: AtomicU64,
}

impl Served {
    pub(super) fn new(disk: Arc<Disk>) -> Self {
        Self {
            disk,
            started: SystemTime::now(),
            listings: Mutex::default(),
            next_listing: AtomicU64::new(1),
        }
    }

    pub(super) fn attr(&self, tree: &Tree, node: u64) -> Result<FileAttr, Errno> {
        let about = tree.about(node)?;
        // Later changes have later times; that is all that anybody needs of them.
        let changed = self.started + Duration::from_micros(about.changes);
        Ok(FileAttr {
            ino: INodeNo(node),
            size: about.len,
            blocks: about.pages * (PAGE as u64 / 512),
            atime: changed,
            mtime: changed,
            ctime: changed,
            crtime: changed,
            kind: kind(about.is_folder),
            perm: u16::try_from(about.mode).unwrap_or(0),
            nlink: about.links,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: PAGE as u32,
            flags: 0,
        })
    }

    /// Waits as a slow disk would, and fails as a broken one.
    pub(super) fn suffer(&self, what: Eio) -> Result<(), Errno> {
        let faults = *self.disk.faults.lock();
        if what != Eio::Read && !faults.delay.is_zero() {
            self.disk.hit();
            std::thread::sleep(faults.delay);
        }
        // What began while it was broken, and ends when it no longer is, is fine too.
        if faults.eio == Some(what) {
            self.disk.hit();
            return Err(Errno::IO);
        }
        Ok(())
    }

    /// Refuses what needs space on a disk that is told to be full.
    pub(super) fn room(&self, is_there: bool) -> Result<(), Errno> {
        if is_there || !self.disk.faults.lock().is_full {
            return Ok(());
        }
        self.disk.hit();
        Err(Errno::NOSPC)
    }

    pub(super) fn entry(
        &self,
        node: impl FnOnce(&mut Tree) -> Result<u64, Errno>,
        reply: ReplyEntry,
    ) {
        let mut tree = self.disk.tree.lock();
        let found = node(&mut tree).and_then(|node| self.attr(&tree, node));
        match found {
            Ok(attr) => reply.entry(&AT_ONCE, &attr, Generation(0)),
            Err(error) => reply.error(told(error)),
        }
    }

    pub(super) fn list(&self, folder: u64) -> Result<Listing, Errno> {
        let tree = self.disk.tree.lock();
        let names = tree.list(folder)?.into_iter();
        let mut listing = vec![
            (".".into(), folder, FileType::Directory),
            ("..".into(), folder, FileType::Directory),
        ];
        for (name, node) in names {
            listing.push((name, node, kind(tree.about(node)?.is_folder)));
        }
        Ok(listing)
    }

    pub(super) fn write_bytes(&self, node: u64, offset: u64, data: &[u8]) -> Result<u32, Errno> {
        self.suffer(Eio::Write)?;
        let mut tree = self.disk.tree.lock();
        self.room(tree.has_room(node, offset, data.len() as u64)?)?;
        tree.write(node, offset, data)?;
        u32::try_from(data.len()).map_err(|_| Errno::INVAL)
    }

    pub(super) fn reserve(
        &self,
        node: u64,
        offset: u64,
        length: u64,
        mode: i32,
    ) -> Result<(), Errno> {
        let keeps_length = mode == FallocateFlags::KEEP_SIZE.bits().cast_signed();
        if mode != 0 && !keeps_length {
            return Err(Errno::OPNOTSUPP);
        }
        let mut tree = self.disk.tree.lock();
        self.room(tree.has_room(node, offset, length)?)?;
        tree.reserve(node, offset, length)?;
        let end = offset.saturating_add(length);
        if !keeps_length && tree.about(node)?.len < end {
            tree.resize(node, end)?;
        }
        Ok(())
    }

    pub(super) fn sync(&self, node: u64) -> Result<(), Errno> {
        let suffered = self.suffer(Eio::Sync);
        let mut tree = self.disk.tree.lock();
        match suffered {
            Ok(()) => tree.sync(node),
            Err(error) => {
                tree.fail_sync(node);
                Err(error)
            }
        }
    }
}

fn kind(is_folder: bool) -> FileType {
    match is_folder {
        true => FileType::Directory,
        false => FileType::RegularFile,
    }
}

pub(super) fn told(error: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(error.raw_os_error())
}

pub(super) fn answer_attr(attr: Result<FileAttr, Errno>, reply: ReplyAttr) {
    match attr {
        Ok(attr) => reply.attr(&AT_ONCE, &attr),
        Err(error) => reply.error(told(error)),
    }
}

pub(super) fn answer(done: Result<(), Errno>, reply: ReplyEmpty) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(told(error)),
    }
}
