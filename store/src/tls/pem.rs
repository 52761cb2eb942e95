//! Files and settings of TLS, read into what the library takes, and everything that can be wrong
//! with them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, SupportedProtocolVersion};

use crate::config::TlsPolicy;

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
    /// A file is no revocation list.
    #[error("{} holds no certificate revocation list", .0.display())]
    NoRevocations(PathBuf),
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

/// A file's bytes.
pub(super) fn read(path: impl AsRef<Path>) -> Result<Vec<u8>, TlsError> {
    let path = path.as_ref();
    std::fs::read(path).map_err(|error| TlsError::Read(path.into(), error))
}

/// All certificates of a text; at least one.
pub(super) fn certificates(
    text: &[u8],
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsError::Pem(path.into(), error))?;
    if chain.is_empty() {
        Err(TlsError::NoCertificate(path.into()))
    } else {
        Ok(chain)
    }
}

/// The first key of a text.
pub(super) fn private_key(text: &[u8], path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| TlsError::Pem(path.into(), error))
}

/// An authority's certificates.
pub(super) fn roots(text: &[u8], path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(text, path)? {
        roots
            .add(certificate)
            .map_err(|error| TlsError::BadCertificate(path.into(), error))?;
    }
    Ok(roots)
}

/// The versions to speak.
pub(super) fn versions(policy: &TlsPolicy) -> Vec<&'static SupportedProtocolVersion> {
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
pub(super) fn provider(policy: &TlsPolicy) -> Result<Arc<CryptoProvider>, TlsError> {
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
