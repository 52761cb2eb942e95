//! TLS of connections to other members: the member's own certificate where it has one, its authority,
//! and the names that the other side may have.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::codegen::Service;

use super::names::{Allowed, Limited};
use super::pem::{TlsError, certificates, private_key, provider, read, roots, versions};
use crate::config::{TlsFiles, TlsPolicy};

/// See the module. The files are read again for every connection.
#[derive(Debug)]
pub struct ClientTls {
    files: TlsFiles,
    policy: TlsPolicy,
    loaded: Mutex<Option<(Texts, Arc<ClientConfig>)>>,
}

/// What the files said when they were last read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Texts {
    pair: Option<(Vec<u8>, Vec<u8>)>,
    authority: Option<Vec<u8>>,
}

impl ClientTls {
    /// Reads the files once, so that a fault shows at start.
    pub fn open(files: &TlsFiles, policy: &TlsPolicy) -> Result<Self, TlsError> {
        let tls = Self {
            files: files.clone(),
            policy: policy.clone(),
            loaded: Mutex::new(None),
        };
        tls.config()?;
        Ok(tls)
    }

    /// The settings for one connection. Reads files: call it off the reactor.
    fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let files = &self.files;
        let cert = files.client_cert.as_ref().or(files.cert.as_ref());
        let key = files.client_key.as_ref().or(files.key.as_ref());
        let pair = cert.zip(key);
        let texts = Texts {
            pair: match pair {
                Some((cert, key)) => Some((read(cert)?, read(key)?)),
                None => None,
            },
            authority: files.trusted_ca.as_deref().map(read).transpose()?,
        };
        if let Some((loaded, config)) = &*self.loaded.lock()
            && *loaded == texts
        {
            return Ok(config.clone());
        }
        let provider = provider(&self.policy)?;
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&versions(&self.policy))
            .map_err(TlsError::Policy)?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier(&texts, provider)?);
        let config = match (&texts.pair, pair) {
            (Some((cert_text, key_text)), Some((cert, key))) => builder
                .with_client_auth_cert(certificates(cert_text, cert)?, private_key(key_text, key)?)
                .map_err(|source| TlsError::Pair {
                    cert: cert.clone(),
                    key: key.clone(),
                    source,
                })?,
            _ => builder.with_no_client_auth(),
        };
        let config = Arc::new(config);
        *self.loaded.lock() = Some((texts, config.clone()));
        Ok(config)
    }

    fn verifier(
        &self,
        texts: &Texts,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
        // As etcd: members that make their own certificates encrypt, and trust whoever answers.
        if self.files.is_self_made {
            return Ok(Arc::new(Unverified {
                provider,
                takes_anyone: true,
            }));
        }
        let (Some(text), Some(path)) = (&texts.authority, &self.files.trusted_ca) else {
            return Ok(Arc::new(Unverified {
                provider,
                takes_anyone: false,
            }));
        };
        let roots = roots(text, path)?;
        let inner: Arc<dyn ServerCertVerifier> =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| TlsError::Authority(path.clone(), error))?;
        Ok(match Allowed::of(&self.files) {
            None => inner,
            Some(allowed) => Arc::new(Limited { allowed, inner }),
        })
    }

    /// Shakes hands over a connection to `host`, asking for the protocols that `alpn` names.
    pub async fn connect(
        self: &Arc<Self>,
        host: &str,
        stream: TcpStream,
        alpn: &[&[u8]],
    ) -> io::Result<TlsStream<TcpStream>> {
        let tls = self.clone();
        let config = tokio::task::spawn_blocking(move || tls.config()).await;
        let config = config
            .map_err(io::Error::other)?
            .map_err(|error| io::Error::other(base::report(&error).to_string()))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let alpn = alpn.iter().map(|name| name.to_vec()).collect();
        let connector = TlsConnector::from(config);
        connector.with_alpn(alpn).connect(name, stream).await
    }

    /// As what calls to members connect with.
    pub fn connector(self: &Arc<Self>) -> PeerConnector {
        PeerConnector(self.clone())
    }
}

/// Connects calls to members, for addresses of the scheme `http`: what is wrapped here is a plain
/// connection to the transport above.
#[derive(Clone, Debug)]
pub struct PeerConnector(Arc<ClientTls>);

impl Service<http::Uri> for PeerConnector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        let tls = self.0.clone();
        Box::pin(async move {
            let host = uri.host().unwrap_or_default();
            let port = uri.port_u16().unwrap_or(443);
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            let stream = TcpStream::connect((bare, port)).await?;
            stream.set_nodelay(true)?;
            tls.connect(host, stream, &[b"h2"]).await.map(TokioIo::new)
        })
    }
}

/// Takes every certificate whose owner has its key, or none where there is no authority.
#[derive(Debug)]
struct Unverified {
    provider: Arc<CryptoProvider>,
    takes_anyone: bool,
}

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.takes_anyone {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, leaf, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, leaf, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
