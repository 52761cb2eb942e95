//! A listener's TLS.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use super::admit;
use super::names::{Allowed, Limited};
use super::pem::{TlsError, certificates, private_key, provider, read, roots, versions};
use crate::config::{TlsFiles, TlsPolicy};

/// See the module.
#[derive(Debug)]
pub struct ServerTls {
    pub(super) files: TlsFiles,
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
        if let Some(path) = &files.crl {
            admit::revoked(path)?;
        }
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
                let verifier: Arc<dyn ClientCertVerifier> =
                    WebPkiClientVerifier::builder_with_provider(roots, provider)
                        .build()
                        .map_err(|error| TlsError::Authority(path.clone(), error))?;
                builder.with_client_cert_verifier(match Allowed::of(&self.files) {
                    None => verifier,
                    Some(allowed) => Arc::new(Limited {
                        allowed,
                        inner: verifier,
                    }),
                })
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
