//! The raft log: segments of plain files, written by one thread that syncs whole groups.
//!
//! Entries, votes, truncations and purges are records of one stream, so that their order on disk
//! is the order in which they were asked for. A caller is told of success only after the disk has
//! said so; after the first failed write or sync the log is poisoned and tells nobody of success
//! again. Nothing here knows what an entry means, or openraft.
//!
//! Invariant: what was acknowledged is found again after any crash, or opening refuses.

mod error;
mod files;
mod record;
mod recover;
mod segment;
mod tail;
mod writer;

#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

pub use self::error::OpenError;
use self::tail::Tail;
pub use self::writer::Writer;
use self::writer::{Op, Pending};
use crate::consensus::LogId;
use crate::disk::{FileSystem, Real};
use crate::metrics::LogMeasures;

/// Told once whether the thing asked for is on disk.
pub type Callback = Box<dyn FnOnce(io::Result<()>) + Send>;

/// Called when there is something to write.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// One entry. What `kind` and `payload` mean is the caller's affair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place. Indexes are contiguous and start at 1.
    pub log_id: LogId,
    /// The caller's own mark.
    pub kind: u8,
    /// The caller's own bytes.
    pub payload: Bytes,
}

/// Settings of a log.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the folder is.
    pub files: Arc<dyn FileSystem>,
    /// The folder; made if it is missing. Nothing else may be kept in it.
    pub dir: PathBuf,
    /// Bytes reserved for a segment. A group larger than that gets a segment of its own size.
    pub segment_bytes: u64,
    /// Bytes of payload kept in memory, newest first. Older ones are read from disk.
    pub cache_bytes_max: usize,
    /// Counts the writes.
    pub measures: LogMeasures,
}

impl Options {
    /// The usual sizes, in `dir`.
    pub fn new(dir: PathBuf) -> Self {
        Self {
            files: Arc::new(Real),
            dir,
            segment_bytes: 64 << 20,
            cache_bytes_max: 16 << 20,
            measures: LogMeasures::default(),
        }
    }
}

/// The log's ends and marks, as of now; they may still be on their way to the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The last vote saved.
    pub vote: Option<Bytes>,
    /// The last entry known to be committed; may be older than the truth after a restart.
    pub committed: Option<LogId>,
    /// The last entry that was dropped from the log's start.
    pub purged: Option<LogId>,
    /// The last entry; on an empty log the same as `purged`.
    pub last: Option<LogId>,
}

/// A handle to an open log. Clones share it; [`Log::close`] ends it.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
}

/// What callers and the writer thread share. The lock is never held during IO.
struct Shared {
    state: Mutex<State>,
    /// Wakes the writer.
    work: Condvar,
    /// Called as well, where the writer is no thread.
    wake: Option<Wake>,
    /// Wakes those who wait for durability.
    synced: Condvar,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

struct State {
    tail: Tail,
    vote: Option<Bytes>,
    committed: Option<LogId>,
    pending: Pending,
    /// Bytes of payload accepted but not yet synced.
    backlog_bytes: usize,
    next_seq: u64,
    /// Every operation up to this number is on disk.
    durable_seq: u64,
    poison: Option<Arc<str>>,
    closing: bool,
}

impl Shared {
    fn wake_writer(&self) {
        self.work.notify_one();
        if let Some(wake) = &self.wake {
            wake();
        }
    }
}

impl State {
    /// Whether the entry at `index` is on disk; none while it is on its way.
    fn durable(&self, index: u64) -> Option<io::Result<()>> {
        if let Some(reason) = &self.poison {
            return Some(Err(poisoned(reason)));
        }
        let is_purged = || self.tail.purged().is_some_and(|upto| index <= upto.index);
        match self.tail.seq_of(index) {
            None if is_purged() => Some(Ok(())),
            None => Some(Err(io::Error::other(format!(
                "entry {index} is not in the log"
            )))),
            Some(seq) if seq <= self.durable_seq => Some(Ok(())),
            Some(_) if self.closing && self.pending.is_empty() && !self.pending.in_flight => {
                Some(Err(io::Error::other("the raft log is closed")))
            }
            Some(_) => None,
        }
    }

    fn usable(&self) -> io::Result<()> {
        match &self.poison {
            Some(reason) => Err(poisoned(reason)),
            None if self.closing => Err(io::Error::other("the raft log is closed")),
            None => Ok(()),
        }
    }

    fn enqueue(&mut self, op: Op) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.pending.push(seq, op);
        seq
    }
}

fn poisoned(reason: &str) -> io::Error {
    io::Error::other(format!(
        "the raft log failed before and takes nothing more: {reason}"
    ))
}

impl Log {
    /// Opens the log in `options.dir`, repairs a tail that a crash tore, and makes what it found
    /// durable before anything is built on it. Refuses if acknowledged bytes are damaged.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let (log, writer) = Self::open_with(&options, None)?;
        let thread = writer.spawn().map_err(|source| OpenError::Io {
            step: "start the raft log thread",
            source,
        })?;
        *log.shared.thread.lock() = Some(thread);
        Ok(log)
    }

    /// As [`Log::open`], but without a thread: nothing is written until the caller takes a step of the
    /// writer. `wake` is called when there is one to take.
    pub fn open_stepwise(options: &Options, wake: Wake) -> Result<(Self, Writer), OpenError> {
        Self::open_with(options, Some(wake))
    }

    fn open_with(options: &Options, wake: Option<Wake>) -> Result<(Self, Writer), OpenError> {
        let recovered = recover::open(options)?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                tail: recovered.tail,
                vote: recovered.vote,
                committed: recovered.committed,
                pending: Pending::default(),
                backlog_bytes: 0,
                next_seq: 1,
                durable_seq: 0,
                poison: None,
                closing: false,
            }),
            work: Condvar::new(),
            wake,
            synced: Condvar::new(),
            thread: Mutex::new(None),
        });
        let log = Self {
            shared: shared.clone(),
        };
        let disk = recovered.disk;
        Ok((log, Writer { shared, disk }))
    }

    /// The ends and marks of the log.
    pub fn view(&self) -> View {
        let state = self.shared.state.lock();
        View {
            vote: state.vote.clone(),
            committed: state.committed,
            purged: state.tail.purged(),
            last: state.tail.last(),
        }
    }

    /// Adds `entries` after the last one. They can be read at once; `done` is told when they are
    /// on disk, unless a newer append reached the disk with them: then only that one's is told.
    pub fn append(&self, entries: Vec<Entry>, done: Callback) -> io::Result<()> {
        let mut state = self.shared.state.lock();
        state.usable()?;
        let seq = state.next_seq;
        let bytes: usize = entries.iter().map(|entry| entry.payload.len()).sum();
        state.tail.append(&entries, seq)?;
        state.backlog_bytes += bytes;
        state.enqueue(Op::Append { entries, bytes });
        state.pending.newest_append = Some(done);
        drop(state);
        self.shared.wake_writer();
        Ok(())
    }

    /// Saves the vote; `done` is told when it is on disk.
    pub fn save_vote(&self, vote: Bytes, done: Callback) -> io::Result<()> {
        let mut state = self.shared.state.lock();
        state.usable()?;
        state.vote = Some(vote.clone());
        state.enqueue(Op::Vote(vote));
        state.pending.waiters.push(done);
        drop(state);
        self.shared.wake_writer();
        Ok(())
    }

    /// Notes what is committed. Reaches the disk with the next group, and may be lost: it only
    /// saves a restarted member from waiting for its leader's word.
    pub fn set_committed(&self, committed: Option<LogId>) {
        self.shared.state.lock().committed = committed;
    }

    /// Drops every entry after `last`; `None` drops all. In order with later appends.
    pub fn truncate_after(&self, last: Option<LogId>) -> io::Result<()> {
        let mut state = self.shared.state.lock();
        state.usable()?;
        state.tail.truncate_after(last)?;
        state.enqueue(Op::Truncate(last));
        drop(state);
        self.shared.wake_writer();
        Ok(())
    }

    /// Drops every entry up to and with `upto`, which may lie beyond the last one: then the log is
    /// empty and continues after `upto`. Files are removed later, once this is on disk.
    pub fn purge(&self, upto: LogId) -> io::Result<()> {
        let mut state = self.shared.state.lock();
        state.usable()?;
        if state.tail.purged() >= Some(upto) {
            return Ok(());
        }
        state.tail.purge(upto);
        state.enqueue(Op::Purge(upto));
        drop(state);
        self.shared.wake_writer();
        Ok(())
    }

    /// Entries from `from` to before `to`, as far as the log has them, and at least one but no more
    /// than about `bytes_max` of payload. May block on the disk.
    pub fn read(&self, from: u64, to: u64, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let found = self.shared.state.lock().tail.find(from, to, bytes_max);
        found.into_iter().map(tail::Found::load).collect()
    }

    /// As [`Log::read`], but `None` instead of touching the disk.
    pub fn read_cached(&self, from: u64, to: u64, bytes_max: usize) -> Option<Vec<Entry>> {
        let found = self.shared.state.lock().tail.find(from, to, bytes_max);
        found.into_iter().map(tail::Found::in_memory).collect()
    }

    /// Blocks until the entry at `index` is on disk.
    pub fn wait_durable(&self, index: u64) -> io::Result<()> {
        let mut state = self.shared.state.lock();
        loop {
            match state.durable(index) {
                Some(result) => return result,
                None => self.shared.synced.wait(&mut state),
            }
        }
    }

    /// As [`Log::wait_durable`], but none instead of waiting.
    pub fn is_durable(&self, index: u64) -> Option<io::Result<()>> {
        self.shared.state.lock().durable(index)
    }

    /// Bytes of payload accepted but not yet on disk. Whoever proposes must hold back when this
    /// grows: appends themselves never wait, because a leader's heartbeats would wait with them.
    pub fn backlog_bytes(&self) -> usize {
        self.shared.state.lock().backlog_bytes
    }

    /// Writes what is pending, then ends the thread. Blocks until it has ended.
    pub fn close(&self) {
        self.shared.state.lock().closing = true;
        self.shared.work.notify_one();
        let thread = self.shared.thread.lock().take();
        if let Some(thread) = thread {
            // A panic of the thread has poisoned the log already and was reported there.
            let _ = thread.join();
        }
    }
}
