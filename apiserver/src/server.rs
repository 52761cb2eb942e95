//! The server as one part: built from its settings, run until it is stopped.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use api_meta::kinds::Kinds;
use base::Tasks;
use tokio_util::sync::CancellationToken;

use crate::admission;
use crate::authn::keys::{PublicKey, SigningKey};
use crate::authn::{self, Authenticator, AuthnConfig, ClientCa};
use crate::authz::{self, escalation::Guard};
use crate::bootstrap::{self, Bootstrap};
use crate::cache::ingest::{Ingest, Part};
use crate::cache::{Cache, ObjectReader};
use crate::config::Config;
use crate::flowcontrol::InFlight;
use crate::http::health::Health;
use crate::http::kubelet::KubeletClient;
use crate::http::listen::Listener;
use crate::http::stack::{Settings, Stack};
use crate::http::tls;
use crate::metrics::Metrics;
use crate::registry::service::{CacheReader, Parts};
use crate::registry::{Registry, ServiceSettings};
use crate::reviews::{self, Reviews};
use crate::storage::etcd::ConfigError;
use crate::storage::{Etcd, compaction};

/// How long the cluster's own objects may take to forget this replica, its farewell included.
const LEAVE_MAX: Duration = Duration::from_secs(7);
/// How long requests under way may take to end.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// How long the other parts may take to end after that.
const END_MAX: Duration = Duration::from_secs(5);

/// Why a server could not be built. None of it goes away by trying again.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The store's addresses or certificates.
    #[error("etcd client")]
    Etcd(#[from] ConfigError),
    /// The server's or the kubelet client's certificates.
    #[error("TLS")]
    Tls(#[from] tls::Error),
    /// The authority of client certificates.
    #[error("client CA")]
    ClientCa(#[from] authn::x509::Error),
    /// The keys of service account tokens.
    #[error("service account keys")]
    Keys(#[from] authn::keys::Error),
    /// The admission plugins.
    #[error("admission plugins")]
    Admission(#[from] admission::UnknownPlugin),
    /// The port.
    #[error("failed to create listener: failed to listen on {address}")]
    Listen {
        /// Which one.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A built server, listening but not serving yet.
pub struct Server {
    etcd: Etcd,
    stack: Arc<Stack>,
    listener: Listener,
    address: SocketAddr,
    bootstrap: Bootstrap,
    kubelet_tasks: Tasks,
    stop_serving: CancellationToken,
    config: Config,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Opens the port and reads every file. Does not wait for the store.
    pub async fn build(config: Config) -> Result<Self, BuildError> {
        let etcd = Etcd::new(&config.etcd)?;
        let client_ca = config
            .client_ca_file
            .as_deref()
            .map(ClientCa::from_file)
            .transpose()?;
        let server_tls = tls::server_config(
            &config.tls_cert_file,
            &config.tls_key_file,
            client_ca.as_ref(),
        )?;
        let address = SocketAddr::new(config.bind_address, config.secure_port);
        let listen = |source| BuildError::Listen { address, source };
        let listener = Listener::bind(address, server_tls).await.map_err(listen)?;
        let address = listener.address().map_err(listen)?;

        let access = Access::new(&config, &etcd, client_ca.clone())?;
        let registry = access.registry(&config, &etcd)?;
        let advertised = SocketAddr::new(advertised_ip(&config), address.port());
        let bootstrap = Bootstrap::new(
            bootstrap::Config {
                client_ca: client_ca.as_ref().map(|ca| ca.pem().to_owned()),
                service_cidrs: config.service_cidrs.clone(),
                advertise: (advertised.ip(), advertised.port()),
                hostname: hostname(),
            },
            registry.clone(),
            access.reader.clone(),
        );
        let stop_serving = CancellationToken::new();
        let kubelet_tasks = Tasks::new("kubelet streams");
        let stack = Arc::new(Stack {
            registry,
            reviews: access.reviews(),
            authenticator: access.authenticator,
            authorizer: access.authorizer,
            flow: InFlight::new(config.requests_in_flight_max, config.mutating_in_flight_max),
            health: Arc::new(Health::new(etcd.clone(), bootstrap.progress())),
            metrics: Metrics::default(),
            kubelets: KubeletClient::new(&config.kubelet, kubelet_tasks.clone())?,
            stop: stop_serving.clone(),
            settings: Settings {
                request_timeout: config.request_timeout,
                watch_timeout_min: config.watch_timeout_min,
                external_address: advertised,
            },
        });
        Ok(Self {
            etcd,
            stack,
            listener,
            address,
            bootstrap,
            kubelet_tasks,
            stop_serving,
            config,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`, then ends in order: not ready and no longer published, no new
    /// connections, watches end with a bookmark, requests finish, the rest stops.
    pub async fn run(self, stop: CancellationToken) {
        let Self {
            etcd,
            stack,
            listener,
            bootstrap,
            kubelet_tasks,
            stop_serving,
            config,
            ..
        } = self;
        let parts = Tasks::new("apiserver");
        let cache = stack.registry.cache().clone();
        for part in [Part::Main, Part::Events] {
            let ingest = Ingest::new(etcd.clone(), cache.clone(), part);
            parts.spawn_infallible("ingest", ingest.run(parts.stop().clone()));
        }
        if !config.compaction_interval.is_zero() {
            let run = compaction::run(etcd, config.compaction_interval, parts.stop().clone());
            parts.spawn_infallible("compaction", run);
        }
        // Apart from the other parts, since it ends first.
        let published = Tasks::new("bootstrap");
        let leave = published.stop().clone();
        published.spawn_infallible("bootstrap", async move {
            if leave.run_until_cancelled(cache.wait_live()).await.is_some() {
                bootstrap.run(leave).await;
            }
        });
        let connections = Tasks::new("connections");
        let listening = listener.run(stack.clone(), connections.clone(), stop_serving.clone());
        connections.spawn_infallible("listener", listening);
        tracing::info!(address = %self.address, "serving");

        tokio::select! {
            () = stop.cancelled() => {}
            // A part that the server cannot do without has failed.
            () = parts.stop().cancelled() => {}
            () = published.stop().cancelled() => {}
        }
        stack.health.begin_shutdown();
        tracing::info!("shutting down");
        // Nobody may be sent here any more once connections are refused, so the farewell comes
        // first; the delay is for those who have not heard of it yet.
        tokio::join!(
            published.shutdown(LEAVE_MAX),
            tokio::time::sleep(config.shutdown_delay)
        );
        stop_serving.cancel();
        kubelet_tasks.shutdown(END_MAX).await;
        connections.shutdown(DRAIN_MAX).await;
        parts.shutdown(END_MAX).await;
    }
}

/// What decides on requests, and the cache that it reads.
struct Access {
    cache: Arc<Cache>,
    reader: Arc<dyn ObjectReader>,
    authenticator: Arc<Authenticator>,
    authorizer: Arc<authz::Chain>,
}

impl Access {
    fn new(config: &Config, etcd: &Etcd, client_ca: Option<ClientCa>) -> Result<Self, BuildError> {
        let prefixes = Kinds::builtin().iter().filter(|kind| kind.is_stored());
        let cache = Arc::new(Cache::new(
            prefixes.map(|kind| kind.storage_prefix.as_str()),
        ));
        let reader: Arc<dyn ObjectReader> = Arc::new(CacheReader::new(etcd.clone(), cache.clone()));
        let authn = authn_config(config, client_ca)?;
        let authenticator = Arc::new(Authenticator::new(authn, reader.clone()));
        let authorizer = Arc::new(authz::Chain::new(
            &config.authorization_modes,
            reader.clone(),
        ));
        Ok(Self {
            cache,
            reader,
            authenticator,
            authorizer,
        })
    }

    fn registry(&self, config: &Config, etcd: &Etcd) -> Result<Registry, BuildError> {
        let admission = admission::Chain::builtin(admission::Deps {
            reader: self.reader.clone(),
            guard: Some(Arc::new(Guard::new(self.authorizer.clone()))),
            enable: config.enable_admission_plugins.clone(),
            disable: config.disable_admission_plugins.clone(),
        })?;
        Ok(Registry::new(Parts {
            etcd: etcd.clone(),
            cache: self.cache.clone(),
            admission,
            services: ServiceSettings {
                cidrs: config.service_cidrs.clone(),
                node_ports: config.node_ports,
            },
            event_ttl: config.event_ttl,
        }))
    }

    fn reviews(&self) -> Reviews {
        Reviews::new(reviews::Parts {
            authenticator: self.authenticator.clone(),
            authorizer: self.authorizer.clone(),
            reader: self.reader.clone(),
            token_seconds_max: None,
        })
    }
}

fn authn_config(config: &Config, client_ca: Option<ClientCa>) -> Result<AuthnConfig, BuildError> {
    let mut verifying = Vec::new();
    for path in &config.service_account_key_files {
        verifying.extend(PublicKey::from_file(path)?);
    }
    let signing = SigningKey::from_file(&config.service_account_signing_key_file)?;
    let anonymous = if config.anonymous_auth {
        authn::authenticator::Anonymous::Allowed
    } else {
        authn::authenticator::Anonymous::Refused
    };
    Ok(AuthnConfig {
        client_ca,
        service_accounts: authn::service_account::Settings {
            signing: Some(signing),
            verifying,
            issuers: config.service_account_issuers.clone(),
            audiences: config.api_audiences.clone(),
        },
        anonymous,
    })
}

/// The address that others reach this machine at, unless it is told.
fn advertised_ip(config: &Config) -> IpAddr {
    if let Some(ip) = config.advertise_address {
        return ip;
    }
    if !config.bind_address.is_unspecified() {
        return config.bind_address;
    }
    // No packet is sent: the kernel only chooses the address that it would send from.
    let chosen = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    });
    chosen.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .unwrap_or_default()
}
