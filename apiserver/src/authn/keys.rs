//! The keys of service account tokens: one that signs, any number that verify.
//!
//! Reads the forms that upstream reads: PKCS#1, PKCS#8 and SEC1 private keys, public keys and
//! certificates. A key that is not RSA, P-256 or P-384 is refused by name.

use std::path::Path;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use rustls::pki_types::pem::{PemObject, SectionKind};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::SubjectPublicKeyInfo;

/// Why a key file cannot be used. Never retried.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("read the key file {path}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file can be read, but holds no key that can be used.
    #[error("the key file {path} cannot be used")]
    BadFile {
        /// The file.
        path: String,
        /// What is wrong with what it holds.
        #[source]
        source: Box<Error>,
    },
    /// The text is not PEM.
    #[error("data does not contain a valid RSA or ECDSA key: {0}")]
    Pem(String),
    /// There is no key in it.
    #[error("data does not contain any valid RSA or ECDSA keys")]
    Empty,
    /// There is a key of a kind that tokens are not signed with.
    #[error("unsupported key: {0}; service account keys are RSA, or ECDSA on P-256 or P-384")]
    Unsupported(String),
}

impl Error {
    fn of_file(self, path: &Path) -> Self {
        Self::BadFile {
            path: path.display().to_string(),
            source: Box::new(self),
        }
    }
}

/// A key that verifies tokens.
#[derive(Clone, Debug)]
pub struct PublicKey {
    /// The key id that tokens name: the unpadded base64url SHA-256 of the key's DER form.
    pub id: String,
    /// The only algorithm that this key verifies.
    pub algorithm: Algorithm,
    /// The key itself.
    pub decoding: DecodingKey,
}

/// The key that signs tokens.
#[derive(Clone)]
pub struct SigningKey {
    /// Its public half.
    pub public: PublicKey,
    encoding: EncodingKey,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("id", &self.public.id)
            .finish_non_exhaustive()
    }
}

impl PublicKey {
    /// All keys of a file of `--service-account-key-file`.
    pub fn from_file(path: &Path) -> Result<Vec<Self>, Error> {
        Self::from_pem(&read(path)?).map_err(|error| error.of_file(path))
    }

    /// All keys of a PEM text. Of private keys and certificates the public half is taken.
    pub fn from_pem(pem: &[u8]) -> Result<Vec<Self>, Error> {
        let mut keys = Vec::new();
        for block in blocks(pem) {
            let (kind, der) = block?;
            match kind {
                SectionKind::PublicKey => keys.push(Self::from_info(&der)?),
                SectionKind::Certificate => {
                    let (_, certificate) = X509Certificate::from_der(&der)
                        .map_err(|error| Error::Pem(error.to_string()))?;
                    keys.push(Self::from_info(certificate.public_key().raw)?);
                }
                SectionKind::RsaPrivateKey
                | SectionKind::PrivateKey
                | SectionKind::EcPrivateKey => {
                    keys.push(SigningKey::from_block(&kind, &der)?.public);
                }
                _ => {}
            }
        }
        if keys.is_empty() {
            Err(Error::Empty)
        } else {
            Ok(keys)
        }
    }

    /// From a DER SubjectPublicKeyInfo.
    fn from_info(der: &[u8]) -> Result<Self, Error> {
        let (_, info) =
            SubjectPublicKeyInfo::from_der(der).map_err(|error| Error::Pem(error.to_string()))?;
        let bits = &info.subject_public_key.data;
        let curve = info
            .algorithm
            .parameters
            .as_ref()
            .and_then(|any| any.as_oid().ok());
        let curve = curve.map(|oid| oid.to_id_string());
        let (algorithm, decoding) = match info.algorithm.algorithm.to_id_string().as_str() {
            "1.2.840.113549.1.1.1" => (Algorithm::RS256, DecodingKey::from_rsa_der(bits)),
            "1.2.840.10045.2.1" => match curve.as_deref() {
                Some("1.2.840.10045.3.1.7") => (Algorithm::ES256, DecodingKey::from_ec_der(bits)),
                Some("1.3.132.0.34") => (Algorithm::ES384, DecodingKey::from_ec_der(bits)),
                other => return Err(Error::Unsupported(format!("ECDSA curve {other:?}"))),
            },
            other => return Err(Error::Unsupported(format!("algorithm {other}"))),
        };
        Ok(Self {
            id: URL_SAFE_NO_PAD.encode(Sha256::digest(der)),
            algorithm,
            decoding,
        })
    }

    /// The key as others read it in `/openid/v1/jwks`.
    pub fn jwk(&self) -> Result<Jwk, Error> {
        let mut jwk = Jwk::from_decoding_key(&self.decoding, Some(self.algorithm))
            .map_err(|error| Error::Unsupported(error.to_string()))?;
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        jwk.common.key_id = Some(self.id.clone());
        Ok(jwk)
    }
}

impl SigningKey {
    /// The first private key of the file of `--service-account-signing-key-file`.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        Self::from_pem(&read(path)?).map_err(|error| error.of_file(path))
    }

    /// The first private key of a PEM text.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Error> {
        for block in blocks(pem) {
            let (kind, der) = block?;
            match kind {
                SectionKind::RsaPrivateKey
                | SectionKind::PrivateKey
                | SectionKind::EcPrivateKey => {
                    return Self::from_block(&kind, &der);
                }
                _ => {}
            }
        }
        Err(Error::Empty)
    }

    fn from_block(kind: &SectionKind, der: &[u8]) -> Result<Self, Error> {
        let rsa = match kind {
            SectionKind::RsaPrivateKey => RsaKeyPair::from_der(der).ok(),
            SectionKind::PrivateKey => RsaKeyPair::from_pkcs8(der).ok(),
            _ => None,
        };
        if let Some(pair) = rsa {
            let label = if *kind == SectionKind::RsaPrivateKey {
                "RSA PRIVATE KEY"
            } else {
                "PRIVATE KEY"
            };
            let encoding = EncodingKey::from_rsa_pem(pem_text(label, der).as_bytes())
                .map_err(|error| Error::Unsupported(error.to_string()))?;
            let info = AsDer::as_der(pair.public_key())
                .map_err(|_| Error::Unsupported("RSA key without a public half".to_owned()))?;
            return Ok(Self {
                public: PublicKey::from_info(info.as_ref())?,
                encoding,
            });
        }
        for curve in [
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &ECDSA_P384_SHA384_FIXED_SIGNING,
        ] {
            if let Some(key) = Self::ecdsa(curve, kind, der)? {
                return Ok(key);
            }
        }
        Err(Error::Unsupported("private key of another kind".to_owned()))
    }

    fn ecdsa(
        curve: &'static EcdsaSigningAlgorithm,
        kind: &SectionKind,
        der: &[u8],
    ) -> Result<Option<Self>, Error> {
        let pair = match kind {
            SectionKind::EcPrivateKey => EcdsaKeyPair::from_private_key_der(curve, der),
            _ => EcdsaKeyPair::from_pkcs8(curve, der),
        };
        let Ok(pair) = pair else { return Ok(None) };
        let broken = |_| Error::Unsupported("ECDSA key that cannot be written again".to_owned());
        let private = pair.to_pkcs8v1().map_err(broken)?;
        let info = AsDer::as_der(pair.public_key()).map_err(broken)?;
        Ok(Some(Self {
            public: PublicKey::from_info(info.as_ref())?,
            encoding: EncodingKey::from_ec_der(private.as_ref()),
        }))
    }

    /// The key in the form that the token library signs with.
    pub(super) fn encoding(&self) -> &EncodingKey {
        &self.encoding
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Read {
        path: path.display().to_string(),
        source,
    })
}

fn blocks(pem: &[u8]) -> impl Iterator<Item = Result<(SectionKind, Vec<u8>), Error>> {
    <(SectionKind, Vec<u8>)>::pem_slice_iter(pem)
        .map(|block| block.map_err(|error| Error::Pem(error.to_string())))
}

fn pem_text(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<&str> = body
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap_or_default())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}
