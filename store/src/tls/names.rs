//! Names in certificates: which there are, and whether they are those that may come in.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::TlsFiles;

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

/// The names by which a certificate may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AltNames {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) dns: Vec<String>,
}

impl AltNames {
    /// Those in a certificate; none where it cannot be read.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Self {
        let mut names = Self::default();
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
            return names;
        };
        let Ok(Some(extension)) = certificate.subject_alternative_name() else {
            return names;
        };
        for name in &extension.value.general_names {
            match name {
                GeneralName::DNSName(name) => names.dns.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => names.addresses.extend(address(bytes)),
                _ => {}
            }
        }
        names
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

/// Who may come in of those that the authority knows: `--peer-cert-allowed-cn` and the like.
#[derive(Clone, Debug, Default)]
pub(super) struct Allowed {
    common_names: Vec<String>,
    hosts: Vec<ServerName<'static>>,
}

impl Allowed {
    /// What the settings say; none if they let in everybody. They hold names that can be read.
    pub(super) fn of(files: &TlsFiles) -> Option<Self> {
        if files.allowed_cns.is_empty() && files.allowed_hostnames.is_empty() {
            return None;
        }
        let hosts = files.allowed_hostnames.iter();
        Some(Self {
            common_names: files.allowed_cns.clone(),
            hosts: hosts
                .filter_map(|host| ServerName::try_from(host.clone()).ok())
                .collect(),
        })
    }

    /// The library's error stands for etcd's "client certificate authentication failed" and makes the
    /// alert `bad certificate`.
    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let common_name = common_name(certificate);
        if self.common_names.contains(&common_name) {
            return Ok(());
        }
        let parsed = ParsedCertificate::try_from(certificate)?;
        if self
            .hosts
            .iter()
            .any(|host| verify_server_name(&parsed, host).is_ok())
        {
            return Ok(());
        }
        Err(Error::InvalidCertificate(CertificateError::NotValidForName))
    }
}

/// A verifier, and then the names.
pub(super) struct Limited<V: ?Sized> {
    pub(super) allowed: Allowed,
    pub(super) inner: Arc<V>,
}

impl<V: ?Sized> fmt::Debug for Limited<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Limited").field(&self.allowed).finish()
    }
}

impl ClientCertVerifier for Limited<dyn ClientCertVerifier> {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.inner.verify_client_cert(leaf, chain, now)?;
        self.allowed.check(leaf)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, leaf, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

impl ServerCertVerifier for Limited<dyn ServerCertVerifier> {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self
            .inner
            .verify_server_cert(leaf, chain, name, ocsp, now)?;
        self.allowed.check(leaf)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, leaf, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
