//! openraft's state machine over ours: turns its calls into jobs for the apply thread.

use std::io;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use parking_lot::Mutex;

use super::jobs::{Item, Job, Jobs};
use super::membership::member_list;
use super::snapshot::SnapshotData;
use super::types::{
    RaftEntry, RaftLogId, Snapshot, SnapshotMeta, StoredMembership, TypeConfig, Types, ours, theirs,
};
use super::{AppliedState, Committed, Payload, codec};

/// Entries given to the apply thread at once.
const BATCH_ENTRIES: usize = 256;

/// The adapter.
pub struct StateMachineAdapter<C: Types = TypeConfig> {
    jobs: Jobs<C>,
    applied: (Option<RaftLogId>, StoredMembership),
    /// What a restarted member would still have: the place up to which the log may be purged.
    flushed: Arc<Mutex<SnapshotMeta>>,
}

impl<C: Types> StateMachineAdapter<C> {
    /// `state` is what the machine holds, durable.
    pub(super) fn new(jobs: Jobs<C>, state: &AppliedState) -> io::Result<Self> {
        let meta = to_meta(state)?;
        let applied = (meta.last_log_id, meta.last_membership.clone());
        Ok(Self {
            jobs,
            applied,
            flushed: Arc::new(Mutex::new(meta)),
        })
    }

    async fn apply_batch(&mut self, items: Vec<Item<C>>) -> io::Result<()> {
        self.jobs.run(|done| Job::Apply { items, done }).await
    }
}

/// What the machine says of itself, in openraft's words.
pub(super) fn to_meta(state: &AppliedState) -> io::Result<SnapshotMeta> {
    let last_membership = match &state.membership {
        Some(encoded) => codec::decode(encoded)?,
        None => StoredMembership::default(),
    };
    Ok(SnapshotMeta {
        last_log_id: state.log_id.and_then(theirs),
        last_membership,
    })
}

/// An entry in the words of the state machine, and its membership if it is one.
fn to_committed(entry: RaftEntry) -> io::Result<(Committed, Option<StoredMembership>)> {
    let log_id = ours(entry.log_id);
    let (payload, membership) = match entry.payload {
        EntryPayload::Blank => (Payload::Blank, None),
        EntryPayload::Normal(command) => (Payload::Command(command.0), None),
        EntryPayload::Membership(membership) => {
            let members = member_list(&membership).into_values().collect();
            let stored = StoredMembership::new(Some(entry.log_id), membership);
            (
                Payload::Membership {
                    encoded: codec::encode(&stored)?,
                    members,
                },
                Some(stored),
            )
        }
    };
    Ok((Committed { log_id, payload }, membership))
}

impl<C: Types> RaftStateMachine<C> for StateMachineAdapter<C> {
    type SnapshotData = SnapshotData<C>;
    type SnapshotBuilder = Builder<C>;

    async fn applied_state(&mut self) -> io::Result<(Option<RaftLogId>, StoredMembership)> {
        Ok(self.applied.clone())
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<C>>> + Unpin + OptionalSend,
    {
        let mut items = Vec::new();
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            let log_id = entry.log_id;
            let (entry, membership) = to_committed(entry)?;
            items.push(Item { entry, responder });
            self.applied.0 = Some(log_id);
            if let Some(membership) = membership {
                self.applied.1 = membership;
            }
            if items.len() >= BATCH_ENTRIES {
                self.apply_batch(std::mem::take(&mut items)).await?;
            }
        }
        match items.is_empty() {
            true => Ok(()),
            false => self.apply_batch(items).await,
        }
    }

    async fn get_snapshot_builder(&mut self) -> Builder<C> {
        Builder {
            jobs: self.jobs.clone(),
            flushed: self.flushed.clone(),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotData<C>,
    ) -> io::Result<()> {
        let staged = match snapshot {
            SnapshotData::Staged(staged) => staged,
            // openraft asks for this at start only if the snapshot were ahead of the machine; ours is the machine.
            SnapshotData::Lazy(_) => {
                return Err(io::Error::other("a member's own state cannot be installed"));
            }
        };
        let (dir, expected) = (staged.path().to_owned(), meta.last_log_id.map(ours));
        let state = self
            .jobs
            .run(|done| Job::Install {
                dir,
                expected,
                done,
            })
            .await?;
        let installed = to_meta(&state)?;
        self.applied = (installed.last_log_id, installed.last_membership.clone());
        *self.flushed.lock() = installed;
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot<C>>> {
        let meta = self.flushed.lock().clone();
        if meta.last_log_id.is_none() {
            return Ok(None);
        }
        Ok(Some(Snapshot {
            meta,
            snapshot: SnapshotData::Lazy(self.jobs.clone()),
        }))
    }
}

/// "Builds a snapshot": flushes, so that the log may be purged. The copy for a peer is made later,
/// when one needs it.
pub struct Builder<C: Types = TypeConfig> {
    jobs: Jobs<C>,
    flushed: Arc<Mutex<SnapshotMeta>>,
}

impl<C: Types> RaftSnapshotBuilder<C> for Builder<C> {
    type SnapshotData = SnapshotData<C>;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot<C>> {
        let state = self.jobs.run(|done| Job::Flush { done }).await?;
        let meta = to_meta(&state)?;
        let mut flushed = self.flushed.lock();
        // A snapshot from a peer may have come in between.
        if flushed.last_log_id < meta.last_log_id {
            *flushed = meta.clone();
        }
        Ok(Snapshot {
            meta,
            snapshot: SnapshotData::Lazy(self.jobs.clone()),
        })
    }
}
