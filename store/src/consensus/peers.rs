//! Connections to other members. Each lane has one of its own, so that no heartbeat waits behind an
//! append or a snapshot. They are made when first needed and again after they broke. Every call names
//! the cluster and the member it means; the other side refuses what is not for it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::peer_proto::peer_client;
use super::peer_server::message_bytes_max;
use super::removal::says_removed;
use super::types::RaftLogId;
use super::{ConsensusConfig, PeerTls};
use crate::metrics::PeerMeasures;

/// Names the cluster that a call is for.
pub(super) const CLUSTER_HEADER: &str = "x-keelson-cluster";
/// Names the member that a call is for.
pub(super) const TARGET_HEADER: &str = "x-keelson-target";
/// Names the member that calls.
pub(super) const SOURCE_HEADER: &str = "x-keelson-source";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(4);
const WINDOW_BYTES: u32 = 8 << 20;

/// Which connection a call uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    Append,
    Heartbeat,
    Snapshot,
    /// Calls for clients.
    Forward,
}

/// A client of one member on one connection.
pub(super) type PeerClient = peer_client::PeerClient<InterceptedService<Channel, Address>>;

/// Puts the cluster and the two members on every call.
#[derive(Clone, Debug)]
pub(super) struct Address {
    cluster: MetadataValue<Ascii>,
    target: MetadataValue<Ascii>,
    source: MetadataValue<Ascii>,
}

impl Interceptor for Address {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        metadata.insert(CLUSTER_HEADER, self.cluster.clone());
        metadata.insert(TARGET_HEADER, self.target.clone());
        metadata.insert(SOURCE_HEADER, self.source.clone());
        Ok(request)
    }
}

/// Why no call can be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("member {0:x} has no peer URL")]
    NoUrl(u64),
    #[error("peer URL {url} cannot be used")]
    BadUrl {
        url: String,
        #[source]
        source: tonic::transport::Error,
    },
    #[error("peer URL {0} needs certificates, and none are configured")]
    NoTls(String),
}

struct Connection {
    urls: Vec<String>,
    next: usize,
    client: PeerClient,
}

/// All connections of this member. Bounded by the number of members times the lanes.
pub(super) struct Peers {
    cluster: u64,
    this: u64,
    tls: Option<PeerTls>,
    message_bytes_max: usize,
    connections: Mutex<HashMap<(u64, Lane), Connection>>,
    /// What each member has said to have of this leader's log: the term and the last index.
    matched: Mutex<HashMap<u64, (u64, u64)>>,
    /// Members that this leader's last heartbeat did not reach, until one does.
    unreached: Mutex<HashSet<u64>>,
    /// Cancelled when a member says that this one was removed.
    removed: CancellationToken,
    pub(super) measures: PeerMeasures,
}

impl Peers {
    pub(super) fn new(config: &ConsensusConfig, removed: CancellationToken) -> Self {
        Self {
            cluster: config.cluster_id,
            this: config.member_id,
            tls: config.peer_tls.clone(),
            message_bytes_max: message_bytes_max(config.max_request_bytes),
            connections: Mutex::default(),
            matched: Mutex::default(),
            unreached: Mutex::default(),
            removed,
            measures: config.measures.peers.clone(),
        }
    }

    /// Looks at a call's failure for the one word that ends this member, as it ends one of etcd.
    pub(super) fn heed(&self, status: &Status) {
        if says_removed(status) {
            self.removed.cancel();
        }
    }

    /// A client of `target`. It connects when it is used.
    pub(super) fn client(
        &self,
        target: u64,
        urls: &[String],
        lane: Lane,
    ) -> Result<PeerClient, ConnectError> {
        let mut connections = self.connections.lock();
        if let Some(connection) = connections
            .get(&(target, lane))
            .filter(|connection| connection.urls == urls)
        {
            return Ok(connection.client.clone());
        }
        let client = self.connect(target, urls, 0)?;
        let connection = Connection {
            urls: urls.to_vec(),
            next: 1,
            client: client.clone(),
        };
        connections.insert((target, lane), connection);
        Ok(client)
    }

    /// Drops the connections to members that have left.
    pub(super) fn retain(&self, is_member: impl Fn(u64) -> bool) {
        self.matched.lock().retain(|target, _| is_member(*target));
        self.unreached.lock().retain(|target| is_member(*target));
        self.connections
            .lock()
            .retain(|(target, _), _| is_member(*target));
    }

    /// Notes whether a heartbeat has reached `target`. One that is merely late says nothing.
    pub(super) fn note_reached(&self, target: u64, is_reached: bool) {
        let mut unreached = self.unreached.lock();
        match is_reached {
            true => unreached.remove(&target),
            false => unreached.insert(target),
        };
    }

    /// False where nothing takes the heartbeats of this leader: long before a member has been silent for
    /// long, its process may be gone.
    pub(super) fn is_reached(&self, target: u64) -> bool {
        !self.unreached.lock().contains(&target)
    }

    /// Notes what `target` has said to have.
    pub(super) fn note_matched(&self, target: u64, term: u64, log_id: Option<RaftLogId>) {
        let Some(log_id) = log_id else { return };
        let mut matched = self.matched.lock();
        let known = matched.entry(target).or_default();
        *known = (*known).max((term, log_id.index));
    }

    /// True if `target` denies an entry that it has acknowledged in `term`.
    pub(super) fn has_lost(&self, target: u64, term: u64, denied: RaftLogId) -> bool {
        let matched = self.matched.lock();
        matched
            .get(&target)
            .is_some_and(|(of, index)| *of == term && denied.index <= *index)
    }

    /// After a call that did not get through: the next call uses the member's next URL, if it has several.
    pub(super) fn rotate(&self, target: u64, lane: Lane) {
        let mut connections = self.connections.lock();
        if let Some(connection) = connections
            .get_mut(&(target, lane))
            .filter(|connection| connection.urls.len() > 1)
            && let Ok(client) = self.connect(target, &connection.urls, connection.next)
        {
            connection.client = client;
            connection.next += 1;
        }
    }

    fn connect(
        &self,
        target: u64,
        urls: &[String],
        nth: usize,
    ) -> Result<PeerClient, ConnectError> {
        let url = urls
            .get(nth % urls.len().max(1))
            .ok_or(ConnectError::NoUrl(target))?;
        let bad = |source| ConnectError::BadUrl {
            url: url.clone(),
            source,
        };
        // The connector speaks TLS below the transport, which must not do so again.
        let secure = url
            .strip_prefix("https:")
            .map(|rest| format!("http:{rest}"));
        let endpoint = Endpoint::from_shared(secure.clone().unwrap_or_else(|| url.clone()))
            .map_err(bad)?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .tcp_nodelay(true);
        let channel = match (secure, &self.tls) {
            (None, _) => endpoint.connect_lazy(),
            (Some(_), Some(tls)) => endpoint.connect_with_connector_lazy(tls.connector.clone()),
            (Some(_), None) => return Err(ConnectError::NoTls(url.clone())),
        };
        let address = Address {
            cluster: self.cluster.into(),
            target: target.into(),
            source: self.this.into(),
        };
        let service = InterceptedService::new(channel, address);
        Ok(peer_client::PeerClient::new(service)
            .max_decoding_message_size(self.message_bytes_max)
            .max_encoding_message_size(self.message_bytes_max))
    }
}
