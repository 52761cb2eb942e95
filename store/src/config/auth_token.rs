//! The text of `--auth-token`: a kind of tokens and its options.

use std::path::PathBuf;
use std::time::Duration;

use jsonwebtoken::Algorithm;

use super::text;

/// How long a signed token holds unless the options say otherwise, as in etcd.
const JWT_TTL_DEFAULT: Duration = Duration::from_secs(300);

/// What `--auth-token` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthToken {
    /// `simple`: random ones that the members remember.
    Simple,
    /// `jwt,sign-method=…`: signed ones.
    Jwt(JwtOptions),
    /// Empty: none.
    Off,
}

/// The options of signed tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtOptions {
    /// `sign-method`.
    pub method: Algorithm,
    /// `pub-key`: where the public key is; without the private one, tokens are only read.
    pub public_key: Option<PathBuf>,
    /// `priv-key`: where the private key or the secret is.
    pub private_key: Option<PathBuf>,
    /// `ttl`.
    pub ttl: Duration,
}

impl AuthToken {
    /// Reads the text. The words of a fault begin as etcd's, which says no more.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let fault = |why: &str| format!("auth: invalid auth options: --auth-token={text:?}: {why}");
        let mut parts = text.split(',');
        let kind = parts.next().unwrap_or_default();
        let mut options: Vec<(&str, &str)> = Vec::new();
        for part in parts {
            let (name, value) = part
                .split_once('=')
                .filter(|(_, value)| !value.contains('='))
                .ok_or_else(|| fault(&format!("{part:?} is not an option and its value")))?;
            if options.iter().any(|(given, _)| *given == name) {
                return Err(fault(&format!("{name:?} is given twice")));
            }
            options.push((name, value));
        }
        match kind {
            "" => Ok(Self::Off),
            "simple" => Ok(Self::Simple),
            "jwt" => jwt(&options).map(Self::Jwt).map_err(|why| fault(&why)),
            _ => Err(fault("there are the kinds simple and jwt")),
        }
    }
}

/// Unknown options are passed over, as in etcd.
fn jwt(options: &[(&str, &str)]) -> Result<JwtOptions, String> {
    let value = |name: &str| {
        let mut all = options.iter();
        let found = all.find(|(given, value)| *given == name && !value.is_empty());
        found.map(|(_, value)| *value)
    };
    let name = value("sign-method").unwrap_or_default();
    let method = name.parse().map_err(|_| {
        format!(
            "sign-method={name:?} is none of HS, RS and PS256, 384 and 512, ES256 and 384, EdDSA"
        )
    })?;
    let ttl = match value("ttl") {
        None => JWT_TTL_DEFAULT,
        Some(ttl) => text::duration(ttl).map_err(|_| format!("ttl={ttl:?} is not a duration"))?,
    };
    Ok(JwtOptions {
        method,
        public_key: value("pub-key").map(PathBuf::from),
        private_key: value("priv-key").map(PathBuf::from),
        ttl,
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use jsonwebtoken::Algorithm;

    use super::{AuthToken, JwtOptions};

    #[test]
    fn kinds_and_options_are_read() {
        let jwt = |method, ttl| JwtOptions {
            method,
            public_key: None,
            private_key: Some(PathBuf::from("/k")),
            ttl: Duration::from_secs(ttl),
        };
        let cases = [
            ("simple", AuthToken::Simple),
            ("simple,x=y", AuthToken::Simple),
            ("", AuthToken::Off),
            (
                "jwt,sign-method=ES256,priv-key=/k",
                AuthToken::Jwt(jwt(Algorithm::ES256, 300)),
            ),
            (
                "jwt,pub-key=,priv-key=/k,sign-method=HS512,ttl=1h5m,new=1",
                AuthToken::Jwt(jwt(Algorithm::HS512, 3_900)),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(AuthToken::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn faults_begin_with_etcds_words() {
        let cases = [
            ("x", "there are the kinds"),
            ("jwt", "sign-method=\"\""),
            ("jwt,sign-method=ES512", "sign-method=\"ES512\""),
            ("jwt,sign-method=none", "sign-method=\"none\""),
            ("jwt,sign-method=HS256,ttl=x", "ttl=\"x\""),
            ("jwt,sign-method", "not an option"),
            ("jwt,a=b=c", "not an option"),
            ("jwt,ttl=1s,ttl=2s", "given twice"),
        ];
        for (text, words) in cases {
            let fault = AuthToken::parse(text).unwrap_err();
            let begins = fault.starts_with("auth: invalid auth options");
            assert!(begins && fault.contains(words), "{fault}");
        }
    }
}
