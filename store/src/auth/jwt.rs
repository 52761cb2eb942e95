//! Tokens that prove themselves: JSON Web Tokens, signed by a key that the members share.
//!
//! A token names its user and the revision of the auth state that it was made at, so that any change
//! of users or roles makes all of them old. Time comes from the caller.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, RsaKeyPair,
};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey, Header, Validation};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};

use super::Identity;
use crate::config::JwtOptions;

/// Why there are no tokens of this kind. The words are etcd's where it has some.
#[derive(Debug, thiserror::Error)]
pub enum JwtError {
    /// A file cannot be read.
    #[error("open {}", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// Neither key was given, or not the one that the method needs.
    #[error("auth: missing key data")]
    MissingKey,
    /// The two keys do not belong together.
    #[error("auth: public and private keys don't match")]
    KeyMismatch,
    /// A file does not hold a key of the kind that the method needs.
    #[error("{} holds no {kind} key for {method:?}", path.display())]
    BadKey {
        /// The file.
        path: PathBuf,
        /// Public or private.
        kind: &'static str,
        /// The method.
        method: Algorithm,
    },
    /// Only the public key was given: tokens are made elsewhere.
    #[error("auth: token signing attempted with verify-only key")]
    VerifyOnly,
    /// The key signs nothing.
    #[error("the token cannot be signed")]
    Sign(#[source] jsonwebtoken::errors::Error),
}

/// Makes tokens and reads them.
pub struct Jwt {
    method: Algorithm,
    /// None if tokens are made elsewhere.
    signing: Option<EncodingKey>,
    verifying: DecodingKey,
    ttl: Duration,
}

#[derive(Serialize)]
struct Made<'a> {
    username: &'a str,
    revision: u64,
    exp: u64,
}

#[derive(Deserialize)]
struct Claims {
    username: String,
    revision: serde_json::Number,
    exp: Option<f64>,
    nbf: Option<f64>,
}

impl Jwt {
    /// Reads the keys. Blocks on files.
    pub fn open(options: &JwtOptions) -> Result<Self, JwtError> {
        let (signing, verifying) = match options.method.family() {
            AlgorithmFamily::Hmac => {
                let path = options.private_key.as_ref().ok_or(JwtError::MissingKey)?;
                let secret = read(path)?;
                if secret.is_empty() {
                    return Err(JwtError::MissingKey);
                }
                let verifying = DecodingKey::from_secret(&secret);
                (Some(EncodingKey::from_secret(&secret)), verifying)
            }
            _ => pair(options)?,
        };
        Ok(Self {
            method: options.method,
            signing,
            verifying,
            ttl: options.ttl,
        })
    }

    /// Makes a token at `now`, in seconds since 1970.
    pub fn make(&self, user: &str, revision: u64, now: u64) -> Result<String, JwtError> {
        let key = self.signing.as_ref().ok_or(JwtError::VerifyOnly)?;
        let claims = Made {
            username: user,
            revision,
            exp: now.saturating_add(self.ttl.as_secs()),
        };
        jsonwebtoken::encode(&Header::new(self.method), &claims, key).map_err(JwtError::Sign)
    }

    /// Whom a token speaks for at `now`, in seconds since 1970; none if it proves nothing.
    pub fn read(&self, token: &str, now: u64) -> Option<Identity> {
        // The method comes from the settings, never from the token. Times are looked at below.
        let mut validation = Validation::new(self.method);
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let read = jsonwebtoken::decode::<Claims>(token, &self.verifying, &validation);
        let claims = read.ok()?.claims;
        #[expect(
            clippy::cast_precision_loss,
            reason = "exact for the next million years"
        )]
        let now = now as f64;
        if claims.exp.is_some_and(|exp| now >= exp) || claims.nbf.is_some_and(|nbf| now < nbf) {
            return None;
        }
        Some(Identity {
            user: claims.username,
            revision: whole(&claims.revision)?,
        })
    }
}

/// Numbers in tokens that others made may have a point in them.
fn whole(number: &serde_json::Number) -> Option<u64> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let from_float = || {
        let float = number
            .as_f64()
            .filter(|float| (0.0..EXACT_MAX).contains(float))?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within bounds"
        )]
        let whole = float as u64;
        Some(whole)
    };
    number.as_u64().or_else(from_float)
}

/// The keys of a method that has two, of which the public one follows from the private one.
fn pair(options: &JwtOptions) -> Result<(Option<EncodingKey>, DecodingKey), JwtError> {
    let method = options.method;
    let fault = |path: &Path, kind| JwtError::BadKey {
        path: path.into(),
        kind,
        method,
    };
    let mut private = None;
    if let Some(path) = &options.private_key {
        private = Some(private_key(method, &read(path)?).ok_or_else(|| fault(path, "private"))?);
    }
    let mut public = None;
    if let Some(path) = &options.public_key {
        public = Some(public_key(method, &read(path)?).ok_or_else(|| fault(path, "public"))?);
    }
    match (private, public) {
        (None, None) => Err(JwtError::MissingKey),
        (None, Some(public)) => Ok((None, public)),
        (Some((signing, verifying)), None) => Ok((Some(signing), verifying)),
        (Some((signing, verifying)), Some(public)) => {
            match (verifying.try_get_as_bytes(), public.try_get_as_bytes()) {
                (Ok(own), Ok(given)) if own == given => Ok((Some(signing), verifying)),
                _ => Err(JwtError::KeyMismatch),
            }
        }
    }
}

fn private_key(method: Algorithm, pem: &[u8]) -> Option<(EncodingKey, DecodingKey)> {
    let der = || PrivateKeyDer::from_pem_slice(pem).ok();
    match method.family() {
        AlgorithmFamily::Rsa => {
            let signing = EncodingKey::from_rsa_pem(pem).ok()?;
            let pair = RsaKeyPair::from_der(signing.as_bytes()).ok()?;
            let verifying = DecodingKey::from_rsa_der(pair.public_key().as_ref());
            Some((signing, verifying))
        }
        AlgorithmFamily::Ec => {
            let curve = match method {
                Algorithm::ES384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
                _ => &ECDSA_P256_SHA256_FIXED_SIGNING,
            };
            let pair = EcdsaKeyPair::from_private_key_der(curve, der()?.secret_der()).ok()?;
            let signing = EncodingKey::from_ec_der(pair.to_pkcs8v1().ok()?.as_ref());
            let verifying = DecodingKey::from_ec_der(pair.public_key().as_ref());
            Some((signing, verifying))
        }
        AlgorithmFamily::Ed => {
            let der = der()?;
            let pair = Ed25519KeyPair::from_pkcs8(der.secret_der()).ok()?;
            let verifying = DecodingKey::from_ed_der(pair.public_key().as_ref());
            Some((EncodingKey::from_ed_der(der.secret_der()), verifying))
        }
        AlgorithmFamily::Hmac => None,
    }
}

fn public_key(method: Algorithm, pem: &[u8]) -> Option<DecodingKey> {
    match method.family() {
        AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(pem).ok(),
        AlgorithmFamily::Ec => DecodingKey::from_ec_pem(pem).ok(),
        AlgorithmFamily::Ed => DecodingKey::from_ed_pem(pem).ok(),
        AlgorithmFamily::Hmac => None,
    }
}

fn read(path: &Path) -> Result<Vec<u8>, JwtError> {
    std::fs::read(path).map_err(|error| JwtError::Read(path.into(), error))
}

#[cfg(test)]
mod tests;
