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
}

impl Dial {
    /// A client of the member at `url`.
    pub(crate) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            channel: None,
        }
    }

    /// The connection, made now if there is none; nothing if nobody answers.
    pub(crate) async fn channel(&mut self) -> Option<Channel> {
        if self.channel.is_none() {
            self.channel = connect(&self.url).await.ok();
        }
        self.channel.clone()
    }

    /// The next request needs a new connection: this one may be broken.
    pub(crate) fn hang_up(&mut self) {
        self.channel = None;
    }
}

/// A connection that is up.
async fn connect(url: &str) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|error| error.to_string())?;
    let endpoint = endpoint.connect_timeout(CONNECT_TIME_MAX);
    match timeout(CONNECT_TIME_MAX, endpoint.connect()).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no connection in time".to_owned()),
    }
}

/// Whether a member answers a linearizable read; else why not.
pub(crate) async fn probe(url: &str) -> Result<(), String> {
    let channel = connect(url).await?;
    let request = RangeRequest {
        key: "jepsen-probe".into(),
        ..RangeRequest::default()
    };
    match timeout(PROBE_TIME_MAX, KvClient::new(channel).range(request)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(status)) => Err(status.to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

/// The term of the member at `url`, and whether it takes itself for the leader.
pub(crate) async fn leads(url: &str) -> Option<(u64, bool)> {
    let channel = connect(url).await.ok()?;
    let mut client = MaintenanceClient::new(channel);
    let asked = timeout(Duration::from_millis(500), client.status(StatusRequest {})).await;
    let status = asked.ok()?.ok()?.into_inner();
    let member = status.header?.member_id;
    Some((status.raft_term, status.leader == member))
}
