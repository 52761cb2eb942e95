//! Keys of every kind, in the forms that OpenSSL writes: tokens made with one are read with it and
//! with nothing else.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair as Rsa, KeySize};
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;

use super::{Jwt, JwtError};
use crate::auth::Identity;
use crate::config::JwtOptions;

const NOW: u64 = 1_700_000_000;

fn pem(label: &str, der: &[u8]) -> String {
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        STANDARD.encode(der)
    )
}

/// A private key and its public one.
fn keys(method: Algorithm) -> (String, String) {
    let (private, public): (Vec<u8>, Vec<u8>) = match method {
        Algorithm::ES256 | Algorithm::ES384 => {
            let curve = match method {
                Algorithm::ES256 => &super::ECDSA_P256_SHA256_FIXED_SIGNING,
                _ => &super::ECDSA_P384_SHA384_FIXED_SIGNING,
            };
            let pair = EcdsaKeyPair::generate(curve).unwrap();
            let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
            let public = public.as_ref().to_vec();
            (pair.to_pkcs8v1().unwrap().as_ref().to_vec(), public)
        }
        Algorithm::EdDSA => {
            let pair = Ed25519KeyPair::generate().unwrap();
            let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
            let public = public.as_ref().to_vec();
            (pair.to_pkcs8v1().unwrap().as_ref().to_vec(), public)
        }
        _ => {
            let pair = Rsa::generate(KeySize::Rsa2048).unwrap();
            let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
            let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
            let public = public.as_ref().to_vec();
            (private.as_ref().to_vec(), public)
        }
    };
    (pem("PRIVATE KEY", &private), pem("PUBLIC KEY", &public))
}

fn write(dir: &Path, name: &str, text: &str) -> Option<PathBuf> {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    Some(path)
}

fn open(
    method: Algorithm,
    private_key: Option<PathBuf>,
    public_key: Option<PathBuf>,
) -> Result<Jwt, JwtError> {
    Jwt::open(&JwtOptions {
        method,
        public_key,
        private_key,
        ttl: Duration::from_secs(60),
    })
}

fn ann(revision: u64) -> Option<Identity> {
    let user = "ann".into();
    Some(Identity { user, revision })
}

#[test]
fn tokens_are_made_with_one_key_and_read_with_its_other_half() {
    use Algorithm::{ES256, ES384, EdDSA, PS512, RS256};
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for method in [RS256, PS512, ES256, ES384, EdDSA] {
        let (private, public) = keys(method);
        let (private, public) = (
            write(dir, "private", &private),
            write(dir, "public", &public),
        );
        let other = write(dir, "other", &keys(method).1);
        let maker = open(method, private.clone(), None).unwrap();
        let token = maker.make("ann", 7, NOW).unwrap();
        assert_eq!(maker.read(&token, NOW), ann(7), "{method:?}");
        assert_eq!(maker.read(&token, NOW + 59), ann(7), "{method:?}");
        assert_eq!(
            maker.read(&token, NOW + 60),
            None,
            "{method:?}: it has ended"
        );
        let reader = open(method, None, public.clone()).unwrap();
        assert_eq!(reader.read(&token, NOW), ann(7), "{method:?}");
        let refused = reader.make("ann", 7, NOW);
        assert!(matches!(refused, Err(JwtError::VerifyOnly)), "{method:?}");
        let stranger = open(method, None, other.clone()).unwrap();
        assert_eq!(stranger.read(&token, NOW), None, "{method:?}");
        assert!(
            open(method, private.clone(), public.clone()).is_ok(),
            "{method:?}"
        );
        let unlike = open(method, private.clone(), other);
        assert!(matches!(unlike, Err(JwtError::KeyMismatch)), "{method:?}");
        let swapped = open(method, public, private);
        assert!(
            matches!(swapped, Err(JwtError::BadKey { .. })),
            "{method:?}"
        );
        assert!(matches!(
            open(method, None, None),
            Err(JwtError::MissingKey)
        ));
        let gone = open(method, Some(dir.join("gone")), None);
        assert!(matches!(gone, Err(JwtError::Read(..))), "{method:?}");
    }
}

#[test]
fn a_secret_is_the_whole_file() {
    let dir = tempfile::tempdir().unwrap();
    let secret = write(dir.path(), "secret", "secret\n");
    let jwt = open(Algorithm::HS256, secret, None).unwrap();
    let token = jwt.make("ann", 7, NOW).unwrap();
    assert_eq!(jwt.read(&token, NOW), ann(7));
    let shorter = write(dir.path(), "shorter", "secret");
    let other = open(Algorithm::HS256, shorter.clone(), None).unwrap();
    assert_eq!(other.read(&token, NOW), None);
    let public = open(Algorithm::HS256, None, shorter);
    assert!(matches!(public, Err(JwtError::MissingKey)));
    let empty = write(dir.path(), "empty", "");
    assert!(matches!(
        open(Algorithm::HS256, empty, None),
        Err(JwtError::MissingKey)
    ));
}

#[test]
fn the_older_form_of_keys_on_curves_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let pair = EcdsaKeyPair::generate(&super::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let old: aws_lc_rs::encoding::EcPrivateKeyRfc5915Der<'_> = pair.private_key().as_der().unwrap();
    let private = write(dir.path(), "old", &pem("EC PRIVATE KEY", old.as_ref()));
    let jwt = open(Algorithm::ES256, private.clone(), None).unwrap();
    let token = jwt.make("ann", 7, NOW).unwrap();
    assert_eq!(jwt.read(&token, NOW), ann(7));
    let wrong_curve = open(Algorithm::ES384, private, None);
    assert!(matches!(wrong_curve, Err(JwtError::BadKey { .. })));
}

/// A token with these claims, signed with the secret `secret`.
fn signed(header: &str, claims: &str) -> String {
    let body = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"secret");
    let signature = aws_lc_rs::hmac::sign(&key, body.as_bytes());
    format!("{body}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn what_proves_nothing_is_nobodys() {
    let dir = tempfile::tempdir().unwrap();
    let secret = write(dir.path(), "secret", "secret");
    let jwt = open(Algorithm::HS256, secret, None).unwrap();
    let read = |header: &str, claims: &str| jwt.read(&signed(header, claims), NOW);
    let header = r#"{"alg":"HS256","typ":"JWT"}"#;
    let good = [
        r#"{"username":"ann","revision":7}"#,
        r#"{"username":"ann","revision":7.0,"exp":1700000001,"aud":"x","iss":"y"}"#,
        r#"{"username":"ann","revision":7,"exp":1700000000.5,"nbf":1700000000}"#,
    ];
    for claims in good {
        assert_eq!(read(header, claims), ann(7), "{claims}");
    }
    let bad = [
        r#"{"username":"ann","revision":7,"exp":1700000000}"#,
        r#"{"username":"ann","revision":7,"exp":"soon"}"#,
        r#"{"username":"ann","revision":7,"nbf":1700000001}"#,
        r#"{"username":"ann","revision":"7"}"#,
        r#"{"username":"ann","revision":-7}"#,
        r#"{"username":"ann"}"#,
        r#"{"username":7,"revision":7}"#,
        r#"{"revision":7}"#,
    ];
    for claims in bad {
        assert_eq!(read(header, claims), None, "{claims}");
    }
    for header in [
        r#"{"alg":"HS512"}"#,
        r#"{"alg":"none"}"#,
        r#"{"alg":"RS256"}"#,
        "{}",
    ] {
        assert_eq!(read(header, good[0]), None, "{header}");
    }
    for token in ["", "a.1", "a.b.c"] {
        assert_eq!(jwt.read(token, NOW), None, "{token}");
    }
}
