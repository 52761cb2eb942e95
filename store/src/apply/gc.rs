//! Removes what compactions have made dead, on a thread of its own, a bounded piece at a time with a
//! pause after each, so that applying entries never waits long. How far it got is stored with every
//! piece. It moves at this member's own pace and changes nothing that a read can see. On its way it
//! hashes what it passes, see `compactions`.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::compactions::Kept;
use super::machine::Collecting;
use super::shared::Shared;
use crate::consensus::Fatal;
use crate::engine::{Engine, Family, WriteBatch};
use crate::failpoint;
use crate::keys::sys::{Gc, Row};
use crate::mvcc::compact;
use crate::mvcc::hash::Stretch;

/// Rows looked at in one piece.
const ROWS_MAX: usize = 1000;

/// Keys of the index looked at under its lock at once.
const INDEX_KEYS_MAX: usize = 1000;

/// The rest between two pieces.
const PAUSE: Duration = Duration::from_millis(1);

/// The thread's owner; dropping it ends the thread and waits for it.
pub(super) struct Collector {
    /// Whose dead revisions are removed without a thread.
    at_once: Option<Arc<Shared>>,
    // None without a thread, and at the end.
    signal: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Collector {
    /// Starts the thread, which first finishes what an earlier life left.
    pub(super) fn start(shared: Arc<Shared>, collecting: Collecting) -> Result<Self, Fatal> {
        if collecting == Collecting::AtOnce {
            let collector = Self {
                at_once: Some(shared),
                signal: None,
                thread: None,
            };
            collector.wake();
            return Ok(collector);
        }
        let (signal, signals) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("store-gc".into())
            .spawn(move || run(&shared, &signals))
            .map_err(Fatal::at("gc::spawn"))?;
        let collector = Self {
            at_once: None,
            signal: Some(signal),
            thread: Some(thread),
        };
        collector.wake();
        Ok(collector)
    }

    /// There is a new compaction.
    pub(super) fn wake(&self) {
        if let Some(shared) = &self.at_once {
            collect_all(shared);
        }
        match self.signal.as_ref().map(|signal| signal.try_send(())) {
            // A signal that waits covers this one too; a thread that has ended has told why.
            None | Some(Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(()))) => {}
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.end();
    }
}

impl Collector {
    /// Ends the thread and waits for it: at most for one piece.
    pub(super) fn end(&mut self) {
        self.signal = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the collector of old revisions panicked");
        }
    }
}

/// What is known of the compaction under way.
#[derive(Default)]
struct UnderWay {
    /// None of one that an earlier life began.
    kept: Option<Kept>,
    begun: Option<Instant>,
}

fn run(shared: &Shared, signals: &Receiver<()>) {
    let mut under_way = UnderWay::default();
    while signals.recv().is_ok() {
        loop {
            match collect(shared, &mut under_way) {
                Ok(true) => {}
                Ok(false) => break,
                Err(fatal) => return shared.fail(fatal),
            }
            match signals.recv_timeout(PAUSE) {
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

fn collect_all(shared: &Shared) {
    let mut under_way = UnderWay::default();
    loop {
        match collect(shared, &mut under_way) {
            Ok(true) => {}
            Ok(false) => return,
            Err(fatal) => return shared.fail(fatal),
        }
    }
}

/// Does one piece; true if there is more.
fn collect(shared: &Shared, under_way: &mut UnderWay) -> Result<bool, Fatal> {
    let (generation, gc, pair, upto);
    {
        let memory = shared.memory.read();
        (generation, gc) = (memory.generation.clone(), memory.gc);
        pair = memory.compactions.first();
        upto = pair.map_or(memory.head.compact_revision, |pair| pair.at);
    }
    if gc.done_revision >= upto {
        shared.gc_done.send_replace(gc.done_revision);
        if pair.is_some() {
            // One at revision 0, before everything.
            shared.memory.write().compactions.done(upto, None);
        }
        return Ok(pair.is_some());
    }
    let engine = generation.engine();
    if let Some(pair) = pair
        && gc.done_revision == pair.before.max(0)
    {
        let changed = Stretch::default();
        under_way.kept = Some(Kept { pair, changed });
    }
    let now = Instant::now();
    let begun = *under_way.begun.get_or_insert(now);
    let dead = compact::find_dead(engine, gc.done_revision, upto, ROWS_MAX)?;
    let rows = dead.keys.len();
    if let Some(kept) = &mut under_way.kept {
        kept.changed = kept.changed.then(dead.changed);
    }
    let done = Gc {
        done_revision: dead.done_revision,
        freed_bytes: gc.freed_bytes + dead.bytes,
    };
    let is_last = done.done_revision >= upto;
    let failpoint = |name| failpoint::hit(name).map_err(Fatal::at("gc::failpoint"));
    failpoint("compactBeforeCommitBatch")?;
    if is_last {
        failpoint("compactBeforeSetFinishedCompact")?;
    }
    write(engine, dead.keys, done)?;
    shared.measures.collected(rows, now.elapsed());
    failpoint("compactAfterCommitBatch")?;
    if is_last {
        failpoint("compactAfterSetFinishedCompact")?;
    }
    {
        let mut memory = shared.memory.write();
        // A snapshot came in between: its rows have their own progress.
        if !Arc::ptr_eq(&memory.generation, &generation) {
            *under_way = UnderWay::default();
            return Ok(true);
        }
        memory.gc = done;
        if is_last {
            let kept = under_way.kept.take();
            let kept = kept.filter(|kept| kept.pair.at == upto);
            memory.compactions.done(upto, kept);
        }
    }
    if is_last {
        compact_index(shared, upto);
        under_way.begun = None;
        shared.measures.compacted(begun.elapsed());
        shared.gc_done.send_replace(upto);
        tracing::info!(
            compact_revision = upto,
            freed_bytes = done.freed_bytes,
            "finished scheduled compaction"
        );
    }
    Ok(true)
}

fn write(engine: &dyn Engine, dead: Vec<Vec<u8>>, done: Gc) -> Result<(), Fatal> {
    let mut batch = WriteBatch::new();
    for key in dead {
        batch.delete(Family::Rev, key);
    }
    let row = Row::Gc(done);
    batch.put(Family::Sys, row.key(), row.value());
    engine.write(batch).map_err(Fatal::at("gc::write"))
}

fn compact_index(shared: &Shared, at: i64) {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let mut memory = shared.memory.write();
        // Never beyond what reads refuse: a snapshot may have brought another state meanwhile.
        let at = at.min(memory.head.compact_revision);
        after = memory.index.compact(at, after.as_deref(), INDEX_KEYS_MAX);
        if after.is_none() {
            return;
        }
    }
}
