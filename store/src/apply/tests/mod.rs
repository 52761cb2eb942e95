//! The state machine against a model, on hand-picked cases, and across crashes.

mod auth;
mod auth_property;
mod cases;
mod concurrent;
mod crash;
mod hash;
mod leases;
pub(crate) mod model;
mod property;
pub(crate) mod reference;
mod seats;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use proto_etcd::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, DeleteRangeResponse, InternalRaftRequest,
    LeaseGrantRequest, LeaseRevokeRequest, PutRequest, PutResponse, RangeRequest, RangeResponse,
    TxnRequest, TxnResponse,
};
use tempfile::TempDir;

use super::{Machine, MachineOptions, View};
use crate::command::{self, ApplyError, Reply};
use crate::consensus::{Committed, LogId, Payload, StateMachine};
use crate::engine::mem::MemOpener;

/// A machine with its own folder and a counter of entries, so that a test reads as a list of
/// requests.
pub(crate) struct Store {
    pub(crate) machine: Machine,
    pub(crate) view: View,
    pub(crate) index: u64,
    /// Every command so far, to be applied again.
    pub(crate) log: Vec<Bytes>,
    dir: TempDir,
}

pub(crate) fn mem_options() -> MachineOptions {
    MachineOptions {
        opener: Arc::new(MemOpener),
        ..MachineOptions::default()
    }
}

impl Store {
    pub(crate) fn new() -> Self {
        Self::with(mem_options())
    }

    pub(crate) fn with(options: MachineOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (machine, view) = Machine::open(dir.path(), options).unwrap();
        Self {
            machine,
            view,
            index: 0,
            log: Vec::new(),
            dir,
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn apply(&mut self, request: &InternalRaftRequest) -> Reply {
        self.log.push(command::encode(request));
        let bytes = self.replay();
        Reply::decode(bytes).unwrap()
    }

    /// Applies the entry after the last one.
    pub(crate) fn replay(&mut self) -> Bytes {
        let command = self.log[usize::try_from(self.index).unwrap()].clone();
        self.index += 1;
        let log_id = LogId {
            term: 1,
            index: self.index,
        };
        self.machine
            .apply(Committed {
                log_id,
                payload: Payload::Command(command),
            })
            .unwrap()
    }

    pub(crate) fn ask<M: Message + Default>(
        &mut self,
        request: &InternalRaftRequest,
    ) -> Result<M, ApplyError> {
        self.apply(request).response().unwrap()
    }

    pub(crate) fn put(&mut self, put: PutRequest) -> Result<PutResponse, ApplyError> {
        self.ask(&InternalRaftRequest {
            put: Some(put),
            ..Default::default()
        })
    }

    pub(crate) fn set(&mut self, key: &str, value: &str) -> i64 {
        self.put(put(key, value)).unwrap().header.unwrap().revision
    }

    pub(crate) fn delete(&mut self, key: &str, end: &str) -> DeleteRangeResponse {
        let delete_range = Some(DeleteRangeRequest {
            key: text(key),
            range_end: text(end),
            prev_kv: true,
        });
        self.ask(&InternalRaftRequest {
            delete_range,
            ..Default::default()
        })
        .unwrap()
    }

    pub(crate) fn txn(&mut self, txn: TxnRequest) -> Result<TxnResponse, ApplyError> {
        self.ask(&InternalRaftRequest {
            txn: Some(txn),
            ..Default::default()
        })
    }

    pub(crate) fn compact(&mut self, revision: i64) -> Result<(), ApplyError> {
        let compaction = Some(CompactionRequest {
            revision,
            physical: false,
        });
        self.apply(&InternalRaftRequest {
            compaction,
            ..Default::default()
        })
        .result
        .map(drop)
    }

    pub(crate) fn grant(&mut self, id: i64, ttl: i64) -> Result<(), ApplyError> {
        let lease_grant = Some(LeaseGrantRequest { id, ttl });
        self.apply(&InternalRaftRequest {
            lease_grant,
            ..Default::default()
        })
        .result
        .map(drop)
    }

    pub(crate) fn revoke(&mut self, id: i64) -> Result<(), ApplyError> {
        let lease_revoke = Some(LeaseRevokeRequest { id });
        self.apply(&InternalRaftRequest {
            lease_revoke,
            ..Default::default()
        })
        .result
        .map(drop)
    }

    pub(crate) fn range(&self, key: &str, end: &str) -> RangeResponse {
        self.view
            .range(&RangeRequest {
                key: text(key),
                range_end: text(end),
                ..Default::default()
            })
            .unwrap()
    }

    /// Waits until old rows are gone. Bounded by the test's own time.
    pub(crate) fn collect(&self, revision: i64) {
        let limit = std::time::Duration::from_secs(30);
        let wait = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let wait = self.view.wait_collected(revision);
            runtime
                .unwrap()
                .block_on(async { tokio::time::timeout(limit, wait).await })
                .unwrap();
        };
        // On a thread of its own, because some tests are inside a runtime.
        std::thread::scope(|scope| scope.spawn(wait).join().unwrap());
    }

    /// Dies and opens again with what was on the disk at that moment: an engine that is closed in
    /// order may still flush, so the files are copied before.
    pub(crate) fn crash(self, options: MachineOptions) -> Self {
        let Self {
            machine,
            view,
            log,
            dir,
            ..
        } = self;
        let disk = tempfile::tempdir().unwrap();
        copy_still(dir.path(), disk.path());
        drop((machine, view, dir));
        let (mut machine, view) = Machine::open(disk.path(), options).unwrap();
        let index = machine
            .applied_state()
            .unwrap()
            .log_id
            .map_or(0, |log_id| log_id.index);
        Self {
            machine,
            view,
            index,
            log,
            dir: disk,
        }
    }

    /// Applies what the log holds beyond the applied index.
    pub(crate) fn catch_up(&mut self) {
        while usize::try_from(self.index).unwrap() < self.log.len() {
            self.replay();
        }
    }
}

/// Copies a folder as it is at one moment: again if files came or went meanwhile, since an engine
/// tidies up in the background.
fn copy_still(from: &Path, to: &Path) {
    for _ in 0..100 {
        std::fs::remove_dir_all(to).unwrap();
        std::fs::create_dir(to).unwrap();
        let before = names(from);
        if copy(from, to).is_ok() && names(from) == before {
            return;
        }
    }
    panic!("{} does not come to rest", from.display());
}

fn names(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        found.extend(names(&entry.path()));
        found.insert(entry.path());
    }
    found
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            std::fs::create_dir(&target)?;
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

pub(crate) fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(crate) fn put(key: &str, value: &str) -> PutRequest {
    PutRequest {
        key: text(key),
        value: text(value),
        ..Default::default()
    }
}
