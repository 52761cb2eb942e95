//! The port: TLS, and one HTTP connection a task.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::{OnError, Tasks};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::access::Peer;
use super::routes::Routes;
use crate::kubelet::config::Config;
use crate::kubelet::context::Context;
use crate::kubelet::workers::Workers;

/// Connections at one time; further ones wait in the kernel's backlog.
const CONNECTIONS_MAX: usize = 256;
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// Why the port cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken or not ours.
    #[error("listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's word.
        #[source]
        source: std::io::Error,
    },
    /// A PEM file cannot be read.
    #[error("read {path}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// No certificate could be made.
    #[error("make a certificate")]
    Certificate(#[source] rcgen::Error),
    /// The CA of clients is not one.
    #[error("use the clients' CA")]
    ClientCa(#[source] rustls::server::VerifierBuilderError),
    /// Certificate and key do not work together.
    #[error("use the certificate and key")]
    Tls(#[source] rustls::Error),
}

/// A bound port.
pub(in crate::kubelet) struct Server {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    routes: Arc<Routes>,
    port: u16,
}

impl Server {
    /// Binds the port.
    pub(in crate::kubelet) async fn build(
        context: Arc<Context>,
        workers: Workers,
    ) -> Result<Self, Error> {
        let config = &context.config;
        let acceptor = TlsAcceptor::from(Arc::new(tls(config)?));
        let failed = |source| Error::Bind {
            address: config.address,
            source,
        };
        let listener = TcpListener::bind(config.address).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        Ok(Self {
            listener,
            acceptor,
            routes: Arc::new(Routes::new(context, workers)),
            port,
        })
    }

    /// The port in use.
    pub(in crate::kubelet) fn port(&self) -> u16 {
        self.port
    }

    /// Serves until `stop`; then every stream is cut.
    pub(in crate::kubelet) async fn run(self, stop: CancellationToken) {
        let tasks = Tasks::child_of("kubelet server", &stop);
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let accepted = tokio::select! { biased;
                () = stop.cancelled() => break,
                accepted = self.accept(&room) => accepted,
            };
            let Some((stream, permit)) = accepted else {
                continue;
            };
            let (acceptor, routes, stop) = (
                self.acceptor.clone(),
                self.routes.clone(),
                tasks.stop().clone(),
            );
            tasks.spawn("connection", OnError::Log, async move {
                let _permit = permit;
                tokio::select! { biased;
                    () = stop.cancelled() => {}
                    () = connection(stream, acceptor, routes) => {}
                }
                Ok::<(), Infallible>(())
            });
        }
        self.routes.streams.shutdown(Duration::from_secs(1)).await;
        tasks.shutdown(Duration::from_secs(2)).await;
    }

    async fn accept(
        &self,
        room: &Arc<Semaphore>,
    ) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
        let permit = room.clone().acquire_owned().await.ok()?;
        match self.listener.accept().await {
            Ok((stream, _)) => Some((stream, permit)),
            Err(error) => {
                // Such as too many open files: the next accept would fail at once as well.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
                None
            }
        }
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, routes: Arc<Routes>) {
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIME_MAX, acceptor.accept(stream)).await
    else {
        return;
    };
    let certificate = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|chain| chain.first());
    let peer = Peer::of(certificate);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (routes, peer) = (routes.clone(), peer.clone());
        async move { Ok::<_, Infallible>(routes.answer(peer.as_ref(), request).await) }
    });
    // With upgrades, because exec and attach turn the connection into a stream.
    let builder = auto::Builder::new(TokioExecutor::new());
    let served = builder
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended");
    }
}

fn tls(config: &Config) -> Result<rustls::ServerConfig, Error> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (chain, key) = match &config.certificate {
        Some((certificate, key)) => (certificates(certificate)?, private_key(key)?),
        None => own(config)?,
    };
    let builder = rustls::ServerConfig::builder();
    let builder = match &config.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = rustls::RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(Error::Tls)?;
            }
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
                .allow_unauthenticated()
                .build();
            builder.with_client_cert_verifier(verifier.map_err(Error::ClientCa)?)
        }
    };
    let mut tls = builder.with_single_cert(chain, key).map_err(Error::Tls)?;
    // Streams need a connection of their own, which only HTTP/1.1 gives up.
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(tls)
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, Error> {
    let failed = |source| Error::Pem {
        path: path.clone(),
        source,
    };
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(failed)
}

fn private_key(path: &PathBuf) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_file(path).map_err(|source| Error::Pem {
        path: path.clone(),
        source,
    })
}

/// A certificate for this process, which nobody else vouches for.
fn own(config: &Config) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
    let names: Vec<String> = [config.node_name.clone()]
        .into_iter()
        .chain(config.node_ips.iter().map(ToString::to_string))
        .collect();
    let made = rcgen::generate_simple_self_signed(names).map_err(Error::Certificate)?;
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    Ok((vec![made.cert.der().clone()], key))
}
