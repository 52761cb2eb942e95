//! Connections to kubelets: TLS with this server's client certificate. Knows no subresource.

use std::sync::Arc;
use std::time::Duration;

use base::{OnError, Tasks};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::super::tls;
use crate::config::KubeletConfig;

/// Reaching a kubelet must not take longer.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// What is read of a kubelet's refusal.
/// Connects to kubelets.
pub struct KubeletClient {
    tls: TlsConnector,
    /// Owns the connections and the streams over them.
    pub(super) tasks: Tasks,
}

/// Why a kubelet cannot be reached.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("dial tcp {0}: {1}")]
    Dial(String, std::io::Error),
    #[error("dial tcp {0}: i/o timeout")]
    Timeout(String),
    #[error("the kubelet's address is no server name")]
    Name(#[from] rustls::pki_types::InvalidDnsNameError),
    #[error("{0}")]
    Http(#[from] hyper::Error),
}

impl std::fmt::Debug for KubeletClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KubeletClient")
    }
}

impl KubeletClient {
    /// Reads the certificates.
    pub fn new(config: &KubeletConfig, tasks: Tasks) -> Result<Self, tls::Error> {
        let provider = tls::provider();
        let broken = |source| tls::Error::Pair {
            cert: config.client_cert_file.clone().unwrap_or_default(),
            key: config.client_key_file.clone().unwrap_or_default(),
            source,
        };
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(broken)?;
        let builder = match &config.ca_file {
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in tls::read_certificates(path)? {
                    roots.add(certificate).map_err(broken)?;
                }
                builder.with_root_certificates(roots)
            }
            // As upstream does without --kubelet-certificate-authority.
            None => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Unverified(provider))),
        };
        let client = match (&config.client_cert_file, &config.client_key_file) {
            (Some(cert), Some(key)) => builder
                .with_client_auth_cert(tls::read_certificates(cert)?, tls::read_key(key)?)
                .map_err(broken)?,
            _ => builder.with_no_client_auth(),
        };
        Ok(Self {
            tls: TlsConnector::from(Arc::new(client)),
            tasks,
        })
    }

    /// Sends one request over a connection of its own.
    pub(super) async fn send(
        &self,
        host: &str,
        port: i64,
        request: Request<Empty<Bytes>>,
    ) -> Result<Response<Incoming>, ConnectError> {
        let address = match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        };
        let name = ServerName::try_from(host.to_owned())?;
        let connect = async {
            let tcp = TcpStream::connect(&address).await?;
            tcp.set_nodelay(true)?;
            self.tls.connect(name, tcp).await
        };
        let stream = match timeout(CONNECT_MAX, connect).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(ConnectError::Dial(address, error)),
            Err(_) => return Err(ConnectError::Timeout(address)),
        };
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let stop = self.tasks.stop().clone();
        self.tasks
            .spawn("kubelet connection", OnError::Log, async move {
                tokio::select! { biased;
                    () = stop.cancelled() => Ok(()),
                    ended = connection.with_upgrades() => ended,
                }
            });
        Ok(sender.send_request(request).await?)
    }
}
/// Accepts any certificate of a kubelet; possession of its key is still proven.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
