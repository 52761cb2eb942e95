//! The write side: one owner, one thread, entries in order.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::BoxFuture;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch as channel};

use super::dispatch::{self, Effects, Outcome};
use super::gc::Collector;
use super::generation::Generation;
use super::memory::Memory;
use super::shared::Shared;
use super::{View, commit, members};
use crate::auth::{TokenChange, Tokens};
use crate::command::{self, ApplyError, Reply};
use crate::consensus::{AppliedState, Committed, Fatal, LogId, Payload, StateMachine};
use crate::disk::{FileSystem, Real};
use crate::engine::rocks::RocksOptions;
use crate::engine::{Family, Opener, Span};
use crate::failpoint;
use crate::keys::sys::Row;
use crate::limits::TOKEN_TTL_DEFAULT;
use crate::metrics::StateMeasures;
use crate::planted::{self, Fault};
use crate::watch::{History, Hub};

/// What a machine is made with.
#[derive(Clone)]
pub struct MachineOptions {
    /// Where the folder is. Default the machine's own file system.
    pub files: Arc<dyn FileSystem>,
    /// Opens the engine. Default RocksDB.
    pub opener: Arc<dyn Opener>,
    /// Bytes in use from which puts are told that the store is full; none is no limit. Default
    /// 2 GiB, as etcd. Decides answers only, never the state.
    pub quota_bytes: Option<u64>,
    /// Bytes of recent changes kept in memory for watchers that fall behind; those that fall
    /// further behind read the disk. Default 32 MiB.
    pub watch_ring_bytes: usize,
    /// How long a simple token holds after its last use. Default 5 minutes, as etcd. This member's
    /// own: never stored.
    pub token_ttl: Duration,
    /// Where dead revisions are removed. Default on a thread of its own.
    pub collecting: Collecting,
    /// Counts the work.
    pub measures: StateMeasures,
}

/// Where dead revisions are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collecting {
    /// On a thread of its own, at its own pace.
    Beside,
    /// With the compaction that made them dead, for a simulation: no thread has a part in it.
    AtOnce,
}

impl Default for MachineOptions {
    fn default() -> Self {
        Self {
            files: Arc::new(Real),
            opener: Arc::new(RocksOptions::default()),
            quota_bytes: Some(2 << 30),
            watch_ring_bytes: 32 << 20,
            token_ttl: TOKEN_TTL_DEFAULT,
            collecting: Collecting::Beside,
            measures: StateMeasures::default(),
        }
    }
}

/// The state machine. Dropping it ends its thread and closes the watch streams.
pub struct Machine {
    pub(super) shared: Arc<Shared>,
    collector: Collector,
    dir: PathBuf,
    opener: Arc<dyn Opener>,
}

impl Machine {
    /// Opens the state in `dir`, or makes an empty one, and rebuilds the memory from it.
    pub fn open(dir: &Path, options: MachineOptions) -> Result<(Self, View), Fatal> {
        let MachineOptions {
            files,
            opener,
            quota_bytes,
            watch_ring_bytes,
            token_ttl,
            collecting,
            measures,
        } = options;
        let generation = Generation::open(&files, dir, &*opener)?;
        let memory = Memory::load(generation)?;
        let shared = Arc::new_cyclic(|weak: &Weak<Shared>| {
            let history: Weak<dyn History> = weak.clone();
            Shared {
                hub: Hub::new(memory.head.revision, history, watch_ring_bytes),
                gc_done: channel::Sender::new(memory.gc.done_revision),
                lease_changes: channel::Sender::new(0),
                tokens: Tokens::new(token_ttl),
                failure: Mutex::new(None),
                failed: Notify::new(),
                memory: RwLock::new(memory),
                quota_bytes,
                measures,
            }
        });
        let collector = Collector::start(shared.clone(), collecting)?;
        let view = View::new(shared.clone());
        Ok((
            Self {
                shared,
                collector,
                dir: dir.to_owned(),
                opener,
            },
            view,
        ))
    }

    fn command(&self, log_id: LogId, bytes: Bytes) -> Result<Bytes, Fatal> {
        let begun = Instant::now();
        let mut op = "unknown";
        let outcome = match command::decode(bytes) {
            Ok(request) => {
                op = command::name(&request);
                let memory = self.shared.memory.read();
                dispatch::decide(&memory, self.shared.quota_bytes, log_id.index, &request)?
            }
            // The same bytes are as unreadable to every member.
            Err(error) => {
                tracing::error!(index = log_id.index, %error, "a command cannot be read");
                Outcome {
                    result: Err(ApplyError::Malformed),
                    effects: Effects::default(),
                }
            }
        };
        let measures = &self.shared.measures;
        measures.called(&outcome.effects.calls);
        let revision = self.commit(log_id, outcome.effects)?;
        measures.applied(op, outcome.result.is_ok(), begun);
        Ok(Reply {
            revision,
            result: outcome.result,
        }
        .encode())
    }

    /// Writes, remembers, tells; returns the revision afterwards.
    fn commit(&self, log_id: LogId, mut effects: Effects) -> Result<i64, Fatal> {
        let is_compaction = effects.compact_revision.is_some();
        let is_lease_change = !effects.leases.is_empty();
        failpoint("commitBeforePreCommitHook")?;
        let (batch, head, generation) = {
            let memory = self.shared.memory.read();
            let (batch, head) = commit::rows(&memory, log_id, &effects);
            (batch, head, memory.generation.clone())
        };
        failpoint("commitAfterPreCommitHook")?;
        if is_compaction {
            failpoint("compactBeforeCommitScheduledCompact")?;
        }
        failpoint("beforeCommit")?;
        let batch = match planted::has(Fault::AppliedIndexApart) {
            true => commit::rows_first(generation.engine(), log_id, batch)
                .map_err(Fatal::at("apply::write"))?,
            false => batch,
        };
        let begun = Instant::now();
        generation
            .engine()
            .write(batch)
            .map_err(Fatal::at("apply::write"))?;
        self.shared.measures.commits.since(begun);
        failpoint("afterCommit")?;
        if is_compaction {
            failpoint("compactAfterCommitScheduledCompact")?;
        }
        failpoint("beforeWritebackBuf")?;
        // Before the applied index moves: whoever has seen it there knows the token. Tokens are this
        // member's own, like the queues of its watchers, so that their clock decides no outcome.
        for change in std::mem::take(&mut effects.auth.tokens) {
            self.shared.tokens.apply(change, Instant::now());
        }
        let batch = {
            let mut memory = self.shared.memory.write();
            commit::remember(&mut memory, log_id, head, effects)
        };
        failpoint("afterWritebackBuf")?;
        if let Some(batch) = batch {
            self.shared.hub.publish(Arc::new(batch));
        }
        if is_compaction {
            self.collector.wake();
        }
        if is_lease_change {
            self.shared
                .lease_changes
                .send_modify(|changes| *changes += 1);
        }
        Ok(head.revision)
    }

    /// Exactly once and without a gap, whatever the caller does after a crash.
    fn check_order(&self, log_id: LogId) -> Result<(), Fatal> {
        let applied = self.shared.memory.read().applied;
        match applied {
            Some(applied) if log_id.index != applied.index + 1 => {
                let fault = anyhow::anyhow!("entry {} after entry {}", log_id.index, applied.index);
                Err(Fatal::at("apply::order")(fault))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn check_failure(&self) -> Result<(), Fatal> {
        match self.shared.failure.lock().take() {
            Some(fatal) => Err(fatal),
            None => Ok(()),
        }
    }

    pub(super) fn generation(&self) -> Arc<Generation> {
        self.shared.memory.read().generation.clone()
    }
}

impl StateMachine for Machine {
    fn failure(&self) -> BoxFuture<'static, Fatal> {
        let shared = self.shared.clone();
        Box::pin(async move { shared.wait_failed().await })
    }

    fn applied_state(&mut self) -> Result<AppliedState, Fatal> {
        Ok(self.shared.memory.read().applied_state())
    }

    fn apply(&mut self, entry: Committed) -> Result<Bytes, Fatal> {
        self.check_failure()?;
        self.check_order(entry.log_id)?;
        match entry.payload {
            Payload::Command(bytes) => self.command(entry.log_id, bytes),
            Payload::Blank => {
                self.commit(entry.log_id, Effects::default())?;
                Ok(Bytes::new())
            }
            Payload::Membership { encoded, members } => {
                failpoint("beforeApplyOneConfChange")?;
                let (gone, seats) = {
                    let memory = self.shared.memory.read();
                    let gone = members::forget(&memory, &members);
                    (gone, members::reseat(&memory, &members))
                };
                let effects = Effects {
                    membership: Some(encoded),
                    members: gone,
                    seats,
                    ..Effects::default()
                };
                self.commit(entry.log_id, effects)?;
                Ok(Bytes::new())
            }
        }
    }

    fn flush(&mut self) -> Result<Option<LogId>, Fatal> {
        // This thread alone applies, so that nothing is applied between the two lines.
        let applied = self.shared.memory.read().applied;
        self.generation()
            .engine()
            .flush()
            .map_err(Fatal::at("apply::flush"))?;
        Ok(applied)
    }

    fn checkpoint(&mut self, dir: &Path) -> Result<AppliedState, Fatal> {
        let generation = self.generation();
        generation
            .engine()
            .checkpoint(dir)
            .map_err(Fatal::at("apply::checkpoint"))?;
        read_applied(dir, &*self.opener)
    }

    fn install(&mut self, dir: PathBuf) -> Result<AppliedState, Fatal> {
        let measures = self.shared.measures.clone();
        let _installing = measures.installing();
        let old = self.generation();
        let new = old.adopt(&self.dir, &dir, &*self.opener)?;
        let loaded = Memory::load(new.clone())?;
        let state = loaded.applied_state();
        let before = self.shared.memory.read().applied;
        if state.log_id < before {
            let fault = anyhow::anyhow!("a snapshot at {:?} after {before:?}", state.log_id);
            return Err(Fatal::at("apply::install")(fault));
        }
        // The copy may still be in RocksDB's own memory where opening it wrote something.
        new.engine().flush().map_err(Fatal::at("apply::install"))?;
        new.make_current(&self.dir)?;
        let revision = loaded.head.revision;
        // What happened to them in the entries that were skipped nobody knows.
        self.shared
            .tokens
            .apply(TokenChange::ForgetAll, Instant::now());
        *self.shared.memory.write() = loaded;
        old.retire();
        self.shared.hub.reset(revision);
        self.shared
            .lease_changes
            .send_modify(|changes| *changes += 1);
        self.collector.wake();
        Ok(state)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.shared.hub.close();
        // Before the engine stops, whose refusals it would report as damage.
        self.collector.end();
        // Whoever reads for long would keep the files open after the member's end.
        self.generation().engine().stop();
    }
}

/// A place where a test lets this member fail, as the disk would.
fn failpoint(name: &'static str) -> Result<(), Fatal> {
    failpoint::hit(name).map_err(Fatal::at("apply::failpoint"))
}

/// What the copy in `dir` holds, by its own rows.
fn read_applied(dir: &Path, opener: &dyn Opener) -> Result<AppliedState, Fatal> {
    let copy = opener.open(dir).map_err(Fatal::at("apply::open_copy"))?;
    let mut state = AppliedState::default();
    super::memory::each_row(&*copy, Family::Sys, Span::ALL, |key, value| {
        match Row::parse(key, &Bytes::copy_from_slice(value))? {
            Row::Applied(log_id) => state.log_id = Some(log_id),
            Row::Membership(bytes) => state.membership = Some(bytes),
            _ => {}
        }
        Ok(())
    })?;
    Ok(state)
}
