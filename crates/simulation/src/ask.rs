//! The way of a request through the cluster, as a running member goes it: a write to the leader, which
//! proposes it, and back; a read waits until its member has applied what the leader confirms.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft_rt::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use proto_etcd::etcdserverpb::{InternalRaftRequest, RangeRequest, TxnRequest, TxnResponse};
use store::command::{self, Reply};
use store::consensus::{ProposeError, ReadError};

use crate::member::Node;
use crate::network::{Failure, Network};
use crate::world::World;

/// A client waits no longer for an answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why a client was not told that its request was done.
pub(crate) enum Refusal {
    /// It certainly has no effect.
    Fail(String),
    /// Nobody knows.
    Info(String),
}

/// A client with its endpoint: the member in that place.
pub(crate) struct Client<'w> {
    pub(crate) world: &'w Arc<World>,
    pub(crate) at: usize,
}

/// Where the leader is, for a member.
enum Way {
    Here,
    There(usize),
}

impl Client<'_> {
    fn node(&self) -> Result<Arc<Node>, Refusal> {
        let node = self.world.node(self.at);
        node.ok_or_else(|| Refusal::Fail("connection refused".to_owned()))
    }

    fn way(&self, node: &Node) -> Result<Way, Refusal> {
        let (_, leader) = node.running.leader();
        let place = self
            .world
            .members
            .iter()
            .position(|member| Some(member.id) == leader);
        match place {
            Some(place) if place == self.at => Ok(Way::Here),
            Some(place) => Ok(Way::There(place)),
            None => Err(Refusal::Fail("no leader".to_owned())),
        }
    }

    fn network(&self, node: &Node) -> Network {
        Network::new(self.world.clone(), self.at, node.mount.clone())
    }

    /// Proposes a command and waits until this member has applied it.
    pub(crate) async fn write(&self, request: &InternalRaftRequest) -> Result<Reply, Refusal> {
        let unknown = |text: &str| Refusal::Info(text.to_owned());
        match SimRuntime::timeout(PATIENCE, self.propose(command::encode(request))).await {
            Ok(Ok(reply)) => Reply::decode(reply).map_err(|error| Refusal::Info(error.to_string())),
            Ok(Err(refusal)) => Err(refusal),
            Err(_) => Err(unknown("timed out")),
        }
    }

    async fn propose(&self, command: Bytes) -> Result<Bytes, Refusal> {
        let node = self.node()?;
        let proposed = match self.way(&node)? {
            Way::Here => node.running.propose_here(command).await,
            Way::There(leader) => {
                let ask = move |node: Arc<Node>| async move {
                    Ok(node.running.propose_here(command).await)
                };
                match self.network(&node).call(leader, PATIENCE, ask).await {
                    Ok(proposed) => proposed,
                    Err(Failure::Lost) => return Err(Refusal::Info("no answer".to_owned())),
                    Err(Failure::Refused(text)) => return Err(Refusal::Info(text)),
                }
            }
        };
        let applied = proposed.map_err(|error| match error {
            ProposeError::NoLeader | ProposeError::Overloaded => Refusal::Fail(error.to_string()),
            ProposeError::Unknown(_) | ProposeError::Timeout | ProposeError::Stopped => {
                Refusal::Info(error.to_string())
            }
        })?;
        let waited = node.running.wait_applied(applied.index).await;
        match waited {
            Ok(()) if node.mount.is_alive() => Ok(applied.reply),
            Ok(()) | Err(_) => Err(Refusal::Info("the member ended".to_owned())),
        }
    }

    /// A linearizable read of several keys at one moment.
    pub(crate) async fn read(&self, txn: &TxnRequest) -> Result<TxnResponse, Refusal> {
        match SimRuntime::timeout(PATIENCE, self.read_now(txn)).await {
            Ok(read) => read,
            Err(_) => Err(Refusal::Fail("timed out".to_owned())),
        }
    }

    /// A linearizable read of one key.
    pub(crate) async fn range(
        &self,
        request: &RangeRequest,
    ) -> Result<proto_etcd::etcdserverpb::RangeResponse, Refusal> {
        let read = async {
            let node = self.ready().await?;
            let read = node.view.range(request);
            read.map_err(|error| Refusal::Fail(error.to_string()))
        };
        match SimRuntime::timeout(PATIENCE, read).await {
            Ok(read) => read,
            Err(_) => Err(Refusal::Fail("timed out".to_owned())),
        }
    }

    async fn read_now(&self, txn: &TxnRequest) -> Result<TxnResponse, Refusal> {
        let node = self.ready().await?;
        let read = node.view.txn(txn);
        read.map_err(|error| Refusal::Fail(error.to_string()))
    }

    /// The member, once it has applied everything acknowledged before the call.
    async fn ready(&self) -> Result<Arc<Node>, Refusal> {
        let refuse = |error: ReadError| Refusal::Fail(error.to_string());
        let node = self.node()?;
        if node.running.reads_at_once() {
            return Ok(node);
        }
        let index = match self.way(&node)? {
            Way::Here => node.running.read_round_here().await.map_err(refuse)?,
            Way::There(leader) => {
                let ask = move |node: Arc<Node>| async move {
                    let index = node.running.read_round_here().await;
                    index.map_err(|error| error.to_string())
                };
                let index = self.network(&node).call(leader, PATIENCE, ask).await;
                index.map_err(|_| Refusal::Fail("no answer".to_owned()))?
            }
        };
        node.running.wait_applied(index).await.map_err(refuse)?;
        match node.mount.is_alive() {
            true => Ok(node),
            false => Err(Refusal::Fail("the member ended".to_owned())),
        }
    }
}
