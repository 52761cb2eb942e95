//! What the machine, its readers, its collector of old rows and the watchers share.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use proto_etcd::mvccpb::KeyValue;
use tokio::sync::{Notify, watch as channel};

use super::memory::Memory;
use crate::auth::Tokens;
use crate::consensus::Fatal;
use crate::engine::{Direction, Family, Span};
use crate::keys;
use crate::metrics::StateMeasures;
use crate::mvcc::Revision;
use crate::watch::{Change, ChangeKind, Chunk, History, Hub, RevBatch};

/// See the module.
pub(super) struct Shared {
    /// Taken before the hub's lock, never while holding it.
    pub(super) memory: RwLock<Memory>,
    /// Who is told of changes.
    pub(super) hub: Hub,
    /// Everything that a compaction up to here makes dead is gone.
    pub(super) gc_done: channel::Sender<i64>,
    /// Counts changes of leases.
    pub(super) lease_changes: channel::Sender<u64>,
    /// The tokens of users, this member's own.
    pub(super) tokens: Tokens,
    /// What went wrong away from the machine's thread; whoever waits for it, or the next entry, meets it.
    pub(super) failure: Mutex<Option<Fatal>>,
    /// Notified of it.
    pub(super) failed: Notify,
    /// Bytes in use from which puts are told that the store is full; none is no limit.
    pub(super) quota_bytes: Option<u64>,
    /// What is counted of the work.
    pub(super) measures: StateMeasures,
}

impl Shared {
    /// Keeps the first failure for the machine.
    pub(super) fn fail(&self, fatal: Fatal) {
        tracing::error!(step = fatal.step, error = %fatal.source, "the state cannot be read");
        self.failure.lock().get_or_insert(fatal);
        self.failed.notify_one();
    }

    /// Resolves when something has failed away from the machine's thread.
    pub(super) async fn wait_failed(&self) -> Fatal {
        loop {
            self.failed.notified().await;
            if let Some(fatal) = self.failure.lock().take() {
                return fatal;
            }
        }
    }

    fn read_chunk(&self, from: i64, to: i64, bytes_max: usize) -> Result<Chunk, Fatal> {
        let generation = self.memory.read().generation.clone();
        let start = keys::rev::key(Revision {
            main: from.max(0),
            sub: 0,
        });
        let end = keys::rev::key(Revision {
            main: to.saturating_add(1),
            sub: 0,
        });
        let mut chunk = Chunk {
            batches: Vec::new(),
            upto: to,
        };
        let mut open: Option<RevBatch> = None;
        let mut bytes = 0;
        let mut damage = None;
        let mut visit = |key: &[u8], value: &[u8]| {
            let (main, change) = match change(key, value) {
                Ok(row) => row,
                Err(damaged) => {
                    damage = Some(damaged);
                    return ControlFlow::Break(());
                }
            };
            if let Some(done) = open.take_if(|batch| batch.revision != main) {
                bytes += done.bytes();
                chunk.upto = done.revision;
                chunk.batches.push(Arc::new(done));
                if bytes >= bytes_max {
                    return ControlFlow::Break(());
                }
            }
            open.get_or_insert_with(|| RevBatch {
                revision: main,
                changes: Vec::new(),
            })
            .changes
            .push(change);
            ControlFlow::Continue(())
        };
        let span = Span::between(&start, &end);
        generation
            .engine()
            .scan(Family::Rev, span, Direction::Forward, &mut visit)
            .map_err(Fatal::at("history::scan"))?;
        if let Some(damaged) = damage {
            return Err(Fatal::at("history::parse")(damaged));
        }
        if bytes < bytes_max {
            chunk.batches.extend(open.map(Arc::new));
            chunk.upto = to;
        }
        Ok(chunk)
    }

    fn read_replaced(&self, pairs: &[(i64, Revision)]) -> Result<Vec<Option<KeyValue>>, Fatal> {
        let (generation, compacted) = {
            let memory = self.memory.read();
            (memory.generation.clone(), memory.head.compact_revision)
        };
        let rows: Vec<_> = pairs.iter().map(|(_, at)| keys::rev::key(*at)).collect();
        let rows = generation
            .engine()
            .multi_get(Family::Rev, &rows)
            .map_err(Fatal::at("history::replaced"))?;
        let mut replaced = Vec::with_capacity(rows.len());
        for ((revision, at), row) in pairs.iter().zip(rows) {
            // As etcd, which reads the state just before the change: compacted means none.
            let row = row.filter(|_| *revision > compacted);
            let kv = row
                .map(|row| keys::rev::parse(&row)?.to_kv(*at))
                .transpose();
            replaced.push(kv.map_err(Fatal::at("history::replaced"))?);
        }
        Ok(replaced)
    }
}

impl History for Shared {
    fn compact_revision(&self) -> i64 {
        self.memory.read().head.compact_revision
    }

    fn batches(&self, from: i64, to: i64, bytes_max: usize) -> Result<Chunk, Fatal> {
        self.read_chunk(from, to, bytes_max)
    }

    fn replaced(&self, pairs: &[(i64, Revision)]) -> Result<Vec<Option<KeyValue>>, Fatal> {
        self.read_replaced(pairs)
    }
}

fn change(key: &[u8], value: &[u8]) -> Result<(i64, Change), keys::Damaged> {
    let at = keys::rev::parse_key(key)?;
    let record = keys::rev::parse(&Bytes::copy_from_slice(value))?;
    let kind = if record.is_tombstone {
        ChangeKind::Delete
    } else {
        ChangeKind::Put
    };
    let previous = record.previous;
    Ok((at.main, Change::new(kind, record.to_kv(at)?, previous)))
}
