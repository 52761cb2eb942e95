//! openraft's calls from member to member. A call travels as one message and its answer as another;
//! either may be slow, held or lost.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RaftNetworkFactory, RaftNetworkV2};
use openraft_rt::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use store::consensus::Member;
use store::consensus::stepwise::{self, Snapshot, SnapshotData, StagedDir, Vote};
use tokio::sync::oneshot;

use crate::disk::Mount;
use crate::member::{Node, SimTypes};
use crate::world::World;

/// Calls of one member's process.
#[derive(Clone)]
pub(crate) struct Network {
    world: Arc<World>,
    from: usize,
    mount: Mount,
}

/// Calls to one member.
pub(crate) struct Link {
    network: Network,
    to: usize,
}

/// Why a call has no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was not delivered, or nobody knows.
    Lost,
    /// The other side says so.
    Refused(String),
}

impl Network {
    pub(crate) fn new(world: Arc<World>, from: usize, mount: Mount) -> Self {
        Self { world, from, mount }
    }

    /// Calls `ask` at the member in that place. What is still under way when `limit` has passed may yet
    /// arrive and be done.
    pub(crate) async fn call<T, Asked>(
        &self,
        to: usize,
        limit: Duration,
        ask: impl FnOnce(Arc<Node>) -> Asked + Send + 'static,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        Asked: Future<Output = Result<T, String>> + Send + 'static,
    {
        let (told, answer) = oneshot::channel();
        let this = self.clone();
        drop(SimRuntime::spawn(async move {
            if let Some(result) = this.carry(to, ask).await {
                // Who asked may have given up.
                let _ = told.send(result);
            }
        }));
        match SimRuntime::timeout(limit, answer).await {
            Ok(Ok(Ok(result))) => Ok(result),
            Ok(Ok(Err(text))) => Err(Failure::Refused(text)),
            Ok(Err(_)) | Err(_) => Err(Failure::Lost),
        }
    }

    async fn carry<T, Asked>(
        &self,
        to: usize,
        ask: impl FnOnce(Arc<Node>) -> Asked,
    ) -> Option<Result<T, String>>
    where
        Asked: Future<Output = Result<T, String>>,
    {
        let sent = self.mount.is_alive() && self.world.transit(self.from, to).await;
        // A member that is down refuses the connection, which is known at once.
        let node = sent.then(|| self.world.node(to)).flatten()?;
        let result = ask(node.clone()).await;
        let answered = node.mount.is_alive() && self.world.transit(to, self.from).await;
        (answered && self.mount.is_alive()).then_some(result)
    }
}

impl RaftNetworkFactory<SimTypes> for Network {
    type Network = Link;

    async fn new_client(&mut self, target: u64, _node: &Member) -> Link {
        Link {
            network: self.clone(),
            to: usize::try_from(target - 1).unwrap_or(usize::MAX),
        }
    }
}

type Rpc<T> = Result<T, RPCError<SimTypes>>;

impl Link {
    async fn call<T, Asked>(
        &self,
        option: &RPCOption,
        ask: impl FnOnce(Arc<Node>) -> Asked + Send + 'static,
    ) -> Rpc<T>
    where
        T: Send + 'static,
        Asked: Future<Output = Result<T, String>> + Send + 'static,
    {
        let called = self.network.call(self.to, option.hard_ttl(), ask).await;
        called.map_err(|failure| match failure {
            Failure::Lost => Unreachable::from_string("no answer").into(),
            Failure::Refused(text) => NetworkError::from_string(text).into(),
        })
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl RaftNetworkV2<SimTypes> for Link {
    type SnapshotData = SnapshotData<SimTypes>;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<SimTypes>,
        option: RPCOption,
    ) -> Rpc<AppendEntriesResponse<SimTypes>> {
        let ask = move |node: Arc<Node>| async move {
            node.running.raft().append_entries(rpc).await.map_err(text)
        };
        self.call(&option, ask).await
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<SimTypes>,
        option: RPCOption,
    ) -> Rpc<VoteResponse<SimTypes>> {
        let ask =
            move |node: Arc<Node>| async move { node.running.raft().vote(rpc).await.map_err(text) };
        self.call(&option, ask).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<SimTypes>,
        option: RPCOption,
    ) -> Rpc<VoteResponse<SimTypes>> {
        let ask = move |node: Arc<Node>| async move {
            node.running.raft().pre_vote(rpc).await.map_err(text)
        };
        self.call(&option, ask).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot<SimTypes>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<SimTypes>, StreamingError<SimTypes>> {
        let SnapshotData::Lazy(jobs) = snapshot.snapshot else {
            return Err(Unreachable::from_string("not a state of this member").into());
        };
        let (mount, number) = (self.network.mount.clone(), self.network.world.number());
        let out = PathBuf::from(format!("/staging/out-{number}"));
        let _out = StagedDir::adopt(Arc::new(mount.clone()), out.clone());
        let copied = jobs.checkpoint(out.clone()).await;
        let state = copied.map_err(|error| StreamingError::from(Unreachable::new(&error)))?;
        let ask = move |node: Arc<Node>| async move {
            let dir = PathBuf::from(format!("/staging/in-{number}"));
            node.mount.receive(&mount, &out, &dir).map_err(text)?;
            let staged = StagedDir::adopt(Arc::new(node.mount.clone()), dir);
            let snapshot = stepwise::staged_snapshot(&state, staged).map_err(text)?;
            let raft = node.running.raft();
            raft.install_full_snapshot(vote, snapshot)
                .await
                .map_err(text)
        };
        tokio::select! { biased;
            closed = cancel => Err(closed.into()),
            sent = self.call(&option, ask) => sent.map_err(StreamingError::from),
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<SimTypes>,
        option: RPCOption,
    ) -> Rpc<TransferLeaderResponse<SimTypes>> {
        let ask = move |node: Arc<Node>| async move {
            let raft = node.running.raft();
            raft.handle_transfer_leader(req).await.map_err(text)
        };
        self.call(&option, ask).await
    }
}
