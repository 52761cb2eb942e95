//! The service for other members. Refuses every call that names another cluster or another member;
//! otherwise only translates.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use openraft::raft::StreamAppendError;
use tokio::sync::oneshot;
use tonic::metadata::MetadataMap;
use tonic::service::interceptor::{InterceptedService, Interceptor};
use tonic::{Request, Response, Status, Streaming};

use super::network::{manifest_meta, size};
use super::node::{Leader, Node};
use super::peer_proto::{self as proto, peer_server, snapshot_message::Message};
use super::peers::{CLUSTER_HEADER, SOURCE_HEADER, TARGET_HEADER};
use super::removal::removed_status;
use super::snapshot::{Incoming, SnapshotData, StagedDir};
use super::traffic::Traffic;
use super::types::{Snapshot, SnapshotMeta, Vote};
use super::{ReadError, wire};
use crate::failpoint;

/// The service, with its door.
pub type PeerService = InterceptedService<peer_server::PeerServer<Handler>, Door>;

pub(super) fn service(node: Arc<Node>) -> PeerService {
    let door = Door { node: node.clone() };
    let bytes_max = message_bytes_max(node.config.max_request_bytes);
    let server = peer_server::PeerServer::new(Handler { node })
        .max_decoding_message_size(bytes_max)
        .max_encoding_message_size(bytes_max);
    InterceptedService::new(server, door)
}

/// The largest message between members: one step of entries, of which the last may be the largest command.
pub(super) fn message_bytes_max(request_bytes_max: usize) -> usize {
    request_bytes_max.saturating_mul(2).saturating_add(4 << 20)
}

/// Lets in only what is meant for this member.
#[derive(Clone)]
pub struct Door {
    node: Arc<Node>,
}

impl Interceptor for Door {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let named = |header| named(request.metadata(), header);
        let config = &self.node.config;
        let cluster = named(CLUSTER_HEADER);
        // Members of a cluster that this one has been forced out of belong to it no more.
        let is_left_behind = cluster.is_some_and(|id| config.former_cluster_ids.contains(&id));
        if cluster != Some(config.cluster_id) && !is_left_behind {
            return Err(Status::failed_precondition("cluster ID mismatch"));
        }
        if named(TARGET_HEADER) != Some(config.member_id) {
            return Err(Status::failed_precondition("member ID mismatch"));
        }
        if is_left_behind || named(SOURCE_HEADER).is_some_and(|id| self.node.is_removed(id)) {
            return Err(removed_status());
        }
        Ok(request)
    }
}

fn named(metadata: &MetadataMap, header: &str) -> Option<u64> {
    metadata.get(header)?.to_str().ok()?.parse().ok()
}

/// Answers calls that the door let in.
#[derive(Clone)]
pub struct Handler {
    node: Arc<Node>,
}

type Answer<T> = Result<Response<T>, Status>;

/// openraft has ended, or is about to.
fn ended(error: impl std::fmt::Display) -> Status {
    Status::unavailable(error.to_string())
}

fn deadline(timeout_ms: u64) -> Instant {
    // A peer's number; no call waits longer than this.
    Instant::now() + Duration::from_millis(timeout_ms.min(60_000))
}

#[tonic::async_trait]
impl peer_server::Peer for Handler {
    async fn append(
        &self,
        request: Request<proto::AppendRequest>,
    ) -> Answer<proto::AppendResponse> {
        let traffic = self.traffic(&request);
        let request = request.into_inner();
        traffic.came(size(&request));
        let request = Box::pin(futures::stream::iter([wire::get_append(request)?]));
        let mut results = Box::pin(self.node.raft.stream_append(request));
        let result = results
            .next()
            .await
            .ok_or_else(|| ended("openraft gave no answer"))?
            .map_err(ended)?;
        match &result {
            Ok(_) => self.node.contact.mark(),
            Err(StreamAppendError::Conflict(denied)) => self.node.raise_lost(*denied),
            Err(StreamAppendError::HigherVote(_)) => {}
        }
        failpoint::pause("raftBeforeFollowerSend").await;
        let response = wire::put_append_result(result);
        traffic.went(size(&response));
        Ok(Response::new(response))
    }

    type StreamAppendStream =
        Pin<Box<dyn Stream<Item = Result<proto::AppendResponse, Status>> + Send>>;

    async fn stream_append(
        &self,
        request: Request<Streaming<proto::AppendRequest>>,
    ) -> Answer<Self::StreamAppendStream> {
        let answers = self.traffic(&request);
        let traffic = answers.clone();
        // A message that cannot be read ends the stream; the leader starts a new one.
        let requests = request.into_inner().map(move |request| match request {
            Ok(request) => {
                traffic.came(size(&request));
                wire::get_append(request).map_err(Status::from)
            }
            Err(status) => {
                traffic.broke();
                Err(status)
            }
        });
        let requests = requests.take_while(|request| {
            if let Err(status) = request {
                tracing::debug!(status = %status, "an append stream ends");
            }
            std::future::ready(request.is_ok())
        });
        let requests = requests.filter_map(|request| std::future::ready(request.ok()));
        // openraft reads requests in a task of its own. It must not outlive the responses, or the connection
        // would stay open for it.
        let (alive, dropped) = oneshot::channel::<()>();
        let requests = requests
            .take_until(dropped)
            .take_until(self.node.stop.clone().cancelled_owned());
        let results = self.node.raft.stream_append(requests);
        let node = self.node.clone();
        let stop = self.node.stop.clone();
        let results = failpoint::each("raftBeforeFollowerSend", results);
        let responses = results.map(move |result| {
            let _alive = &alive;
            let result = result.map_err(ended)?;
            if result.is_ok() {
                node.contact.mark();
            }
            let response = wire::put_append_result(result);
            answers.went(size(&response));
            Ok(response)
        });
        Ok(Response::new(Box::pin(
            responses.take_until(stop.cancelled_owned()),
        )))
    }

    async fn vote(&self, request: Request<proto::VoteRequest>) -> Answer<proto::VoteResponse> {
        let request = wire::get_vote_request(request.into_inner())?;
        let response = self.node.raft.vote(request).await.map_err(ended)?;
        Ok(Response::new(wire::put_vote_response(response)))
    }

    async fn pre_vote(&self, request: Request<proto::VoteRequest>) -> Answer<proto::VoteResponse> {
        let request = wire::get_vote_request(request.into_inner())?;
        let response = self.node.raft.pre_vote(request).await.map_err(ended)?;
        Ok(Response::new(wire::put_vote_response(response)))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<proto::SnapshotMessage>>,
    ) -> Answer<proto::SnapshotResponse> {
        let traffic = self.traffic(&request);
        let (vote, meta, staged) = self.receive(request.into_inner(), &traffic).await?;
        tracing::info!(last = ?meta.last_log_id, "received a snapshot");
        let snapshot = Snapshot {
            meta,
            snapshot: SnapshotData::Staged(staged),
        };
        let response = self
            .node
            .raft
            .install_full_snapshot(vote, snapshot)
            .await
            .map_err(ended)?;
        Ok(Response::new(proto::SnapshotResponse {
            vote: Some(wire::put_vote(&response.vote)),
        }))
    }

    async fn transfer_leader(
        &self,
        request: Request<proto::TransferLeaderRequest>,
    ) -> Answer<proto::TransferLeaderResponse> {
        let request = wire::get_transfer(request.into_inner())?;
        let response = self
            .node
            .raft
            .handle_transfer_leader(request)
            .await
            .map_err(ended)?;
        Ok(Response::new(wire::put_transfer_response(response)))
    }

    async fn greet(&self, _request: Request<proto::GreetRequest>) -> Answer<proto::GreetResponse> {
        let leader = match self.node.leader() {
            Leader::This => self.node.config.member_id,
            Leader::Other(id) => id,
            Leader::Unknown => 0,
        };
        Ok(Response::new(proto::GreetResponse { leader }))
    }

    async fn elect(&self, _request: Request<proto::ElectRequest>) -> Answer<proto::ElectResponse> {
        self.node.raft.trigger().elect(false).await.map_err(ended)?;
        Ok(Response::new(proto::ElectResponse {}))
    }

    async fn propose(
        &self,
        request: Request<proto::ProposeRequest>,
    ) -> Answer<proto::ProposeResponse> {
        let proto::ProposeRequest {
            command,
            timeout_ms,
        } = request.into_inner();
        let result = self.node.propose_here(command, deadline(timeout_ms)).await;
        Ok(Response::new(wire::put_proposed(result)))
    }

    async fn read_index(
        &self,
        request: Request<proto::ReadIndexRequest>,
    ) -> Answer<proto::ReadIndexResponse> {
        let deadline = deadline(request.into_inner().timeout_ms);
        let round = tokio::time::timeout_at(deadline.into(), self.node.read_round_here()).await;
        let index = round.ok().and_then(Result::ok).unwrap_or(0);
        Ok(Response::new(proto::ReadIndexResponse { index }))
    }

    async fn call_leader(
        &self,
        request: Request<proto::CallLeaderRequest>,
    ) -> Answer<proto::CallLeaderResponse> {
        match self
            .node
            .answer_as_leader(request.into_inner().request)
            .await
        {
            Ok(reply) => Ok(Response::new(proto::CallLeaderResponse {
                answered: true,
                reply,
            })),
            Err(ReadError::NoLeader | ReadError::Stopped | ReadError::Timeout) => {
                Ok(Response::new(proto::CallLeaderResponse::default()))
            }
        }
    }

    async fn call_member(
        &self,
        request: Request<proto::CallMemberRequest>,
    ) -> Answer<proto::CallMemberResponse> {
        let request = request.into_inner().request;
        let reply = match self.node.member_calls.get() {
            Some(calls) => calls.call(request).await,
            None => None,
        };
        Ok(Response::new(proto::CallMemberResponse {
            answered: reply.is_some(),
            reply: reply.unwrap_or_default(),
        }))
    }

    async fn change_membership(
        &self,
        request: Request<proto::ChangeMembershipRequest>,
    ) -> Answer<proto::ChangeMembershipResponse> {
        let request = request.into_inner();
        let deadline = deadline(request.timeout_ms);
        let change = wire::get_change(request)?;
        let result = self.node.change_here(&change, deadline).await;
        Ok(Response::new(wire::put_changed(result)))
    }

    async fn move_leader(
        &self,
        request: Request<proto::MoveLeaderRequest>,
    ) -> Answer<proto::MoveLeaderResponse> {
        use proto::move_leader_response::Result as Kind;
        let proto::MoveLeaderRequest { to, timeout_ms } = request.into_inner();
        let result = match self.node.leader() {
            Leader::This => match self.node.transfer_here(to, deadline(timeout_ms)).await {
                Ok(()) => Kind::Moved,
                Err(ReadError::NoLeader) => Kind::NotLeader,
                Err(ReadError::Stopped) => Kind::Stopped,
                Err(ReadError::Timeout) => Kind::TimedOut,
            },
            Leader::Other(_) | Leader::Unknown => Kind::NotLeader,
        };
        Ok(Response::new(proto::MoveLeaderResponse {
            result: result.into(),
        }))
    }
}

impl Handler {
    fn traffic<T>(&self, request: &Request<T>) -> Traffic {
        let named = named(request.metadata(), SOURCE_HEADER);
        let status = self.node.status.borrow();
        let member = named.filter(|member| status.members.contains_key(member));
        Traffic::of(&self.node.peers.measures, member)
    }

    /// Takes a whole transfer into a folder of its own. Whatever goes wrong, the folder goes with it.
    async fn receive(
        &self,
        mut messages: Streaming<proto::SnapshotMessage>,
        traffic: &Traffic,
    ) -> Result<(Vote, SnapshotMeta, StagedDir), Status> {
        let Some(Message::Manifest(mut manifest)) =
            messages.message().await?.and_then(|first| first.message)
        else {
            return Err(Status::invalid_argument(
                "a snapshot starts with its manifest",
            ));
        };
        let vote = wire::get_vote(manifest.vote)?;
        let files = std::mem::take(&mut manifest.files);
        let meta = manifest_meta(&manifest)?;
        let mut incoming =
            Incoming::new(&self.node.config.staging_dir, files).map_err(bad_snapshot)?;
        while let Some(message) = messages.message().await? {
            let Some(Message::Data(data)) = message.message else {
                return Err(Status::invalid_argument("a snapshot has one manifest"));
            };
            traffic.came(data.len() as u64);
            let write = move || incoming.write(&data).map(|()| incoming);
            incoming = blocking(write).await?;
        }
        let staged = blocking(move || incoming.finish()).await?;
        Ok((vote, meta, staged))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Status> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(bad_snapshot),
        Err(error) => Err(Status::internal(error.to_string())),
    }
}

fn bad_snapshot(error: std::io::Error) -> Status {
    match error.kind() {
        std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof => {
            Status::data_loss(error.to_string())
        }
        _ => Status::internal(error.to_string()),
    }
}
