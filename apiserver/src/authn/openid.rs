//! The documents by which others verify our tokens: the issuer's configuration and its keys.
//! They hold public keys only.

use serde_json::{Value, json};

use super::keys;
use super::service_account::ServiceAccountTokens;

/// Where the configuration is served.
pub const CONFIGURATION_PATH: &str = "/.well-known/openid-configuration";
/// Where the keys are served.
pub const KEYS_PATH: &str = "/openid/v1/jwks";
/// Of the configuration.
pub const CONFIGURATION_TYPE: &str = "application/json";
/// Of the keys.
pub const KEYS_TYPE: &str = "application/jwk-set+json";
/// Both may be kept by clients for an hour.
pub const CACHE_CONTROL: &str = "public, max-age=3600";

/// The issuer's configuration. `None` if the issuer is no HTTPS URL: then there is none to serve.
/// `keys_url` is `https://ADDRESS/openid/v1/jwks` or what `--service-account-jwks-uri` says.
pub fn configuration(tokens: &ServiceAccountTokens, keys_url: &str) -> Option<Value> {
    let issuer = tokens.issuer();
    if !issuer.starts_with("https://") || issuer.contains(['?', '#']) {
        return None;
    }
    let mut algorithms: Vec<String> = tokens
        .verifying()
        .iter()
        .map(|key| format!("{:?}", key.algorithm))
        .collect();
    algorithms.sort();
    algorithms.dedup();
    Some(json!({
        "issuer": issuer,
        "jwks_uri": keys_url,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
    }))
}

/// The keys as a JWK set.
pub fn key_set(tokens: &ServiceAccountTokens) -> Result<Value, keys::Error> {
    let keys = tokens
        .verifying()
        .iter()
        .map(|key| {
            let jwk = key.jwk()?;
            serde_json::to_value(jwk).map_err(|error| keys::Error::Unsupported(error.to_string()))
        })
        .collect::<Result<Vec<Value>, keys::Error>>()?;
    Ok(json!({ "keys": keys }))
}
