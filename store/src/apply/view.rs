//! The read side: cheap to clone, usable from any thread while entries are applied.
//!
//! Every answer is of one moment. Calls block on the disk for what is not in memory; a large range
//! belongs on a thread that may block.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use proto_etcd::etcdserverpb::{AlarmMember, RangeRequest, RangeResponse, TxnRequest, TxnResponse};
use proto_etcd::membershippb::Attributes;
use tokio::sync::watch as channel;

use super::dispatch;
use super::memory::Memory;
use super::shared::Shared;
use crate::command::ApplyError;
use crate::config::CLUSTER_VERSION;
use crate::consensus::{Fatal, LogId, Roster};
use crate::engine::{Family, Reader, Span};
use crate::failpoint;
use crate::keys::sys::Seat;
use crate::lease::news::Change as LeaseChange;
use crate::mvcc::source::Stored;
use crate::mvcc::{self, Writer, range, txn};
use crate::watch::Hub;

/// Why a read has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The revision has been compacted. Not worth another try.
    #[error("required revision has been compacted")]
    Compacted,
    /// The revision is not there yet. Worth another try later.
    #[error("required revision is a future revision")]
    FutureRev,
    /// A transaction that may write was given to a read. A fault of the caller.
    #[error("not a read-only transaction")]
    NotReadOnly,
    /// Compactions kept coming while it was read. Worth another try.
    #[error("compacted while it was read")]
    Busy,
    /// Who asks may not see it.
    #[error(transparent)]
    Refused(#[from] ApplyError),
    /// The disk failed or holds what it must not: the member must stop.
    #[error(transparent)]
    Storage(#[from] Fatal),
}

impl From<mvcc::Error> for ReadError {
    fn from(error: mvcc::Error) -> Self {
        match error {
            mvcc::Error::Compacted => Self::Compacted,
            mvcc::Error::FutureRev => Self::FutureRev,
            // Only writes are refused for these.
            mvcc::Error::KeyNotFound | mvcc::Error::LeaseNotFound => Self::NotReadOnly,
            mvcc::Error::Storage(fatal) => Self::Storage(fatal),
        }
    }
}

/// A lease as it is replicated; what is left of its time only the leader knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseView {
    /// What was granted, in seconds.
    pub granted_ttl: i64,
    /// What was left at the last checkpoint, in seconds; 0 if there was none since a renewal.
    pub remaining_ttl: i64,
    /// The keys that hang on it, sorted.
    pub keys: Vec<Bytes>,
}

/// See the module.
#[derive(Clone)]
pub struct View {
    pub(super) shared: Arc<Shared>,
}

impl View {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Answers a range request. The header holds the revision of the moment and nothing else.
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse, ReadError> {
        self.range_if(request, |_| Ok(()))
    }

    /// The same, if `check` agrees with the state that is read.
    pub(super) fn range_if(
        &self,
        request: &RangeRequest,
        check: impl FnOnce(&Memory) -> Result<(), ApplyError>,
    ) -> Result<RangeResponse, ReadError> {
        let (selected, generation);
        let snapshot;
        {
            let memory = self.shared.memory.read();
            check(&memory)?;
            selected = range::select(request, &memory.base())?;
            generation = memory.generation.clone();
            // Taken while no compaction can start, so that no row goes before it is loaded.
            snapshot = generation.engine().snapshot();
        }
        Ok(range::respond(request, selected, &Stored(&*snapshot))?)
    }

    /// Answers a transaction that only reads; the header as in [`View::range`].
    pub fn txn(&self, request: &TxnRequest) -> Result<TxnResponse, ReadError> {
        self.txn_if(request, |_| Ok(()))
    }

    /// The same, if `check` agrees with the state that is read.
    pub(super) fn txn_if(
        &self,
        request: &TxnRequest,
        check: impl FnOnce(&Memory) -> Result<(), ApplyError>,
    ) -> Result<TxnResponse, ReadError> {
        if !txn::is_read_only(request) {
            return Err(ReadError::NotReadOnly);
        }
        let memory = self.shared.memory.read();
        check(&memory)?;
        let mut writer = Writer::new(memory.base(), memory.generation.engine(), &memory.leases);
        Ok(writer.txn(request)?)
    }

    /// The newest revision.
    pub fn revision(&self) -> i64 {
        self.shared.memory.read().head.revision
    }

    /// The newest compaction; -1 if there was none.
    pub fn compact_revision(&self) -> i64 {
        self.shared.memory.read().head.compact_revision
    }

    /// The last entry applied; the default on a fresh member.
    pub fn applied(&self) -> LogId {
        self.shared.memory.read().applied.unwrap_or_default()
    }

    /// How many keys are live.
    pub fn key_count(&self) -> usize {
        self.shared.memory.read().index.len()
    }

    /// Bytes that the engine takes, and those of them that defragmenting would not give back: rows that
    /// count, and what is in memory.
    pub fn db_size(&self) -> Result<(u64, u64), Fatal> {
        let (generation, in_use) = {
            let memory = self.shared.memory.read();
            (memory.generation.clone(), memory.bytes_in_use())
        };
        let sizes = generation
            .engine()
            .sizes()
            .map_err(Fatal::at("view::sizes"))?;
        let rows = u64::try_from(in_use).unwrap_or(0);
        let total = sizes.total_bytes.max(rows);
        Ok((total, rows.saturating_add(sizes.memory_bytes).min(total)))
    }

    /// The limit of the bytes in use; none if there is no limit.
    pub fn quota_bytes(&self) -> Option<u64> {
        self.shared.quota_bytes
    }

    /// True if a request that costs `cost` bytes fits: what etcd asks before it proposes.
    pub fn has_space(&self, cost: u64) -> bool {
        let in_use = u64::try_from(self.shared.memory.read().bytes_in_use()).unwrap_or(0);
        self.shared
            .quota_bytes
            .is_none_or(|quota| cost == 0 || in_use.saturating_add(cost) < quota)
    }

    /// The ids of all leases.
    pub fn leases(&self) -> Vec<i64> {
        self.shared
            .memory
            .read()
            .leases
            .iter()
            .map(|(id, _)| id)
            .collect()
    }

    /// All leases with what was granted and what was left at the last checkpoint, in seconds. What
    /// changes after this moment is kept for [`View::lease_news`].
    pub fn follow_leases(&self) -> Vec<(i64, i64, i64)> {
        let memory = self.shared.memory.read();
        memory.lease_news.lock().begin();
        let leases = memory.leases.iter();
        leases
            .map(|(id, lease)| (id, lease.granted_ttl_s, lease.remaining_ttl_s))
            .collect()
    }

    /// What became of leases since they were last looked at; none if not everything is known.
    pub fn lease_news(&self) -> Option<Vec<LeaseChange>> {
        let memory = self.shared.memory.read();
        let mut news = memory.lease_news.lock();
        news.take()
    }

    /// Keeps no more changes of leases.
    pub fn unfollow_leases(&self) {
        self.shared.memory.read().lease_news.lock().end();
    }

    /// One lease.
    pub fn lease(&self, id: i64) -> Option<LeaseView> {
        let memory = self.shared.memory.read();
        let lease = memory.leases.get(id)?;
        Some(LeaseView {
            granted_ttl: lease.granted_ttl_s,
            remaining_ttl: lease.remaining_ttl_s,
            keys: lease.keys.iter().cloned().collect(),
        })
    }

    /// What was granted to a lease and what was left at its last checkpoint, in seconds.
    pub fn lease_ttls(&self, id: i64) -> Option<(i64, i64)> {
        let memory = self.shared.memory.read();
        let lease = memory.leases.get(id)?;
        Some((lease.granted_ttl_s, lease.remaining_ttl_s))
    }

    /// Rings after a lease was granted, revoked or checkpointed.
    pub fn subscribe_leases(&self) -> channel::Receiver<u64> {
        self.shared.lease_changes.subscribe()
    }

    /// The alarms raised, by type and member.
    pub fn alarms(&self) -> Vec<AlarmMember> {
        let memory = self.shared.memory.read();
        memory
            .alarms
            .iter()
            .copied()
            .map(dispatch::alarm_member)
            .collect()
    }

    /// Members' names and client URLs, as far as they have told them.
    pub fn member_attributes(&self) -> BTreeMap<u64, Attributes> {
        self.shared.memory.read().members.clone()
    }

    /// The version that all members understand; none before the first leader has set it.
    pub fn cluster_version(&self) -> Option<String> {
        self.shared.memory.read().cluster_version.clone()
    }

    /// The version that the cluster is being downgraded to, if it is.
    pub fn downgrade(&self) -> Option<String> {
        self.shared.memory.read().downgrade.clone()
    }

    /// The version that the files are said to be of: the cluster's, once it is decided.
    pub fn storage_version(&self) -> String {
        self.cluster_version()
            .unwrap_or_else(|| CLUSTER_VERSION.into())
    }

    /// Where watches are opened.
    pub fn watch_hub(&self) -> &Hub {
        &self.shared.hub
    }

    /// Waits until what a compaction at `revision` made dead is gone. Ends early if the machine
    /// does.
    pub async fn wait_collected(&self, revision: i64) {
        let mut done = self.shared.gc_done.subscribe();
        // The sender lives in what this view shares.
        let _ = done.wait_for(|done| *done >= revision).await;
    }

    /// Up to which compaction the dead rows are gone; changes as more go.
    pub fn subscribe_collected(&self) -> channel::Receiver<i64> {
        self.shared.gc_done.subscribe()
    }

    /// Gives the space of removed rows back. Slow; reads and writes go on.
    pub fn defragment(&self) -> Result<(), Fatal> {
        let generation = self.shared.memory.read().generation.clone();
        let begun = Instant::now();
        let _defragmenting = self.shared.measures.defragmenting();
        failpoint::hit("defragBeforeCopy").map_err(Fatal::at("view::defragment"))?;
        for family in Family::ALL {
            let compacted = generation.engine().compact(family, Span::ALL);
            compacted.map_err(Fatal::at("view::defragment"))?;
        }
        self.shared.measures.defragments.since(begun);
        Ok(())
    }

    /// Calls `read` with the rows of one moment. Writers go on; the rows take their space on the disk
    /// until it returns.
    pub fn at_one_moment<T>(&self, read: impl FnOnce(&dyn Reader) -> T) -> T {
        let generation;
        let snapshot;
        {
            let memory = self.shared.memory.read();
            generation = memory.generation.clone();
            snapshot = generation.engine().snapshot();
        }
        read(&*snapshot)
    }
}

impl Roster for View {
    fn is_removed(&self, id: u64) -> bool {
        self.shared.memory.read().seats.get(&id) == Some(&Seat::Left)
    }
}
