//! What waits for one stream: batches in order, and the watchers that could not be served from
//! there. Filled by the hub, emptied by the stream.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::SharedBatch;
use super::group::Watcher;

/// Entries of one stream's queue. When it is full, the watcher that does not fit goes back to
/// reading the ring and the disk, and loses nothing.
pub(super) const QUEUE_MAX: usize = 1024;

/// Bytes that one stream's queue may keep in memory; more is handled like [`QUEUE_MAX`].
pub(super) const QUEUE_BYTES_MAX: usize = 4 << 20;

/// One thing to tell a watcher.
#[derive(Clone, Debug)]
pub(super) enum Queued {
    /// Some of a batch's changes.
    Events {
        /// For whom.
        watcher: Arc<Watcher>,
        /// The batch.
        batch: SharedBatch,
        /// Which changes.
        changes: Vec<u32>,
    },
    /// Everything up to a revision has been told.
    Progress {
        /// For whom; -1 for all watchers of the stream.
        watch_id: i64,
        /// The revision.
        revision: i64,
    },
    /// The history that the watcher wants is gone, and so is the watcher.
    Compacted {
        /// For whom.
        watch_id: i64,
        /// The compaction.
        compact_revision: i64,
    },
}

impl Queued {
    /// The watcher that it is for.
    pub(super) fn watch_id(&self) -> i64 {
        match self {
            Self::Events { watcher, .. } => watcher.id,
            Self::Progress { watch_id, .. } | Self::Compacted { watch_id, .. } => *watch_id,
        }
    }

    /// About how much memory it keeps.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Events { batch, changes, .. } => changes
                .iter()
                .filter_map(|at| batch.changes.get(usize::try_from(*at).ok()?))
                .map(super::Change::bytes)
                .sum(),
            Self::Progress { .. } | Self::Compacted { .. } => 0,
        }
    }
}

/// A watcher that must read the ring or the disk before it can be served by the hub.
#[derive(Clone, Debug)]
pub(super) struct Lagging {
    /// Who.
    pub(super) watcher: Arc<Watcher>,
    /// The first revision that it has not been told of.
    pub(super) from: i64,
    /// The queue's entries before this number must be told first.
    pub(super) after: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// In order, each with its number.
    entries: VecDeque<(u64, Queued)>,
    /// What they keep in memory.
    bytes: usize,
    /// The number of the next entry.
    next: u64,
    /// In no order.
    pub(super) lagging: Vec<Lagging>,
    /// Progress was asked for while watchers lagged.
    pub(super) progress_wanted: bool,
    /// The hub has ended.
    pub(super) is_closed: bool,
}

impl Waiting {
    /// True if nothing more fits.
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= QUEUE_MAX || self.bytes >= QUEUE_BYTES_MAX
    }

    /// How many entries wait.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The last entry.
    pub(super) fn last(&self) -> Option<&Queued> {
        self.entries.back().map(|(_, entry)| entry)
    }

    /// The first entry.
    pub(super) fn first(&self) -> Option<&Queued> {
        self.entries.front().map(|(_, entry)| entry)
    }

    /// Adds an entry. The caller has looked at [`Waiting::is_full`].
    pub(super) fn push(&mut self, entry: Queued) {
        self.bytes += entry.bytes();
        self.entries.push_back((self.next, entry));
        self.next += 1;
    }

    /// Takes the first entry.
    pub(super) fn pop(&mut self) -> Option<Queued> {
        let (_, entry) = self.entries.pop_front()?;
        self.bytes -= entry.bytes();
        Some(entry)
    }

    /// Makes a watcher read for itself, after what is queued for it.
    pub(super) fn demote(&mut self, watcher: Arc<Watcher>, from: i64) {
        self.lagging.push(Lagging {
            watcher,
            from,
            after: self.next,
        });
    }

    /// True if everything that was queued before the watcher lagged has been taken.
    pub(super) fn is_due(&self, lagging: &Lagging) -> bool {
        self.entries
            .front()
            .is_none_or(|(number, _)| *number >= lagging.after)
    }

    /// Forgets a watcher and what is queued for it.
    pub(super) fn forget(&mut self, watcher: &Watcher) {
        self.lagging
            .retain(|lagging| lagging.watcher.serial != watcher.serial);
        self.entries
            .retain(|(_, entry)| entry.watch_id() != watcher.id);
        self.bytes = self.entries.iter().map(|(_, entry)| entry.bytes()).sum();
    }
}

/// The queue of one stream and the bell that wakes it.
#[derive(Debug, Default)]
pub(super) struct StreamQueue {
    /// What waits. Taken after the hub's lock where both are.
    pub(super) waiting: Mutex<Waiting>,
    /// Rings when something was added.
    pub(super) bell: Notify,
}
