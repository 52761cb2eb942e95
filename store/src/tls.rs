//! TLS of listeners and of outgoing connections, from files that may change while the store runs.
//!
//! The files are read for every handshake and the settings rebuilt when they differ, so that a
//! renewed certificate needs no restart. A bad new file refuses new connections and leaves old ones.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::{TlsFiles, TlsPolicy};

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("open {}", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// A file holds no certificate.
    #[error("{} holds no PEM certificate", .0.display())]
    NoCertificate(PathBuf),
    /// A file holds something else than PEM.
    #[error("{} is not PEM", .0.display())]
    Pem(PathBuf, #[source] rustls::pki_types::pem::Error),
    /// A certificate that cannot be one.
    #[error("{} holds a certificate that cannot be read", .0.display())]
    BadCertificate(PathBuf, #[source] rustls::Error),
    /// The key does not belong to the certificate, or is of no known kind.
    #[error("certificate {} and key {} do not fit together", cert.display(), key.display())]
    Pair {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The authority cannot verify anything.
    #[error("certificate authority {}", .0.display())]
    Authority(PathBuf, #[source] rustls::server::VerifierBuilderError),
    /// An unknown suite.
    #[error("unexpected TLS cipher suite {0:?}")]
    Suite(String),
    /// Settings that leave nothing to speak.
    #[error("TLS versions and suites")]
    Policy(#[source] rustls::Error),
    /// Neither certificate nor key was given.
    #[error("a certificate and its key are needed")]
    Missing,
}

/// A listener's TLS.
#[derive(Debug)]
pub struct ServerTls {
    files: TlsFiles,
    policy: TlsPolicy,
    loaded: Mutex<Option<(Texts, Arc<ServerConfig>)>>,
}

/// What the files said when they were last read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Texts {
    cert: Vec<u8>,
    key: Vec<u8>,
    authority: Option<Vec<u8>>,
}

impl ServerTls {
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

    /// The settings for one handshake. Reads files: call it off the reactor.
    pub fn config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let (Some(cert), Some(key)) = (&self.files.cert, &self.files.key) else {
            return Err(TlsError::Missing);
        };
        let texts = Texts {
            cert: read(cert)?,
            key: read(key)?,
            authority: self.files.trusted_ca.as_deref().map(read).transpose()?,
        };
        if let Some((loaded, config)) = &*self.loaded.lock()
            && *loaded == texts
        {
            return Ok(config.clone());
        }
        let config = Arc::new(self.build(&texts, cert, key)?);
        *self.loaded.lock() = Some((texts, config.clone()));
        Ok(config)
    }

    fn build(&self, texts: &Texts, cert: &Path, key: &Path) -> Result<ServerConfig, TlsError> {
        let provider = provider(&self.policy)?;
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&versions(&self.policy))
            .map_err(TlsError::Policy)?;
        // As etcd: an authority alone already makes certificates a must.
        let builder = match (&texts.authority, &self.files.trusted_ca) {
            (Some(text), Some(path)) => {
                let roots = Arc::new(roots(text, path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                    .build()
                    .map_err(|error| TlsError::Authority(path.clone(), error))?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder
            .with_single_cert(
                certificates(&texts.cert, cert)?,
                private_key(&texts.key, key)?,
            )
            .map_err(|source| TlsError::Pair {
                cert: cert.into(),
                key: key.into(),
                source,
            })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// The settings with which a member connects to another one: the member's own certificate where it
/// has one, and its authority. Reads files: call it off the reactor.
pub fn client_config(files: &TlsFiles, policy: &TlsPolicy) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider(policy)?)
        .with_protocol_versions(&versions(policy))
        .map_err(TlsError::Policy)?;
    let roots = match &files.trusted_ca {
        Some(path) => roots(&read(path)?, path)?,
        None => RootCertStore::empty(),
    };
    let builder = builder.with_root_certificates(roots);
    let cert = files.client_cert.as_ref().or(files.cert.as_ref());
    let key = files.client_key.as_ref().or(files.key.as_ref());
    match (cert, key) {
        (Some(cert), Some(key)) => builder
            .with_client_auth_cert(
                certificates(&read(cert)?, cert)?,
                private_key(&read(key)?, key)?,
            )
            .map_err(|source| TlsError::Pair {
                cert: cert.clone(),
                key: key.clone(),
                source,
            }),
        _ => Ok(builder.with_no_client_auth()),
    }
}

/// The same for the transport of calls to other members, which keeps its own form of it.
pub fn peer_client(files: &TlsFiles) -> Result<tonic::transport::ClientTlsConfig, TlsError> {
    let mut client = tonic::transport::ClientTlsConfig::new();
    if let Some(path) = &files.trusted_ca {
        client = client.ca_certificate(tonic::transport::Certificate::from_pem(read(path)?));
    }
    let cert = files.client_cert.as_ref().or(files.cert.as_ref());
    let key = files.client_key.as_ref().or(files.key.as_ref());
    if let (Some(cert), Some(key)) = (cert, key) {
        client = client.identity(tonic::transport::Identity::from_pem(
            read(cert)?,
            read(key)?,
        ));
    }
    Ok(client)
}

/// The common name in a certificate, the last one where there are several, as in Go; empty if there
/// is none.
pub fn common_name(certificate: &CertificateDer<'_>) -> String {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return String::new();
    };
    let last = certificate.subject().iter_common_name().last();
    let text = last.and_then(|name| name.as_str().ok());
    text.unwrap_or_default().to_owned()
}

fn read(path: impl AsRef<Path>) -> Result<Vec<u8>, TlsError> {
    let path = path.as_ref();
    std::fs::read(path).map_err(|error| TlsError::Read(path.into(), error))
}

fn certificates(text: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsError::Pem(path.into(), error))?;
    if chain.is_empty() {
        Err(TlsError::NoCertificate(path.into()))
    } else {
        Ok(chain)
    }
}

fn private_key(text: &[u8], path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| TlsError::Pem(path.into(), error))
}

fn roots(text: &[u8], path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(text, path)? {
        roots
            .add(certificate)
            .map_err(|error| TlsError::BadCertificate(path.into(), error))?;
    }
    Ok(roots)
}

fn versions(policy: &TlsPolicy) -> Vec<&'static SupportedProtocolVersion> {
    let mut versions = Vec::with_capacity(2);
    if !policy.only_1_2 {
        versions.push(&rustls::version::TLS13);
    }
    if !policy.only_1_3 {
        versions.push(&rustls::version::TLS12);
    }
    versions
}

/// The library's suites, or those of them that the policy names. As in Go, the names choose among
/// TLS 1.2's suites; those of TLS 1.3 are always there.
fn provider(policy: &TlsPolicy) -> Result<Arc<CryptoProvider>, TlsError> {
    let mut provider = aws_lc_rs::default_provider();
    if !policy.cipher_suites.is_empty() {
        let name = |suite: &rustls::SupportedCipherSuite| format!("{:?}", suite.suite());
        // Go has both a long and a short name for the suites of ChaCha20.
        let wanted: Vec<&str> = policy
            .cipher_suites
            .iter()
            .map(|n| n.trim_end_matches("_SHA256"))
            .collect();
        for (given, short) in policy.cipher_suites.iter().zip(&wanted) {
            if !provider
                .cipher_suites
                .iter()
                .any(|suite| name(suite).trim_end_matches("_SHA256") == *short)
            {
                return Err(TlsError::Suite(given.clone()));
            }
        }
        provider.cipher_suites.retain(|suite| {
            suite.tls13().is_some() || wanted.contains(&name(suite).trim_end_matches("_SHA256"))
        });
    }
    Ok(Arc::new(provider))
}
