//! Client certificates: what the handshake proves, and what the authenticator concludes.
//!
//! The handshake checks possession of the key only and keeps the chain. Whether the chain leads to
//! the client CA is asked per request, so that a bad certificate is answered with 401 instead of a
//! broken connection, and a valid token beside it wins. Nothing outside this file may trust a
//! [`PeerChain`].

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::user::{CREDENTIAL_ID, UserInfo};

/// The certificates that a client presented, leaf first. Possession of the leaf's key is proven,
/// nothing else.
#[derive(Clone, Debug)]
pub struct PeerChain(Arc<[CertificateDer<'static>]>);

impl PeerChain {
    /// Keeps the chain of a finished handshake. `None` where the client presented no certificate.
    pub fn new(certificates: &[CertificateDer<'_>]) -> Option<Self> {
        if certificates.is_empty() {
            return None;
        }
        Some(Self(
            certificates
                .iter()
                .map(|der| der.clone().into_owned())
                .collect(),
        ))
    }
}

/// Why a client certificate does not authenticate anyone. Never retried.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file of the client CA cannot be read as certificates.
    #[error("read the client CA file {path}")]
    ReadCa {
        /// The file.
        path: String,
        /// What the reader said.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The file holds no certificate, or one that cannot be a trust anchor.
    #[error("the client CA is unusable: {0}")]
    BadCa(String),
    /// The same, of a file.
    #[error("the client CA file {path} cannot be used")]
    BadCaFile {
        /// The file.
        path: String,
        /// What is wrong with what it holds.
        #[source]
        source: Box<Error>,
    },
    /// The chain does not lead to the client CA, is outside its validity, or not for clients.
    #[error("verifying certificate {certificate} failed: {reason}")]
    Untrusted {
        /// Serial number of the leaf.
        certificate: String,
        /// What the verifier said.
        reason: String,
    },
    /// The leaf is no certificate at all.
    #[error("the client certificate cannot be parsed: {0}")]
    Malformed(String),
}

/// The handshake's verifier: accepts any certificate whose key the client holds.
#[derive(Debug)]
pub struct PossessionVerifier {
    provider: Arc<CryptoProvider>,
    hints: Vec<DistinguishedName>,
}

impl PossessionVerifier {
    /// `ca` gives the names that the server hints at, so that clients pick a fitting certificate.
    pub fn new(provider: Arc<CryptoProvider>, ca: Option<&ClientCa>) -> Self {
        Self {
            provider,
            hints: ca
                .map(|ca| ca.verifier.root_hint_subjects().to_vec())
                .unwrap_or_default(),
        }
    }
}

impl ClientCertVerifier for PossessionVerifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        // The chain is checked per request by `ClientCa::authenticate`.
        Ok(ClientCertVerified::assertion())
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
            &self.provider.signature_verification_algorithms,
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
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// The authorities whose certificates name users.
#[derive(Clone, Debug)]
pub struct ClientCa {
    verifier: Arc<dyn ClientCertVerifier>,
    pem: Arc<str>,
}

impl ClientCa {
    /// Reads the CA bundle of `--client-ca-file`.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let shown = || path.display().to_string();
        let pem = std::fs::read_to_string(path).map_err(|error| Error::ReadCa {
            path: shown(),
            source: rustls::pki_types::pem::Error::Io(error),
        })?;
        Self::from_pem(&pem).map_err(|error| Error::BadCaFile {
            path: shown(),
            source: Box::new(error),
        })
    }

    /// Takes the CA bundle as PEM text.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| Error::BadCa(error.to_string()))?;
            roots
                .add(certificate)
                .map_err(|error| Error::BadCa(error.to_string()))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| Error::BadCa(error.to_string()))?;
        Ok(Self {
            verifier,
            pem: pem.into(),
        })
    }

    /// The bundle as it was read.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The user that the chain names: `CN` is the name, every `O` a group. `None` if the certificate
    /// is good but has no name.
    pub fn authenticate(
        &self,
        chain: &PeerChain,
        now: UnixTime,
    ) -> Result<Option<UserInfo>, Error> {
        let Some((leaf, intermediates)) = chain.0.split_first() else {
            return Ok(None);
        };
        let (_, certificate) =
            X509Certificate::from_der(leaf).map_err(|error| Error::Malformed(error.to_string()))?;
        self.verifier
            .verify_client_cert(leaf, intermediates, now)
            .map_err(|error| Error::Untrusted {
                certificate: format!("SN={}", certificate.serial),
                reason: error.to_string(),
            })?;
        let subject = certificate.subject();
        let text = |value: &x509_parser::x509::AttributeTypeAndValue<'_>| {
            value
                .as_str()
                .map(str::to_owned)
                .map_err(|error| Error::Malformed(error.to_string()))
        };
        // Go keeps the last of several common names.
        let Some(name) = subject.iter_common_name().last().map(text).transpose()? else {
            return Ok(None);
        };
        if name.is_empty() {
            return Ok(None);
        }
        let groups = subject
            .iter_organization()
            .map(text)
            .collect::<Result<_, _>>()?;
        let fingerprint: String = Sha256::digest(leaf)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let user = UserInfo {
            name,
            groups,
            ..UserInfo::default()
        };
        Ok(Some(user.with_extra(
            CREDENTIAL_ID,
            &format!("X509SHA256={fingerprint}"),
        )))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType,
        ExtendedKeyUsagePurpose, IsCa, KeyPair,
    };
    use rustls::pki_types::{CertificateDer, UnixTime};

    use super::{ClientCa, Error, PeerChain};

    fn ca(name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn leaf(
        issuer: &CertifiedIssuer<'static, KeyPair>,
        name: &str,
        group: Option<&str>,
        usage: ExtendedKeyUsagePurpose,
    ) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        if let Some(group) = group {
            params
                .distinguished_name
                .push(DnType::OrganizationName, group);
        }
        params.extended_key_usages = vec![usage];
        params.custom_extensions = Vec::<CustomExtension>::new();
        let key = KeyPair::generate().unwrap();
        params.signed_by(&key, issuer).unwrap().der().clone()
    }

    #[test]
    fn a_good_chain_names_user_and_groups() {
        let issuer = ca("root");
        let trust = ClientCa::from_pem(&issuer.pem()).unwrap();
        let usage = ExtendedKeyUsagePurpose::ClientAuth;
        let chain = PeerChain::new(&[leaf(&issuer, "system:node:n1", Some("system:nodes"), usage)])
            .unwrap();
        let user = trust
            .authenticate(&chain, UnixTime::now())
            .unwrap()
            .unwrap();
        assert_eq!(
            (user.name.as_str(), user.groups.as_slice()),
            ("system:node:n1", &["system:nodes".to_owned()][..])
        );
        let id = &user.extra["authentication.kubernetes.io/credential-id"][0];
        assert!(
            id.starts_with("X509SHA256=") && id.len() == "X509SHA256=".len() + 64,
            "{id}"
        );
    }

    #[test]
    fn a_foreign_expired_or_server_certificate_is_refused() {
        let (ours, theirs) = (ca("root"), ca("root"));
        let trust = ClientCa::from_pem(&ours.pem()).unwrap();
        let client = ExtendedKeyUsagePurpose::ClientAuth;
        let foreign = PeerChain::new(&[leaf(
            &theirs,
            "admin",
            Some("system:masters"),
            client.clone(),
        )])
        .unwrap();
        assert!(matches!(
            trust.authenticate(&foreign, UnixTime::now()),
            Err(Error::Untrusted { .. })
        ));
        let server = leaf(&ours, "admin", None, ExtendedKeyUsagePurpose::ServerAuth);
        let server = PeerChain::new(&[server]).unwrap();
        assert!(matches!(
            trust.authenticate(&server, UnixTime::now()),
            Err(Error::Untrusted { .. })
        ));
        let good = PeerChain::new(&[leaf(&ours, "admin", None, client)]).unwrap();
        let far = UnixTime::since_unix_epoch(Duration::from_secs(10_000 * 365 * 86_400));
        assert!(matches!(
            trust.authenticate(&good, far),
            Err(Error::Untrusted { .. })
        ));
    }

    #[test]
    fn a_bundle_without_certificates_is_refused() {
        assert!(matches!(ClientCa::from_pem("hello"), Err(Error::BadCa(_))));
    }

    #[test]
    fn bytes_that_are_no_certificate_are_an_error_and_no_panic() {
        let trust = ClientCa::from_pem(&ca("root").pem()).unwrap();
        let chain = PeerChain::new(&[CertificateDer::from(vec![0x30, 0x82, 0xff])]).unwrap();
        assert!(matches!(
            trust.authenticate(&chain, UnixTime::now()),
            Err(Error::Malformed(_))
        ));
    }
}
