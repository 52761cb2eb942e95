//! The server's side of TLS: certificate, protocols, and a client certificate that is asked for but
//! judged later, by authentication.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::authn::{ClientCa, PossessionVerifier};

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read as PEM.
    #[error("unable to load {what} from {path}")]
    Pem {
        /// What it should hold.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// It holds no certificate.
    #[error("{0} holds no certificate")]
    Empty(PathBuf),
    /// Certificate and key do not belong together, or the key is of no use.
    #[error("the certificate {cert} and the key {key} cannot be used together")]
    Pair {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

/// The one cryptography provider of the process.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Reads a chain of certificates.
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let fail = |source| Error::Pem {
        what: "certificates",
        path: path.to_owned(),
        source,
    };
    let certificates = CertificateDer::pem_file_iter(path)
        .map_err(fail)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(fail)?;
    if certificates.is_empty() {
        return Err(Error::Empty(path.to_owned()));
    }
    Ok(certificates)
}

/// Reads a private key.
pub fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_file(path).map_err(|source| Error::Pem {
        what: "a private key",
        path: path.to_owned(),
        source,
    })
}

/// TLS for the listener.
pub fn server_config(
    cert: &Path,
    key: &Path,
    ca: Option<&ClientCa>,
) -> Result<ServerConfig, Error> {
    let pair = |source| Error::Pair {
        cert: cert.to_owned(),
        key: key.to_owned(),
        source,
    };
    let provider = provider();
    let verifier = Arc::new(PossessionVerifier::new(provider.clone(), ca));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(read_certificates(cert)?, read_key(key)?)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
