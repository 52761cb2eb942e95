//! Which question is which, and what is needed to answer them.

use std::sync::Arc;

use api_meta::object;
use api_meta::status::Status;
use serde_json::{Value, json};

use super::{AUTHENTICATION, AUTHORIZATION, access, rules, token_request, token_review};
use crate::authn::{Authenticator, UserInfo};
use crate::authz::Chain;
use crate::cache::ObjectReader;

/// What the answers come from.
pub struct Parts {
    /// Knows users and tokens.
    pub authenticator: Arc<Authenticator>,
    /// Knows permissions.
    pub authorizer: Arc<Chain>,
    /// Knows service accounts and what tokens are bound to.
    pub reader: Arc<dyn ObjectReader>,
    /// The longest life of a token, in seconds; none: as long as asked.
    pub token_seconds_max: Option<i64>,
}

/// Answers reviews. Cheap to clone.
#[derive(Clone)]
pub struct Reviews {
    parts: Arc<Parts>,
}

impl std::fmt::Debug for Reviews {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reviews")
    }
}

/// A question, as its path names it.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The API group.
    pub group: &'a str,
    /// The resource; for tokens `serviceaccounts`.
    pub resource: &'a str,
    /// The subresource; for tokens `token`.
    pub subresource: &'a str,
    /// The namespace, or empty.
    pub namespace: &'a str,
    /// The name; the service account for tokens.
    pub name: &'a str,
}

impl Question<'_> {
    /// True if this path asks a question that this room answers.
    pub fn is_review(&self) -> bool {
        match (self.group, self.resource, self.subresource) {
            (AUTHENTICATION, "tokenreviews" | "selfsubjectreviews", "")
            | ("", "serviceaccounts", "token") => true,
            (AUTHORIZATION, resource, "") => matches!(
                resource,
                "subjectaccessreviews"
                    | "localsubjectaccessreviews"
                    | "selfsubjectaccessreviews"
                    | "selfsubjectrulesreviews"
            ),
            _ => false,
        }
    }
}

impl Reviews {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        Self {
            parts: Arc::new(parts),
        }
    }

    /// The answer: the body with its status. `warn` takes what the client should know besides.
    pub async fn handle(
        &self,
        question: &Question<'_>,
        body: Value,
        user: &UserInfo,
        warn: &(dyn Fn(String) + Send + Sync),
    ) -> Result<Value, Status> {
        let Parts {
            authenticator,
            authorizer,
            reader,
            token_seconds_max,
        } = &*self.parts;
        if !body.is_object() {
            return Err(Status::bad_request("the body is not an object"));
        }
        match (question.group, question.resource, question.subresource) {
            (AUTHENTICATION, "tokenreviews", "") => token_review::answer(authenticator, body).await,
            (AUTHENTICATION, "selfsubjectreviews", "") => Ok(who_am_i(user)),
            (AUTHORIZATION, "subjectaccessreviews", "") => access::of_anyone(&**authorizer, body),
            (AUTHORIZATION, "localsubjectaccessreviews", "") => {
                access::local(&**authorizer, body, question.namespace)
            }
            (AUTHORIZATION, "selfsubjectaccessreviews", "") => {
                access::of_oneself(&**authorizer, body, user)
            }
            (AUTHORIZATION, "selfsubjectrulesreviews", "") => {
                rules::answer(&**authorizer, &body, user)
            }
            ("", "serviceaccounts", "token") => {
                let request = token_request::Request {
                    namespace: question.namespace,
                    account: question.name,
                    seconds_max: *token_seconds_max,
                    warn,
                };
                token_request::answer(authenticator.tokens(), &**reader, &request, body).await
            }
            _ => Err(Status::unknown_path()),
        }
    }
}

fn who_am_i(user: &UserInfo) -> Value {
    json!({
        "kind": "SelfSubjectReview",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"creationTimestamp": api_meta::time::format(jiff::Timestamp::now())},
        "status": {"userInfo": user},
    })
}

/// The body with type and status set, and without what the caller wrote there.
pub(super) fn answered(mut body: Value, kind: &str, group: &str, status: Value) -> Value {
    object::set_type(&mut body, &format!("{group}/v1"), kind);
    if object::at(&body, &["metadata"]).is_none() {
        object::set(&mut body, &["metadata"], json!({}));
    }
    object::set(&mut body, &["status"], status);
    body
}

#[cfg(test)]
mod tests;
