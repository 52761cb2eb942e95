//! `Status`: how the API says that a request failed, or that a deletion succeeded.
//!
//! Each constructor is one refusal of upstream's with its code, reason and exact text, so that
//! clients which match on them keep working. Nothing here writes HTTP.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cause::Cause;
use crate::gvk::qualified;

/// An answer of kind `Status`, version `v1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    kind: Kind,
    #[serde(rename = "apiVersion")]
    api_version: ApiVersion,
    #[serde(default)]
    metadata: Metadata,
    /// `Success` or `Failure`.
    #[serde(default)]
    pub status: Outcome,
    /// What happened, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What happened, for machines.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Which object and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
    /// The HTTP status code.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub code: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Status,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum ApiVersion {
    #[serde(rename = "v1")]
    V1,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Metadata {
    #[serde(default, rename = "continue", skip_serializing_if = "String::is_empty")]
    continue_token: String,
}

/// Whether the request did what it asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It did.
    Success,
    /// It did not.
    #[default]
    Failure,
}

/// The object that a Status is about, and the causes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// The name of the object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Its resource or kind.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Its UID.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// The causes, one per fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// When to try again.
    #[serde(default, skip_serializing_if = "is_zero_seconds")]
    pub retry_after_seconds: u32,
}

fn is_zero(code: &u16) -> bool {
    *code == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero_seconds(seconds: &u32) -> bool {
    *seconds == 0
}

impl Status {
    /// A failure with a code, a reason and a message.
    pub fn failure(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Status,
            api_version: ApiVersion::V1,
            metadata: Metadata::default(),
            status: Outcome::Failure,
            message: message.into(),
            reason: reason.to_owned(),
            details: None,
            code,
        }
    }

    /// The success that a deletion answers with, naming what was deleted.
    pub fn success(details: Details) -> Self {
        Self {
            status: Outcome::Success,
            details: Some(details),
            ..Self::failure(0, "", "")
        }
    }

    /// The same Status about an object.
    #[must_use]
    pub fn about(mut self, group: &str, kind: &str, name: &str) -> Self {
        let details = self.details.get_or_insert_default();
        details.group = group.to_owned();
        details.kind = kind.to_owned();
        details.name = name.to_owned();
        self
    }

    /// The same Status with one more cause.
    #[must_use]
    pub fn with_cause(mut self, cause: Cause) -> Self {
        self.details.get_or_insert_default().causes.push(cause);
        self
    }

    /// The same Status with the seconds after which to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.details.get_or_insert_default().retry_after_seconds = seconds;
        self
    }

    /// The same Status with a token to continue a list with.
    #[must_use]
    pub fn with_continue(mut self, token: impl Into<String>) -> Self {
        self.metadata.continue_token = token.into();
        self
    }

    /// The seconds after which to try again, if the Status says so.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        self.details
            .as_ref()
            .map(|details| details.retry_after_seconds)
            .filter(|s| *s > 0)
    }

    /// Whether the reason is the given one.
    pub fn is(&self, reason: &str) -> bool {
        self.reason == reason
    }

    /// The JSON form, ended by a newline as upstream does.
    pub fn to_json(&self) -> Vec<u8> {
        // A struct of strings and numbers always has a JSON form.
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

/// The refusals, each with upstream's text.
impl Status {
    /// 404: no such object.
    pub fn not_found(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} {} not found", qualified(group, resource), q(name));
        Self::failure(404, "NotFound", message).about(group, resource, name)
    }

    /// 404: nothing is served at this path.
    pub fn unknown_path() -> Self {
        let mut status = Self::failure(
            404,
            "NotFound",
            "the server could not find the requested resource",
        );
        status.details = Some(Details::default());
        status
    }

    /// 409: the name is taken.
    pub fn already_exists(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} {} already exists", qualified(group, resource), q(name));
        Self::failure(409, "AlreadyExists", message).about(group, resource, name)
    }

    /// 409: no free name was found for a generateName.
    pub fn generate_name_conflict(group: &str, resource: &str, name: &str) -> Self {
        let message = format!(
            "{} {} already exists, the server was not able to generate a unique name for the object",
            qualified(group, resource),
            q(name)
        );
        Self::failure(409, "AlreadyExists", message)
            .about(group, resource, name)
            .retry_after(1)
    }

    /// 409: the write does not fit the object as it is now.
    pub fn conflict(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {}: {why}",
            qualified(group, resource),
            q(name)
        );
        Self::failure(409, "Conflict", message).about(group, resource, name)
    }

    /// 409: the resourceVersion of an update is not the current one.
    pub fn modified(group: &str, resource: &str, name: &str) -> Self {
        const WHY: &str = "the object has been modified; please apply your changes to the latest \
                           version and try again";
        Self::conflict(group, resource, name, WHY)
    }

    /// 401: nobody knows who asks.
    pub fn unauthorized() -> Self {
        Self::failure(401, "Unauthorized", "Unauthorized")
    }

    /// 403: the asker may not do this, or admission refuses it. An empty resource and an empty name
    /// are left out of the text.
    pub fn forbidden(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let message = if group.is_empty() && resource.is_empty() {
            format!("forbidden: {why}")
        } else if name.is_empty() {
            format!("{} is forbidden: {why}", qualified(group, resource))
        } else {
            format!(
                "{} {} is forbidden: {why}",
                qualified(group, resource),
                q(name)
            )
        };
        Self::failure(403, "Forbidden", message).about(group, resource, name)
    }

    /// 422: the object has faults.
    pub fn invalid(group: &str, kind: &str, name: &str, causes: Vec<Cause>) -> Self {
        let mut texts: Vec<String> = Vec::with_capacity(causes.len());
        for cause in &causes {
            let text = cause.to_string();
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let head = format!("{} {} is invalid", qualified(group, kind), q(name));
        let message = match texts.as_slice() {
            [] => head,
            [one] => format!("{head}: {one}"),
            many => format!("{head}: [{}]", many.join(", ")),
        };
        let mut status = Self::failure(422, "Invalid", message).about(group, kind, name);
        if let Some(details) = &mut status.details {
            details.causes = causes;
        }
        status
    }

    /// 400: the request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::failure(400, "BadRequest", message)
    }

    /// 410: what was asked for is gone for good.
    pub fn gone(message: impl Into<String>) -> Self {
        Self::failure(410, "Gone", message)
    }

    /// 410: the resourceVersion or continue token is too old.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::failure(410, "Expired", message)
    }

    /// 405: the resource does not support the action.
    pub fn method_not_allowed(group: &str, resource: &str, action: &str) -> Self {
        let name = qualified(group, resource);
        let message = format!(
            "{action} is not supported on resources of kind {}",
            q(&name)
        );
        Self::failure(405, "MethodNotAllowed", message).about(group, resource, "")
    }

    /// 405: the path does not support the method.
    pub fn method_not_served() -> Self {
        let message = "the server does not allow this method on the requested resource";
        let mut status = Self::failure(405, "MethodNotAllowed", message);
        status.details = Some(Details::default());
        status
    }

    /// 406: none of the accepted media types can be produced.
    pub fn not_acceptable(accepted: &[&str]) -> Self {
        let message = format!(
            "only the following media types are accepted: {}",
            accepted.join(", ")
        );
        Self::failure(406, "NotAcceptable", message)
    }

    /// 415: the body's media type cannot be read.
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::failure(415, "UnsupportedMediaType", message)
    }

    /// 413: the request is larger than allowed.
    pub fn too_large(message: &str) -> Self {
        let message = format!("Request entity too large: {message}");
        Self::failure(413, "RequestEntityTooLarge", message)
    }

    /// 504: the asked resourceVersion has not been reached in time.
    pub fn too_large_resource_version(asked: u64, current: u64) -> Self {
        let mut status = Self::timeout(&format!(
            "Too large resource version: {asked}, current: {current}"
        ))
        .retry_after(1);
        status = status.with_cause(Cause::new(
            "ResourceVersionTooLarge",
            "",
            "Too large resource version",
        ));
        status
    }

    /// 504: it took too long.
    pub fn timeout(message: &str) -> Self {
        Self::failure(504, "Timeout", format!("Timeout: {message}"))
    }

    /// 500: the operation did not finish in time, and can be tried again.
    pub fn server_timeout(group: &str, resource: &str, operation: &str, retry_after: u32) -> Self {
        let message = format!(
            "The {operation} operation against {} could not be completed at this time, please try again.",
            qualified(group, resource)
        );
        let status = Self::failure(500, "ServerTimeout", message);
        status
            .about(group, resource, operation)
            .retry_after(retry_after)
    }

    /// 429: try again later.
    pub fn too_many_requests(message: impl Into<String>, retry_after: u32) -> Self {
        let mut status = Self::failure(429, "TooManyRequests", message);
        status.details.get_or_insert_default().retry_after_seconds = retry_after;
        status
    }

    /// 503: not now.
    pub fn service_unavailable(message: impl Into<String>) -> Self {
        Self::failure(503, "ServiceUnavailable", message)
    }

    /// 500: our fault.
    pub fn internal(error: impl fmt::Display) -> Self {
        let cause = Cause {
            message: error.to_string(),
            ..Cause::default()
        };
        let message = format!("Internal error occurred: {error}");
        Self::failure(500, "InternalError", message).with_cause(cause)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

fn q(text: &str) -> String {
    crate::cause::quoted(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(status: &Status, expected: &serde_json::Value) {
        assert_eq!(&serde_json::to_value(status).unwrap(), expected);
        let back: Status = serde_json::from_slice(&status.to_json()).unwrap();
        assert_eq!(&back, status);
    }

    #[test]
    fn a_missing_object() {
        check(
            &Status::not_found("apps", "deployments", "x"),
            &json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "deployments.apps \"x\" not found", "reason": "NotFound",
                "details": {"name": "x", "group": "apps", "kind": "deployments"}, "code": 404
            }),
        );
    }

    #[test]
    fn faults_are_said_once_each() {
        let fault = Cause::required("spec.a", "");
        let one = Status::invalid("apps", "Deployment", "x", vec![fault.clone()]);
        assert_eq!(
            one.message,
            "Deployment.apps \"x\" is invalid: spec.a: Required value"
        );
        let other = Cause::invalid("b", 1, "no");
        let two = Status::invalid("", "Pod", "x", vec![fault.clone(), fault, other]);
        assert_eq!(
            two.message,
            "Pod \"x\" is invalid: [spec.a: Required value, b: Invalid value: 1: no]"
        );
        assert_eq!(two.details.unwrap().causes.len(), 3);
    }

    #[test]
    fn a_deletion_that_worked() {
        let details = Details {
            name: "x".into(),
            kind: "pods".into(),
            uid: "u".into(),
            ..Details::default()
        };
        check(
            &Status::success(details),
            &json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
                "details": {"name": "x", "kind": "pods", "uid": "u"}
            }),
        );
    }

    #[test]
    fn a_version_that_is_not_there_yet() {
        let status = Status::too_large_resource_version(9, 3);
        assert_eq!(
            status.message,
            "Timeout: Too large resource version: 9, current: 3"
        );
        assert_eq!(status.retry_after_seconds(), Some(1));
        assert_eq!(
            status.details.unwrap().causes[0].reason,
            "ResourceVersionTooLarge"
        );
    }

    #[test]
    fn forbidden_leaves_out_what_is_empty() {
        assert_eq!(Status::forbidden("", "", "", "x").message, "forbidden: x");
        assert_eq!(
            Status::forbidden("", "pods", "", "x").message,
            "pods is forbidden: x"
        );
        assert_eq!(
            Status::forbidden("g", "pods", "n", "x").message,
            "pods.g \"n\" is forbidden: x"
        );
    }
}
