//! One member's disk, in memory. What was not synced when the power goes may be lost, whole or in part.
//!
//! A process sees the disk through a [`Mount`]. When the process ends, by a kill or by the loss of power,
//! its mount is dead: whatever it still tries fails.

mod engine;
mod file;
mod folder;
mod mount;

use std::sync::Arc;

use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;

use folder::Folder;

pub(crate) use engine::TableOpener;
pub(crate) use mount::Mount;

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// What was written stays.
    Kill,
    /// What was not synced may be lost.
    PowerLoss,
}

/// See the module. Clones share it.
#[derive(Clone)]
pub(crate) struct Disk {
    shared: Arc<Mutex<Shared>>,
}

pub(super) struct Shared {
    root: Arc<Mutex<Folder>>,
    /// Counts the processes; only the present one's calls are served.
    life: u64,
    is_up: bool,
    is_locked: bool,
    chance: StdRng,
    /// The process ends at this many calls from now.
    ends_in: Option<u32>,
    /// The next syncs that fail.
    sync_faults: u32,
    /// A sync has failed in this life.
    has_failed: bool,
    /// Losses of power that took something.
    losses: u64,
}

impl Disk {
    pub(crate) fn new(seed: u64) -> Self {
        let root: Arc<Mutex<Folder>> = Arc::default();
        // As a data directory's own folders are: made and synced before anything is in them.
        for name in ["log", "state", "staging"] {
            folder::make_durable(&root, name);
        }
        Self {
            shared: Arc::new(Mutex::new(Shared {
                root,
                life: 0,
                is_up: false,
                is_locked: false,
                chance: StdRng::seed_from_u64(seed),
                ends_in: None,
                sync_faults: 0,
                has_failed: false,
                losses: 0,
            })),
        }
    }

    /// A new process looks at the disk.
    pub(crate) fn mount(&self) -> Mount {
        let mut shared = self.shared.lock();
        shared.life += 1;
        shared.is_up = true;
        shared.is_locked = false;
        shared.ends_in = None;
        shared.sync_faults = 0;
        shared.has_failed = false;
        Mount::new(self.shared.clone(), shared.life)
    }

    /// The process ends at the call that is `calls` from now, before it is done.
    pub(crate) fn end_in(&self, calls: u32) {
        self.shared.lock().ends_in = Some(calls);
    }

    /// The next sync fails, and what it should have made durable never will be.
    pub(crate) fn fail_sync(&self) {
        self.shared.lock().sync_faults += 1;
    }

    /// What was to fail does not fail any more.
    pub(crate) fn mend(&self) {
        let mut shared = self.shared.lock();
        shared.ends_in = None;
        shared.sync_faults = 0;
    }

    /// The process ends. True if anything was lost.
    pub(crate) fn end(&self, how: End) -> bool {
        let mut shared = self.shared.lock();
        let shared = &mut *shared;
        shared.is_up = false;
        if how == End::Kill {
            return false;
        }
        let root = shared.root.clone();
        let lost = folder::lose(&root, &mut shared.chance);
        shared.losses += u64::from(lost);
        lost
    }

    /// Whether a sync of the present process has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.shared.lock().has_failed
    }

    /// How often a loss of power took something.
    pub(crate) fn losses(&self) -> u64 {
        self.shared.lock().losses
    }
}
