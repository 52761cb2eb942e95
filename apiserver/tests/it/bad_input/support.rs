//! One table for every theme: what is sent, and what must come back.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::Client;

/// The ConfigMaps of the namespace `default`.
pub(super) const MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// What most bodies are.
pub(super) const JSON: &str = "application/json";

/// A request, and the refusal that it must meet.
pub(super) struct Case<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) content_type: &'a str,
    pub(super) body: &'a [u8],
    pub(super) code: u16,
    pub(super) reason: &'a str,
    /// What the message must contain.
    pub(super) words: &'a str,
}

impl<'a> Case<'a> {
    /// A POST of JSON that is refused with 400.
    pub(super) fn post(path: &'a str, body: &'a str, words: &'a str) -> Self {
        Self {
            method: Method::POST,
            path,
            content_type: JSON,
            body: body.as_bytes(),
            code: 400,
            reason: "BadRequest",
            words,
        }
    }

    /// A GET that is refused with 400.
    pub(super) fn get(path: &'a str, words: &'a str) -> Self {
        Self {
            method: Method::GET,
            ..Self::post(path, "", words)
        }
    }

    /// The same with another code and reason.
    pub(super) fn refused(self, code: u16, reason: &'a str) -> Self {
        Self {
            code,
            reason,
            ..self
        }
    }
}

/// Sends each request and compares what comes back.
pub(super) async fn check(client: &Client, cases: Vec<Case<'_>>) {
    for case in cases {
        let sent = client.send(
            case.method.clone(),
            case.path,
            case.content_type,
            case.body.to_vec(),
        );
        let (code, status) = sent.await;
        let what = format!(
            "{} {} {}",
            case.method,
            case.path,
            String::from_utf8_lossy(case.body.get(..200).unwrap_or(case.body))
        );
        assert_refused(&what, (code, &status), &case);
    }
}

fn assert_refused(what: &str, (code, status): (StatusCode, &Value), case: &Case<'_>) {
    assert_eq!(code.as_u16(), case.code, "{what}: {status}");
    assert_eq!(
        (&status["kind"], &status["status"], &status["code"]),
        (&json!("Status"), &json!("Failure"), &json!(case.code)),
        "{what}: {status}"
    );
    assert_eq!(status["reason"], case.reason, "{what}: {status}");
    let message = status["message"].as_str().unwrap();
    assert!(
        message.contains(case.words),
        "{what}: {:?} is not in {message:?}",
        case.words
    );
}
