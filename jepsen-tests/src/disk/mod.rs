//! A disk of a member's own, on a FUSE file system of ours: it forgets what was not synced, is full,
//! slow, or fails, when it is told to.
//!
//! It lives in this process's memory, in two states that share their pages: what a process that runs
//! reads and writes, and what a loss of power would leave. A sync of a file or folder carries that
//! one over to the second; [`Disk::lose`] goes back to it. The kernel keeps nothing of it: neither
//! bytes (every file is opened for direct IO, so none can be mapped) nor names. Locks are the
//! kernel's own.
//!
//! It knows nothing of what is stored on it.

mod content;
mod faults;
mod mount;
mod serve;
mod served;
#[cfg(test)]
mod tests;
mod tree;

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

pub(crate) use faults::{Eio, Faults};
pub(crate) use mount::{Mounted, remove_stale, why_not};
use tree::Tree;

/// As large as any run needs, and small enough for the memory of a small machine.
const BYTES: u64 = 1 << 30;

/// The disk itself, mounted or not.
pub(crate) struct Disk {
    tree: Mutex<Tree>,
    faults: Mutex<Faults>,
    /// Operations that a fault has made fail or wait.
    hits: AtomicU64,
}

impl Disk {
    /// An empty one.
    fn new() -> Self {
        Self {
            tree: Mutex::new(Tree::new(BYTES)),
            faults: Mutex::default(),
            hits: AtomicU64::new(0),
        }
    }

    /// Goes back to what was synced. Nobody may have a file of it open any more.
    pub(crate) fn lose(&self) {
        self.tree.lock().lose();
    }

    /// Changes what fails.
    pub(crate) fn set_faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.faults.lock());
    }

    /// How many operations faults have made fail or wait so far.
    pub(crate) fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    fn hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }
}
