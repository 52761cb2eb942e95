//! Whose token is this: TokenReview, which kubelets and webhooks ask.

use api_meta::object;
use api_meta::status::Status;
use serde_json::{Value, json};

use super::AUTHENTICATION;
use super::service::answered;
use crate::authn::Authenticator;
use crate::authn::service_account::Error;

/// The judgement on a token.
pub(super) async fn answer(authenticator: &Authenticator, body: Value) -> Result<Value, Status> {
    let token = object::str_at(&body, &["spec", "token"]).unwrap_or_default();
    if token.is_empty() {
        return Err(Status::bad_request(
            "token is required for TokenReview in authentication",
        ));
    }
    let audiences: Vec<String> = object::list_at(&body, &["spec", "audiences"])
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    let status = match authenticator.review(token, &audiences).await {
        Ok(found) => {
            json!({"authenticated": true, "user": found.user, "audiences": found.audiences})
        }
        Err(Error::Unavailable(why)) => return Err(Status::internal(why)),
        Err(Error::NotOurs) => json!({"user": {}, "error": Error::NotOurs.to_string()}),
        // Upstream asks several authenticators, of which one does not know the token at all.
        Err(error) => json!({"user": {}, "error": format!("[{}, {error}]", Error::NotOurs)}),
    };
    Ok(answered(body, "TokenReview", AUTHENTICATION, status))
}
