//! openraft's network: its calls to other members, translated and sent over [`super::peers`].
//!
//! Never lets openraft hear of a member that denies what it had acknowledged: openraft would end the
//! leader over it.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use futures::{FutureExt, Stream, StreamExt, stream};
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, stream_append_sequential};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError,
    StreamAppendResult, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RaftNetworkFactory, RaftNetworkV2};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::peer_proto::{SnapshotManifest, SnapshotMessage, snapshot_message::Message};
use super::peers::{Lane, PeerClient, Peers};
use super::snapshot::{Outgoing, SnapshotData};
use super::types::{RaftLogId, Snapshot, SnapshotMeta, StoredMembership, TypeConfig, Vote, ours};
use super::wire::{self, WireError};
use super::{AppliedState, Member, codec};
use crate::failpoint;

/// Snapshot messages read ahead of the wire. When it is full, reading waits.
const SNAPSHOT_AHEAD: usize = 8;

/// Makes openraft's clients.
#[derive(Clone)]
pub(super) struct NetworkFactory {
    pub(super) peers: Arc<Peers>,
    pub(super) staging: PathBuf,
}

impl NetworkFactory {
    fn network(&self, target: u64, node: &Member, lane: Lane) -> Network {
        let urls = node.peer_urls.clone();
        Network {
            peers: self.peers.clone(),
            staging: self.staging.clone(),
            target,
            urls,
            lane,
        }
    }
}

impl RaftNetworkFactory<TypeConfig> for NetworkFactory {
    type Network = Network;

    async fn new_client(&mut self, target: u64, node: &Member) -> Network {
        self.network(target, node, Lane::Append)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &Member) -> Network {
        self.network(target, node, Lane::Heartbeat)
    }

    async fn new_snapshot_client(&mut self, target: u64, node: &Member) -> Network {
        self.network(target, node, Lane::Snapshot)
    }
}

/// One member, as openraft calls it.
pub(super) struct Network {
    peers: Arc<Peers>,
    staging: PathBuf,
    target: u64,
    urls: Vec<String>,
    lane: Lane,
}

type Rpc<T> = Result<T, RPCError<TypeConfig>>;

impl Network {
    fn client(&self) -> Rpc<PeerClient> {
        self.peers
            .client(self.target, &self.urls, self.lane)
            .map_err(|error| Unreachable::new(&error).into())
    }

    /// A failed call as openraft sees it: one that could not be delivered makes it wait before the next.
    fn failed(&self, status: &Status) -> RPCError<TypeConfig> {
        self.peers.rotate(self.target, self.lane);
        self.peers.heed(status);
        self.count_failure();
        match status.code() {
            tonic::Code::Unavailable | tonic::Code::FailedPrecondition => {
                Unreachable::new(status).into()
            }
            _ => NetworkError::new(status).into(),
        }
    }

    fn count_failure(&self) {
        let measures = &self.peers.measures;
        measures.failed_to_send(self.target);
        if self.lane == Lane::Heartbeat {
            measures.heartbeat_failures.inc();
        }
    }

    /// Keeps a member that has lost what it acknowledged away from openraft, which takes that for its own
    /// fault: it would end the leader, and the next one, and so the cluster.
    fn check(&self, term: u64, result: &StreamAppendResult<TypeConfig>) -> Rpc<()> {
        match result {
            Ok(matched) => self.peers.note_matched(self.target, term, *matched),
            Err(StreamAppendError::Conflict(denied)) => {
                if self.peers.has_lost(self.target, term, *denied) {
                    return Err(self.lost(*denied));
                }
            }
            Err(StreamAppendError::HigherVote(_)) => {}
        }
        Ok(())
    }

    fn lost(&self, denied: RaftLogId) -> RPCError<TypeConfig> {
        let text = format!(
            "member {:x} has lost entry {}, which it had acknowledged; remove it and add it again",
            self.target,
            ours(denied).index
        );
        tracing::error!("{text}");
        Unreachable::from_string(text).into()
    }

    /// A unary call within openraft's time.
    async fn unary<T>(
        &self,
        option: &RPCOption,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Rpc<T> {
        let unanswered = Unanswered(self);
        match tokio::time::timeout(option.hard_ttl(), call).await {
            Ok(answer) => {
                std::mem::forget(unanswered);
                if self.lane == Lane::Heartbeat {
                    self.peers.note_reached(self.target, answer.is_ok());
                }
                let answer = answer.map_err(|status| self.failed(&status))?;
                Ok(answer.into_inner())
            }
            Err(_) => Err(NetworkError::from_string("the peer did not answer in time").into()),
        }
    }
}

/// A call without an answer yet. Dropped, it counts as failed: openraft too gives up a call that takes
/// too long.
struct Unanswered<'a>(&'a Network);

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        self.0.count_failure();
    }
}

/// Bytes of a message.
pub(super) fn size(message: &impl prost::Message) -> u64 {
    message.encoded_len() as u64
}

fn bad_message(error: WireError) -> RPCError<TypeConfig> {
    NetworkError::new(&error).into()
}

impl RaftNetworkV2<TypeConfig> for Network {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<AppendEntriesResponse<TypeConfig>> {
        let last = rpc
            .entries
            .last()
            .map(|entry| entry.log_id)
            .or(rpc.prev_log_id);
        let request = wire::put_append(rpc).map_err(bad_message)?;
        failpoint::pause("raftBeforeLeaderSend").await;
        let mut client = self.client()?;
        let measures = &self.peers.measures;
        measures.sent(self.target).inc_by(size(&request));
        let begun = Instant::now();
        let response = self.unary(&option, client.append(request)).await?;
        measures.round_trip(self.target, begun);
        measures.received(self.target).inc_by(size(&response));
        Ok(
            match wire::get_append_result(response).map_err(bad_message)? {
                Ok(matched) if matched == last => AppendEntriesResponse::Success,
                Ok(matched) => AppendEntriesResponse::PartialSuccess(matched),
                // A heartbeat names only what the member has acknowledged.
                Err(StreamAppendError::Conflict(log_id)) => return Err(self.lost(log_id)),
                Err(StreamAppendError::HigherVote(vote)) => AppendEntriesResponse::HigherVote(vote),
            },
        )
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Rpc<BoxStream<'s, Rpc<StreamAppendResult<TypeConfig>>>>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        // A heartbeat is one message; a stream for it would cost more than it brings.
        if self.lane == Lane::Heartbeat {
            return stream_append_sequential(self, input, option);
        }
        async move {
            let mut input = input.peekable();
            // openraft waits after a failure within its own stream: a call that fails before it has read
            // from there would be made again at once, thousands of times a second.
            if Pin::new(&mut input).peek().await.is_none() {
                return Ok::<BoxStream<'_, _>, _>(stream::empty().boxed());
            }
            let mut client = self.client()?;
            // One leader's stream, so one term; it is known from the first message on.
            let term = Arc::new(AtomicU64::new(0));
            let seen = term.clone();
            let input = input.inspect(move |request| {
                seen.store(request.vote.leader_id.term, Ordering::Relaxed);
            });
            let input = failpoint::each("raftBeforeLeaderSend", input);
            // Ends the stream at the first message that cannot be written; openraft then starts anew.
            let requests = input.map(wire::put_append).take_while(|request| {
                if let Err(error) = request {
                    tracing::error!(error = %base::report(error), "an entry cannot be sent");
                }
                std::future::ready(request.is_ok())
            });
            let requests = requests.filter_map(|request| std::future::ready(request.ok()));
            let measures = &self.peers.measures;
            let (sent, received) = (measures.sent(self.target), measures.received(self.target));
            let requests = requests.inspect(move |request| {
                sent.inc_by(size(request));
            });
            // Without this the connection would go on reading requests after openraft has dropped the
            // responses, and they hold what its next stream needs.
            let (alive, dropped) = oneshot::channel::<()>();
            let requests = requests.take_until(dropped);
            let opened = client.stream_append(requests).await;
            let responses = opened.map_err(|status| self.failed(&status))?.into_inner();
            let this = &*self;
            let results = responses.map(move |response| {
                let _alive = &alive;
                let response = response.map_err(|status| this.failed(&status))?;
                received.inc_by(size(&response));
                let result = wire::get_append_result(response).map_err(bad_message)?;
                this.check(term.load(Ordering::Relaxed), &result)?;
                Ok(result)
            });
            Ok(Box::pin(results) as BoxStream<'_, _>)
        }
        .boxed()
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<VoteResponse<TypeConfig>> {
        let mut client = self.client()?;
        let response = self
            .unary(&option, client.vote(wire::put_vote_request(&rpc)))
            .await?;
        wire::get_vote_response(response).map_err(bad_message)
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<VoteResponse<TypeConfig>> {
        let mut client = self.client()?;
        let response = self
            .unary(&option, client.pre_vote(wire::put_vote_request(&rpc)))
            .await?;
        wire::get_vote_response(response).map_err(bad_message)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let SnapshotData::Lazy(jobs) = snapshot.snapshot else {
            return Err(
                NetworkError::from_string("a snapshot on its way in cannot be sent").into(),
            );
        };
        let send = async {
            let failed = |error: std::io::Error| {
                StreamingError::from(NetworkError::<TypeConfig>::new(&error))
            };
            let outgoing = Outgoing::make(&jobs, &self.staging).await.map_err(failed)?;
            tracing::info!(target_member = %format!("{:x}", self.target), last = ?outgoing.state.log_id, "sends a snapshot");
            self.send_snapshot(vote, outgoing)
                .await
                .map_err(StreamingError::from)
        };
        tokio::select! { biased;
            closed = cancel => Err(closed.into()),
            sent = tokio::time::timeout(option.hard_ttl(), send) => match sent {
                Ok(sent) => sent,
                Err(_) => Err(NetworkError::from_string("the snapshot took too long").into()),
            },
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<TransferLeaderResponse<TypeConfig>> {
        let mut client = self.client()?;
        let response = self
            .unary(&option, client.transfer_leader(wire::put_transfer(&req)))
            .await?;
        wire::get_transfer_response(&req, response).map_err(bad_message)
    }
}

impl Network {
    async fn send_snapshot(
        &self,
        vote: Vote,
        outgoing: Outgoing,
    ) -> Rpc<SnapshotResponse<TypeConfig>> {
        let AppliedState { log_id, membership } = outgoing.state.clone();
        let manifest = SnapshotManifest {
            vote: Some(wire::put_vote(&vote)),
            last: log_id.map(|log_id| super::peer_proto::LogId {
                term: log_id.term,
                index: log_id.index,
            }),
            membership: membership.unwrap_or_default(),
            files: outgoing.files.clone(),
        };
        let (tx, rx) = mpsc::channel(SNAPSHOT_AHEAD);
        let message = |message| SnapshotMessage {
            message: Some(message),
        };
        // The channel is empty, so this does not wait.
        let _ = tx.send(message(Message::Manifest(manifest))).await;
        // Ends when all is read, or when the receiver of the channel is gone. A file that cannot be
        // read ends the stream early, and the other side finds the snapshot incomplete.
        let bytes = self.peers.measures.sent(self.target);
        let reading = tokio::task::spawn_blocking(move || {
            outgoing.read_into(|data| {
                bytes.inc_by(data.len() as u64);
                tx.blocking_send(message(Message::Data(data))).is_ok()
            })
        });
        let mut client = self.client()?;
        let sent = client.install_snapshot(ReceiverStream::new(rx)).await;
        if let Ok(Err(error)) = reading.await {
            tracing::error!(error = %error, "cannot read a copy of the state");
        }
        let response = sent.map_err(|status| self.failed(&status))?.into_inner();
        Ok(SnapshotResponse::new(
            wire::get_vote(response.vote).map_err(bad_message)?,
        ))
    }
}

/// What a receiver tells openraft of a snapshot.
pub(super) fn manifest_meta(manifest: &SnapshotManifest) -> Result<SnapshotMeta, WireError> {
    let last_membership = match manifest.membership.is_empty() {
        true => StoredMembership::default(),
        false => codec::decode(&manifest.membership)?,
    };
    let last_log_id = wire::get_log_id(manifest.last)?;
    Ok(SnapshotMeta {
        last_log_id,
        last_membership,
    })
}
