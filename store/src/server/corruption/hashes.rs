//! This member's hashes, and how members ask each other for them.
//!
//! A hash reads the whole history, so one is made at a time, off the reactor.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use prost::Message;
use proto_etcd::etcdserverpb::{HashKvRequest, HashKvResponse, ResponseHeader};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::plan::PeerHash;
use crate::apply::{ReadError, View};
use crate::consensus::{Consensus, MemberCalls};
use crate::mvcc::hash::KvHash;

/// Compactions whose hashes are kept, as in etcd.
const KEPT_MAX: usize = 10;

/// Asks for the hash of the history up to a revision.
const CALL_HASH: u8 = 1;
/// Asks for the hash kept of the compaction at a revision.
const CALL_KEPT: u8 = 2;

/// What an answer begins with.
const SAYS_HASH: u8 = 0;
const SAYS_COMPACTED: u8 = 1;
const SAYS_FUTURE: u8 = 2;
const SAYS_MISSING: u8 = 3;

/// See the module.
pub(in crate::server) struct Hashes {
    view: View,
    kept: Mutex<BTreeMap<i64, KvHash>>,
    turn: Arc<Semaphore>,
}

impl Hashes {
    /// Hashes of what `view` shows.
    pub(in crate::server) fn new(view: View) -> Arc<Self> {
        Arc::new(Self {
            view,
            kept: Mutex::default(),
            turn: Arc::new(Semaphore::new(1)),
        })
    }

    /// The hash of the history up to `revision` (0: all of it), and the newest revision.
    pub(super) async fn at(&self, revision: i64) -> Result<(KvHash, i64), ReadError> {
        self.turn(move |view| view.hash_kv(revision)).await
    }

    async fn turn<T: Send + 'static>(
        &self,
        make: impl FnOnce(&View) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let Ok(turn) = self.turn.clone().acquire_owned().await else {
            return Err(ReadError::Busy);
        };
        let view = self.view.clone();
        let work = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            make(&view)
        });
        work.await.unwrap_or(Err(ReadError::Busy))
    }

    /// What is kept of compactions, the newest first.
    pub(super) fn kept(&self) -> Vec<KvHash> {
        self.kept.lock().values().rev().copied().collect()
    }

    async fn keep(&self, compaction: i64) {
        let made = self.turn(move |view| view.compaction_hash(compaction));
        let hash = match made.await {
            Ok(Some((hash, _))) => hash,
            // Another compaction came in between, whose own hash follows; or this member did not see
            // this one from its beginning.
            Ok(None) | Err(ReadError::Busy) => return,
            Err(error) => {
                tracing::warn!(error = %base::report(&error), compaction, "cannot hash a compaction");
                return;
            }
        };
        tracing::info!(
            hash = hash.hash,
            revision = compaction,
            compact_revision = hash.compact_revision,
            "storing new hash"
        );
        let mut kept = self.kept.lock();
        kept.insert(compaction, hash);
        while kept.len() > KEPT_MAX {
            kept.pop_first();
        }
    }

    async fn answer(&self, kind: u8, revision: i64) -> Option<PeerHash> {
        Some(match kind {
            CALL_HASH => match self.at(revision).await {
                Ok((hash, current)) => PeerHash::Hash(hash, current),
                Err(ReadError::Compacted) => PeerHash::Compacted,
                Err(ReadError::FutureRev) => PeerHash::Future,
                Err(_) => PeerHash::Missing,
            },
            CALL_KEPT => match self.kept.lock().get(&revision) {
                Some(hash) => PeerHash::Hash(*hash, self.view.revision()),
                None => PeerHash::Missing,
            },
            _ => return None,
        })
    }
}

#[async_trait]
impl MemberCalls for Hashes {
    async fn call(&self, request: Bytes) -> Option<Bytes> {
        let (kind, body) = request.split_first()?;
        let request = HashKvRequest::decode(body).ok()?;
        Some(encode(self.answer(*kind, request.revision).await?))
    }
}

/// Keeps the hash of each compaction whose dead rows are gone, until `stop`.
pub(in crate::server) async fn keep(hashes: &Hashes, stop: &CancellationToken) {
    let mut collected = hashes.view.subscribe_collected();
    loop {
        let compaction = *collected.borrow_and_update();
        if compaction > 0 && compaction == hashes.view.compact_revision() {
            hashes.keep(compaction).await;
        }
        tokio::select! { biased;
            () = stop.cancelled() => return,
            changed = collected.changed() => if changed.is_err() { return },
        }
    }
}

/// What to ask of another member.
#[derive(Clone, Copy, Debug)]
pub(super) enum Question {
    /// The hash of the history up to a revision.
    At(i64),
    /// The hash kept of the compaction at a revision.
    Kept(i64),
}

/// Asks every other member at once, each until `deadline`.
pub(super) async fn ask_all(
    consensus: &dyn Consensus,
    question: Question,
    deadline: Instant,
) -> Vec<(u64, PeerHash)> {
    let (kind, revision) = match question {
        Question::At(revision) => (CALL_HASH, revision),
        Question::Kept(revision) => (CALL_KEPT, revision),
    };
    let mut request = BytesMut::new();
    request.put_u8(kind);
    request.put_slice(&HashKvRequest { revision }.encode_to_vec());
    let request = request.freeze();
    let status = consensus.status();
    let others = status
        .members
        .into_keys()
        .filter(|id| *id != status.member_id);
    let questions = others.map(|id| {
        let request = request.clone();
        async move {
            let answer = consensus.call_member(id, request, deadline).await;
            let said = answer.ok().and_then(|answer| decode(&answer));
            (id, said.unwrap_or(PeerHash::Silent))
        }
    });
    futures::future::join_all(questions).await
}

fn encode(said: PeerHash) -> Bytes {
    let kind = match said {
        PeerHash::Hash(..) => SAYS_HASH,
        PeerHash::Compacted => SAYS_COMPACTED,
        PeerHash::Future => SAYS_FUTURE,
        PeerHash::Missing | PeerHash::Silent => SAYS_MISSING,
    };
    let mut out = BytesMut::new();
    out.put_u8(kind);
    if let PeerHash::Hash(hash, revision) = said {
        let response = HashKvResponse {
            header: Some(ResponseHeader {
                revision,
                ..ResponseHeader::default()
            }),
            hash: hash.hash,
            compact_revision: hash.compact_revision,
            hash_revision: hash.hash_revision,
        };
        out.put_slice(&response.encode_to_vec());
    }
    out.freeze()
}

fn decode(answer: &[u8]) -> Option<PeerHash> {
    let (kind, body) = answer.split_first()?;
    Some(match *kind {
        SAYS_HASH => {
            let response = HashKvResponse::decode(body).ok()?;
            let hash = KvHash {
                hash: response.hash,
                compact_revision: response.compact_revision,
                hash_revision: response.hash_revision,
            };
            PeerHash::Hash(hash, response.header?.revision)
        }
        SAYS_COMPACTED => PeerHash::Compacted,
        SAYS_FUTURE => PeerHash::Future,
        SAYS_MISSING => PeerHash::Missing,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_survive_the_wire() {
        let hash = KvHash {
            hash: u32::MAX,
            compact_revision: -1,
            hash_revision: 9,
        };
        for said in [
            PeerHash::Hash(hash, 12),
            PeerHash::Compacted,
            PeerHash::Future,
            PeerHash::Missing,
        ] {
            assert_eq!(decode(&encode(said)), Some(said));
        }
        assert_eq!(decode(&[]), None);
        assert_eq!(decode(&[9]), None);
        assert_eq!(decode(&[SAYS_HASH, 0xff]), None);
    }
}
