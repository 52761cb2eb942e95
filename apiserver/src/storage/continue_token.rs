//! The token that continues a paged list: the revision and the key where the next page begins.
//!
//! Opaque to clients and checked when it comes back: it may only point behind the prefix of the
//! list that it is used with. The form is upstream's, so that replicas of both kinds agree.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

/// The version that the token carries.
const VERSION: &str = "meta.k8s.io/v1";

/// Where a list goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContinueToken {
    /// The list's revision; `None` continues at the newest one.
    pub revision: Option<u64>,
    /// The first key of the page, relative to the list's prefix.
    pub start: String,
}

/// A token that is not one of ours.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// It cannot be read.
    #[error("continue key is not valid: {0}")]
    Malformed(&'static str),
}

#[derive(Serialize, Deserialize)]
struct Wire {
    v: String,
    rv: i64,
    start: String,
}

impl ContinueToken {
    /// The token's text.
    pub fn encode(&self) -> String {
        let rv = self
            .revision
            .map_or(-1, |revision| i64::try_from(revision).unwrap_or(i64::MAX));
        let wire = serde_json::json!({ "v": VERSION, "rv": rv, "start": self.start });
        URL_SAFE_NO_PAD.encode(wire.to_string())
    }

    /// Reads a token that a client sent.
    pub fn decode(text: &str) -> Result<Self, Error> {
        let text = text.trim_end_matches('=');
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .or_else(|_| STANDARD_NO_PAD.decode(text))
            .map_err(|_| Error::Malformed("it is not base64"))?;
        let wire: Wire =
            serde_json::from_slice(&bytes).map_err(|_| Error::Malformed("it is not a token"))?;
        if wire.v != VERSION {
            return Err(Error::Malformed(
                "server does not recognize this encoded version",
            ));
        }
        if wire.rv == 0 {
            return Err(Error::Malformed("incorrect encoded start resourceVersion"));
        }
        if wire.start.is_empty() {
            return Err(Error::Malformed("encoded start key empty"));
        }
        // A key that climbs would read another kind's objects.
        if wire.start.split('/').any(|part| part == "..") {
            return Err(Error::Malformed("invalid encoded start key"));
        }
        Ok(Self {
            revision: u64::try_from(wire.rv).ok(),
            start: wire.start,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{ContinueToken, Error};

    #[test]
    fn comes_back_as_it_went() {
        for revision in [Some(7), None] {
            let token = ContinueToken {
                revision,
                start: "default/a\0".into(),
            };
            assert_eq!(ContinueToken::decode(&token.encode()), Ok(token));
        }
    }

    #[test]
    fn refuses_what_is_not_a_token() {
        for text in ["", "%%%", "e30", "bm8"] {
            assert!(ContinueToken::decode(text).is_err(), "{text}");
        }
        let climbing = ContinueToken {
            revision: Some(1),
            start: "../secrets/a".into(),
        };
        assert_eq!(
            ContinueToken::decode(&climbing.encode()),
            Err(Error::Malformed("invalid encoded start key"))
        );
    }
}
