//! The connection to the store's members: one channel each, one of them in use at a time.
//!
//! A call that fails in a way that another member may do better goes on to the next one. A write
//! whose outcome is unknown is never sent again from here: see [`super::commit`].

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base::backoff::Backoff;
use proto_etcd::etcdserverpb::{
    CompactionRequest, LeaseGrantRequest, LeaseRevokeRequest, RangeRequest, RangeResponse,
    StatusRequest, TxnRequest, TxnResponse, kv_client::KvClient, lease_client::LeaseClient,
    maintenance_client::MaintenanceClient,
};
use tokio::time::{Instant, timeout, timeout_at};
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::error::{Error, Verdict, classify};

/// One try at one member. A stopped process answers nothing, so this bounds a failover.
const TRY_MAX: Duration = Duration::from_secs(5);
/// The same for a write: it is small, and its caller looks at what became of it before it goes on.
const WRITE_TRY_MAX: Duration = Duration::from_secs(3);
/// All tries of one call together; below the deadline of a request so that it can still answer.
const CALL_MAX: Duration = Duration::from_secs(20);
/// A page of objects or the events of a catch-up exceed the usual 4 MiB by far.
pub(super) const DECODE_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Where the store is and who we are to it.
#[derive(Clone, Debug, Default)]
pub struct EtcdConfig {
    /// `scheme://host:port` each; a missing scheme means http.
    pub endpoints: Vec<String>,
    /// PEM file of the authority of the members' certificates.
    pub ca_file: Option<PathBuf>,
    /// PEM file of our certificate.
    pub cert_file: Option<PathBuf>,
    /// PEM file of its key.
    pub key_file: Option<PathBuf>,
}

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file could not be read.
    #[error("read {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// An endpoint is not an address, or its TLS settings do not fit.
    #[error("etcd endpoint {endpoint:?} cannot be used")]
    Endpoint {
        /// Which.
        endpoint: String,
        /// Why.
        #[source]
        source: tonic::transport::Error,
    },
    /// There is none.
    #[error("--etcd-servers must be specified")]
    NoEndpoints,
    /// A certificate without its key, or the reverse.
    #[error("--etcd-certfile and --etcd-keyfile must be given together")]
    HalfIdentity,
}

/// A cheap handle on the store.
#[derive(Clone, Debug)]
pub struct Etcd {
    members: Arc<[Member]>,
    current: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Member {
    name: String,
    channel: Channel,
}

impl Etcd {
    /// Makes the channels; connections are opened by the first calls.
    pub fn new(config: &EtcdConfig) -> Result<Self, ConfigError> {
        if config.endpoints.is_empty() {
            return Err(ConfigError::NoEndpoints);
        }
        let tls = client_tls(config)?;
        let members = config
            .endpoints
            .iter()
            .map(|name| {
                let fail = |source| ConfigError::Endpoint {
                    endpoint: name.clone(),
                    source,
                };
                Ok(Member {
                    name: name.clone(),
                    channel: channel(name, tls.as_ref()).map_err(fail)?,
                })
            })
            .collect::<Result<Vec<_>, ConfigError>>()?;
        Ok(Self {
            members: members.into(),
            current: Arc::new(AtomicUsize::new(0)),
        })
    }

    /// How many members are known.
    pub fn members(&self) -> usize {
        self.members.len()
    }

    /// The member in use: its place, its name, its channel.
    pub(super) fn member(&self) -> (usize, &str, Channel) {
        let place = self.current.load(Ordering::Relaxed) % self.members.len();
        let member = &self.members[place];
        (place, &member.name, member.channel.clone())
    }

    /// Goes on to the next member, unless another call has already left `place`.
    pub(super) fn leave(&self, place: usize) {
        let next = (place + 1) % self.members.len();
        if self
            .current
            .compare_exchange(place, next, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
            && next != place
        {
            tracing::warn!(from = %self.members[place].name, to = %self.members[next].name, "changed the store's member");
        }
    }

    /// A read; sent again elsewhere until the call's time is over.
    pub async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Error> {
        self.repeat(|channel| {
            let request = request.clone();
            async move {
                let mut client = KvClient::new(channel).max_decoding_message_size(DECODE_BYTES_MAX);
                client.range(with_leader(request)).await
            }
        })
        .await
    }

    /// One transaction. [`Error::Unknown`] means that it may have been carried out.
    pub(super) async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, Error> {
        let deadline = Instant::now() + CALL_MAX;
        let mut backoff = retry_backoff();
        loop {
            let (place, _, channel) = self.member();
            let mut client = KvClient::new(channel).max_decoding_message_size(DECODE_BYTES_MAX);
            match timeout(WRITE_TRY_MAX, client.txn(with_leader(request.clone()))).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) => match classify(status) {
                    Verdict::Final(error) => return Err(error),
                    Verdict::NotSent(status) => {
                        self.leave(place);
                        if Instant::now() >= deadline {
                            return Err(Error::Unavailable(Some(Box::new(status))));
                        }
                    }
                    Verdict::Ambiguous(status) => {
                        tracing::debug!(%status, "a write's outcome is unknown");
                        self.leave(place);
                        return Err(Error::Unknown);
                    }
                },
                Err(_) => {
                    self.leave(place);
                    return Err(Error::Unknown);
                }
            }
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }

    /// A lease of `ttl` seconds. Repeating it leaves at worst an unused lease that expires.
    pub async fn grant_lease(&self, ttl: i64) -> Result<i64, Error> {
        let answer = self
            .repeat(|channel| async move {
                let request = LeaseGrantRequest { ttl, id: 0 };
                LeaseClient::new(channel)
                    .lease_grant(with_leader(request))
                    .await
            })
            .await?;
        Ok(answer.id)
    }

    /// Ends a lease with its keys.
    pub async fn revoke_lease(&self, id: i64) -> Result<(), Error> {
        self.repeat(|channel| async move {
            LeaseClient::new(channel)
                .lease_revoke(with_leader(LeaseRevokeRequest { id }))
                .await
        })
        .await?;
        Ok(())
    }

    /// Forgets what is older than `revision`.
    pub async fn compact(&self, revision: i64) -> Result<(), Error> {
        self.repeat(|channel| async move {
            let request = CompactionRequest {
                revision,
                physical: false,
            };
            KvClient::new(channel).compact(with_leader(request)).await
        })
        .await?;
        Ok(())
    }

    /// Asks the member in use whether it is there; its version is the answer.
    pub async fn status(&self) -> Result<String, Error> {
        let answer = self
            .repeat(|channel| async move {
                MaintenanceClient::new(channel)
                    .status(StatusRequest {})
                    .await
            })
            .await?;
        Ok(answer.version)
    }

    async fn repeat<T, C, F>(&self, call: C) -> Result<T, Error>
    where
        C: Fn(Channel) -> F,
        F: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    {
        let deadline = Instant::now() + CALL_MAX;
        let mut backoff = retry_backoff();
        // A member that only takes too long gives no reason; the last that was given is kept.
        let mut reason = None;
        loop {
            let (place, _, channel) = self.member();
            let end = deadline.min(Instant::now() + TRY_MAX);
            match timeout_at(end, call(channel)).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) => match classify(status) {
                    Verdict::Final(error) => return Err(error),
                    Verdict::NotSent(status) | Verdict::Ambiguous(status) => {
                        reason = Some(Box::new(status));
                    }
                },
                Err(_) => {}
            }
            self.leave(place);
            if Instant::now() >= deadline {
                return Err(Error::Unavailable(reason));
            }
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }
}

/// Marks a request so that a member without a leader refuses it instead of letting it wait.
pub(super) fn with_leader<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request
        .metadata_mut()
        .insert("hasleader", MetadataValue::from_static("true"));
    request
}

fn retry_backoff() -> Backoff {
    Backoff::new(Duration::from_millis(20), Duration::from_millis(500))
}

fn client_tls(config: &EtcdConfig) -> Result<Option<ClientTlsConfig>, ConfigError> {
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|source| ConfigError::File {
            path: path.clone(),
            source,
        })
    };
    let mut tls = ClientTlsConfig::new();
    if let Some(ca) = &config.ca_file {
        tls = tls.ca_certificate(Certificate::from_pem(read(ca)?));
    }
    match (&config.cert_file, &config.key_file) {
        (Some(cert), Some(key)) => tls = tls.identity(Identity::from_pem(read(cert)?, read(key)?)),
        (None, None) => {}
        _ => return Err(ConfigError::HalfIdentity),
    }
    let wanted = config.ca_file.is_some()
        || config
            .endpoints
            .iter()
            .any(|endpoint| endpoint.starts_with("https://"));
    Ok(wanted.then_some(tls))
}

fn channel(name: &str, tls: Option<&ClientTlsConfig>) -> Result<Channel, tonic::transport::Error> {
    let address = if name.contains("://") {
        name.to_owned()
    } else {
        format!("http://{name}")
    };
    let secure = address.starts_with("https://");
    let mut endpoint = Endpoint::from_shared(address)?
        .connect_timeout(Duration::from_secs(2))
        .tcp_nodelay(true)
        // A member that vanished without a word is noticed after the sum of the two, while a call waits for
        // it. etcd cuts off clients that ping without one.
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        // Lists and watches move megabytes: the default window would make them wait for the wire.
        .initial_stream_window_size(4 * 1024 * 1024)
        .initial_connection_window_size(16 * 1024 * 1024);
    if let Some(tls) = tls.filter(|_| secure) {
        endpoint = endpoint.tls_config(tls.clone())?;
    }
    Ok(endpoint.connect_lazy())
}
