//! The small HTTPS port of a component: /healthz, /livez, /readyz and /metrics. It serves nothing else and needs no login,
//! as upstream's `--authorization-always-allow-paths` has it for the health paths.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Connections at one time; further ones wait in the kernel's backlog.
const CONNECTIONS_MAX: usize = 64;
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(5);
/// A connection is closed after this time, busy or not: probes and scrapes are short.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(120);

/// Where to serve, and with which certificate.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address; port 0 takes a free one.
    pub address: SocketAddr,
    /// PEM files of certificate and key. None makes a self-signed certificate for this process.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// Why the port cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken or not ours.
    #[error("failed to create listener: failed to listen on {address}: listen tcp {address}: bind")]
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
        source: rustls_pki_types::pem::Error,
    },
    /// No self-signed certificate could be made.
    #[error("make a self-signed certificate")]
    SelfSigned(#[source] rcgen::Error),
    /// Certificate and key do not work together.
    #[error("use the certificate and key")]
    Tls(#[source] rustls::Error),
}

/// A check of the component's health; an error text makes `/healthz` answer 500.
pub type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// A bound port.
pub struct Server {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    checks: Arc<Vec<(&'static str, Check)>>,
    metrics: Arc<Mutex<Registry>>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl Server {
    /// Binds the port.
    pub async fn build(
        config: Config,
        checks: Vec<(&'static str, Check)>,
        metrics: Arc<Mutex<Registry>>,
    ) -> Result<Self, Error> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (chain, key) = match &config.certificate {
            Some((certificate, key)) => from_files(certificate, key)?,
            None => self_signed()?,
        };
        let mut tls = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(Error::Tls)?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let address = config.address;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| Error::Bind { address, source })?;
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        Ok(Self {
            listener,
            acceptor,
            checks: Arc::new(checks),
            metrics,
        })
    }

    /// The bound address.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let tasks = base::Tasks::child_of("health", &stop);
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let accepted = tokio::select! { biased;
                () = stop.cancelled() => break,
                accepted = self.accept(&room) => accepted,
            };
            let Some((stream, permit)) = accepted else {
                continue;
            };
            let (acceptor, checks, metrics) = (
                self.acceptor.clone(),
                self.checks.clone(),
                self.metrics.clone(),
            );
            let stop = tasks.stop().clone();
            tasks.spawn("connection", base::OnError::Log, async move {
                let _permit = permit;
                tokio::select! { biased;
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(CONNECTION_TIME_MAX) => {}
                    () = connection(stream, acceptor, checks, metrics) => {}
                }
                Ok::<(), Infallible>(())
            });
        }
        tasks.shutdown(Duration::from_secs(2)).await;
    }

    async fn accept(
        &self,
        room: &Arc<Semaphore>,
    ) -> Option<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
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

async fn connection(
    stream: tokio::net::TcpStream,
    acceptor: TlsAcceptor,
    checks: Arc<Vec<(&'static str, Check)>>,
    metrics: Arc<Mutex<Registry>>,
) {
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIME_MAX, acceptor.accept(stream)).await
    else {
        return;
    };
    let service = service_fn(move |request: Request<Incoming>| {
        let response = answer(request.method(), request.uri().path(), &checks, &metrics);
        async move { Ok::<_, Infallible>(response) }
    });
    let served = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended");
    }
}

fn answer(
    method: &Method,
    path: &str,
    checks: &[(&'static str, Check)],
    metrics: &Mutex<Registry>,
) -> Response<Full<Bytes>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return text(
            StatusCode::METHOD_NOT_ALLOWED,
            "method not allowed\n".to_owned(),
        );
    }
    match path {
        "/healthz" | "/livez" | "/readyz" => {
            let mut failed = Vec::new();
            for (name, check) in checks {
                if let Err(cause) = check() {
                    failed.push(format!("[-]{name} failed: {cause}\n"));
                }
            }
            if failed.is_empty() {
                text(StatusCode::OK, "ok".to_owned())
            } else {
                let name = path.trim_start_matches('/');
                text(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    format!("{}{name} check failed\n", failed.concat()),
                )
            }
        }
        "/metrics" => {
            let mut out = String::new();
            match prometheus_client::encoding::text::encode(&mut out, &metrics.lock()) {
                Ok(()) => text(StatusCode::OK, out),
                Err(_) => text(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "cannot encode\n".to_owned(),
                ),
            }
        }
        _ => text(StatusCode::NOT_FOUND, "404 page not found\n".to_owned()),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn from_files(certificate: &PathBuf, key: &PathBuf) -> Result<Identity, Error> {
    let failed = |path: &PathBuf| {
        let path = path.clone();
        move |source| Error::Pem { path, source }
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(failed(certificate))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(failed(key))?;
    Ok((chain, key))
}

fn self_signed() -> Result<Identity, Error> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])
        .map_err(Error::SelfSigned)?;
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    Ok((vec![made.cert.der().clone()], key))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{Method, StatusCode};
    use parking_lot::Mutex;
    use prometheus_client::registry::Registry;
    use tokio_util::sync::CancellationToken;

    use super::{Check, Config, Server, answer};

    #[test]
    fn health_follows_the_checks() {
        let metrics = Mutex::new(Registry::default());
        let good: (&'static str, Check) = ("ping", Arc::new(|| Ok(())));
        let bad: (&'static str, Check) = ("leaderElection", Arc::new(|| Err("lost".to_owned())));
        let get = |path: &str, checks: &[_]| answer(&Method::GET, path, checks, &metrics).status();
        assert_eq!(get("/healthz", std::slice::from_ref(&good)), StatusCode::OK);
        assert_eq!(
            get("/healthz", &[good, bad]),
            StatusCode::INTERNAL_SERVER_ERROR
        );
        assert_eq!(get("/metrics", &[]), StatusCode::OK);
        assert_eq!(get("/nothing", &[]), StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn a_taken_port_is_an_error_that_names_it() {
        let metrics = Arc::new(Mutex::new(Registry::default()));
        let config = Config {
            address: "127.0.0.1:0".parse().unwrap(),
            certificate: None,
        };
        let first = Server::build(config, Vec::new(), metrics.clone())
            .await
            .unwrap();
        let address = first.address().unwrap();
        let config = Config {
            address,
            certificate: None,
        };
        let error = Server::build(config, Vec::new(), metrics)
            .await
            .unwrap_err();
        assert!(error.to_string().contains(&address.to_string()));
        let stop = CancellationToken::new();
        stop.cancel();
        first.run(stop).await;
    }
}
