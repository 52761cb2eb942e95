//! The order of the methods: certificate, token, nobody.
//!
//! A method that fails does not end the search: a valid token beside a bad certificate wins. But
//! who presented something, and nothing of it was good, is refused, and is never taken for an
//! anonymous user.

use std::sync::Arc;

use api_meta::status::Status;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use rustls::pki_types::UnixTime;

use super::service_account::{self, ServiceAccountTokens, unix_now};
use super::user::UserInfo;
use super::x509::{ClientCa, PeerChain};
use crate::cache::ObjectReader;

/// How a bearer token travels beside a WebSocket, where a browser cannot set headers.
const PROTOCOL_PREFIX: &str = "base64url.bearer.authorization.k8s.io.";

/// The settings of authentication.
#[derive(Clone, Debug)]
pub struct AuthnConfig {
    /// The authorities of client certificates. Without it certificates authenticate nobody.
    pub client_ca: Option<ClientCa>,
    /// Keys, issuers and audiences of service account tokens.
    pub service_accounts: service_account::Settings,
    /// Whether a request without credentials is a request of `system:anonymous`; else it is refused.
    pub anonymous: Anonymous,
}

/// What happens to requests without credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anonymous {
    /// They speak for `system:anonymous`.
    #[default]
    Allowed,
    /// They are refused with 401.
    Refused,
}

/// What TokenReview tells of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenAnswer {
    /// The user.
    pub user: UserInfo,
    /// Those of the asked audiences that the token is meant for.
    pub audiences: Vec<String>,
}

/// Finds the user of a request.
#[derive(Debug)]
pub struct Authenticator {
    client_ca: Option<ClientCa>,
    tokens: Arc<ServiceAccountTokens>,
    anonymous: Anonymous,
}

impl Authenticator {
    /// `reader` tells whether service accounts and the objects behind tokens still exist.
    pub fn new(config: AuthnConfig, reader: Arc<dyn ObjectReader>) -> Self {
        let tokens = Arc::new(ServiceAccountTokens::new(config.service_accounts, reader));
        Self {
            client_ca: config.client_ca,
            tokens,
            anonymous: config.anonymous,
        }
    }

    /// The tokens of service accounts, for `serviceaccounts/token` and the discovery documents.
    pub fn tokens(&self) -> &Arc<ServiceAccountTokens> {
        &self.tokens
    }

    /// The user of a request: anonymous where nothing is presented, 401 where nothing presented is
    /// good. The caller removes the `Authorization` header from what it passes on.
    pub async fn authenticate(
        &self,
        peer: Option<&PeerChain>,
        headers: &HeaderMap,
    ) -> Result<UserInfo, Status> {
        let mut failures = Vec::new();
        if let (Some(ca), Some(chain)) = (&self.client_ca, peer) {
            match ca.authenticate(chain, UnixTime::now()) {
                Ok(Some(user)) => return Ok(user.authenticated()),
                Ok(None) => {}
                Err(error) => failures.push(base::report(&error).to_string()),
            }
        }
        if let Some(token) = bearer_token(headers) {
            match self.tokens.verify(&token, &[], unix_now()).await {
                Ok((user, _)) => return Ok(user.authenticated()),
                Err(error) => failures.push(error.to_string()),
            }
        }
        if !failures.is_empty() {
            // Who it was is unknown, so the reason is for the log and not for the client.
            tracing::warn!(
                reasons = failures.join("; "),
                "unable to authenticate the request"
            );
            return Err(Status::unauthorized());
        }
        match self.anonymous {
            Anonymous::Allowed => Ok(UserInfo::anonymous()),
            Anonymous::Refused => Err(Status::unauthorized()),
        }
    }

    /// Judges a token for somebody else, as TokenReview asks.
    pub async fn review(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<TokenAnswer, service_account::Error> {
        let (user, audiences) = self.tokens.verify(token, audiences, unix_now()).await?;
        Ok(TokenAnswer {
            user: user.authenticated(),
            audiences,
        })
    }
}

/// The token of `Authorization: Bearer`, or of a WebSocket's sub-protocols.
fn bearer_token(headers: &HeaderMap) -> Option<String> {
    if let Some(value) = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
    {
        let (scheme, token) = value.trim().split_once(' ')?;
        let token = token.split(' ').next().unwrap_or_default();
        return (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty())
            .then(|| token.to_owned());
    }
    let encoded = headers
        .get_all("sec-websocket-protocol")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(|protocol| protocol.trim().strip_prefix(PROTOCOL_PREFIX))?;
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(encoded)
        .ok()?;
    String::from_utf8(bytes)
        .ok()
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests;
