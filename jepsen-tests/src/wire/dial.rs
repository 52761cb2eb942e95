//! A connection to one member, made before anything is asked, so that a request which could not
//! even be sent is never recorded as asked.

use std::time::Duration;

use proto_etcd::etcdserverpb::kv_client::KvClient;
use proto_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use proto_etcd::etcdserverpb::{RangeRequest, StatusRequest};
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};

const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);
const PROBE_TIME_MAX: Duration = Duration::from_secs(2);

/// A client of one endpoint.
#[derive(Debug)]
pub(crate) struct Dial {
    url: String,
    channel: Option<Channel>,
    window_bytes: Option<u32>,
}

impl Dial {
    /// A client of the member at `url`.
    pub(crate) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            channel: None,
            window_bytes: None,
        }
    }

    /// One that takes little more than `bytes` of a stream that it does not read.
    pub(crate) fn narrow(url: &str, bytes: u32) -> Self {
        Self {
            window_bytes: Some(bytes),
            ..Self::new(url)
        }
    }

    /// The connection, made now if there is none; nothing if nobody answers.
    pub(crate) async fn channel(&mut self) -> Option<Channel> {
        if self.channel.is_none() {
            self.channel = connect(&self.url, self.window_bytes).await.ok();
        }
        self.channel.clone()
    }

    /// The next request needs a new connection: this one may be broken.
    pub(crate) fn hang_up(&mut self) {
        self.channel = None;
    }
}

/// A connection that is up.
async fn connect(url: &str, window_bytes: Option<u32>) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|error| error.to_string())?;
    let endpoint = endpoint
        .connect_timeout(CONNECT_TIME_MAX)
        .initial_stream_window_size(window_bytes)
        .initial_connection_window_size(window_bytes);
    match timeout(CONNECT_TIME_MAX, endpoint.connect()).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no connection in time".to_owned()),
    }
}

/// Whether a member answers a linearizable read; else why not.
pub(crate) async fn probe(url: &str) -> Result<(), String> {
    let channel = connect(url, None).await?;
    let request = RangeRequest {
        key: "jepsen-probe".into(),
        ..RangeRequest::default()
    };
    match timeout(PROBE_TIME_MAX, KvClient::new(channel).range(request)).await {
        Ok(Ok(_)) => Ok(()),
        // Whoever asks who we are is there.
        Ok(Err(status)) if status.message().contains("user name is empty") => Ok(()),
        Ok(Err(status)) => Err(status.to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

/// How far the log of the member at `url` is.
pub(crate) async fn log_index(url: &str) -> Option<u64> {
    let channel = connect(url, None).await.ok()?;
    let mut client = MaintenanceClient::new(channel);
    let asked = timeout(Duration::from_millis(500), client.status(StatusRequest {})).await;
    Some(asked.ok()?.ok()?.into_inner().raft_index)
}

/// The term of the member at `url`, and whether it takes itself for the leader.
pub(crate) async fn leads(url: &str) -> Option<(u64, bool)> {
    let channel = connect(url, None).await.ok()?;
    let mut client = MaintenanceClient::new(channel);
    let asked = timeout(Duration::from_millis(500), client.status(StatusRequest {})).await;
    let status = asked.ok()?.ok()?.into_inner();
    let member = status.header?.member_id;
    Some((status.raft_term, status.leader == member))
}
