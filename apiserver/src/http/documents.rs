//! Paths that name no resource: versions, discovery, schemas, metrics, tokens' keys.

use std::sync::LazyLock;

use api_meta::kinds::Kinds;
use api_meta::status::Status;
use http::header::{ACCEPT, ETAG, HeaderValue, IF_NONE_MATCH, VARY};
use http::{HeaderMap, Method, Response, StatusCode};
use serde_json::{Value, json};

use super::body::{Body, empty};
use super::list_stream::{Gzip, whole};
use super::negotiate::{Form, accepts_gzip};
use super::request_info::RequestInfo;
use super::stack::Stack;
use super::{errors, render};
use crate::authn::openid;
use crate::discovery::{self, Document};
use crate::openapi;
use crate::registry::query::Query;

/// The version of the API that is served.
const MINOR: &str = "36";

static VERSION: LazyLock<Value> = LazyLock::new(|| {
    json!({
        "major": "1",
        "minor": MINOR,
        "emulationMajor": "1",
        "emulationMinor": MINOR,
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "35",
        "gitVersion": git_version(),
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, architecture()),
    })
});

/// The version as clients read it: upstream's, and ours behind it.
pub fn git_version() -> String {
    format!("v1.{MINOR}.0+keelson.{}", env!("CARGO_PKG_VERSION"))
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Answers a path that names no resource.
pub async fn respond(
    stack: &Stack,
    info: &RequestInfo,
    query: &Query,
    headers: &HeaderMap,
    method: &Method,
) -> Result<Response<Body>, Status> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(Status::method_not_served());
    }
    let path = info.path.as_str();
    if super::health::Health::is_health(path) {
        let answer = stack
            .health
            .respond(path, query, stack.registry.cache())
            .await;
        return Ok(answer.unwrap_or_else(not_found));
    }
    match path.trim_end_matches('/') {
        "" => return json_of(&json!({ "paths": paths() })),
        "/version" => return json_of(&VERSION),
        "/metrics" => {
            let text = stack.metrics.encode(stack.registry.cache());
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            return Ok(render::bytes_response(text, kind, StatusCode::OK));
        }
        "/.well-known/openid-configuration" => {
            let keys = format!("https://{}/openid/v1/jwks", stack.settings.external_address);
            let found = openid::configuration(stack.authenticator.tokens(), &keys);
            return found.map_or_else(|| Ok(not_found()), |value| json_of(&value));
        }
        "/openid/v1/jwks" => {
            let keys = openid::key_set(stack.authenticator.tokens()).map_err(Status::internal)?;
            return json_of(&keys);
        }
        _ => {}
    }
    let accept = headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if path == "/openapi/v2" {
        return Ok(document(openapi::v2::respond(accept), headers));
    }
    if path.starts_with("/openapi/v3") {
        return Ok(openapi::respond(path).map_or_else(not_found, |found| document(found, headers)));
    }
    if let Some(found) = discovery::respond(path, accept) {
        return Ok(document(found, headers));
    }
    Ok(not_found())
}

fn not_found() -> Response<Body> {
    errors::plain(StatusCode::NOT_FOUND, "404 page not found\n")
}

fn json_of(value: &Value) -> Result<Response<Body>, Status> {
    render::value(value, Form::default(), StatusCode::OK)
}

fn document(document: &Document, headers: &HeaderMap) -> Response<Body> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let is_known = document
        .etag
        .as_deref()
        .is_some_and(|tag| text(IF_NONE_MATCH) == Some(tag));
    let gzip = if accepts_gzip(text(http::header::ACCEPT_ENCODING)) {
        Gzip::Wanted
    } else {
        Gzip::Refused
    };
    let mut response = if is_known {
        let mut response = Response::new(empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        whole(document.body.clone(), Form::default(), gzip)
    };
    let out = response.headers_mut();
    out.insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static(document.content_type),
    );
    out.insert(VARY, HeaderValue::from_static("Accept"));
    if let Some(tag) = document
        .etag
        .as_deref()
        .and_then(|tag| HeaderValue::from_str(tag).ok())
    {
        out.insert(ETAG, tag);
    }
    response
}

fn paths() -> Vec<String> {
    let mut paths: Vec<String> = [
        "/api",
        "/api/v1",
        "/apis",
        "/healthz",
        "/livez",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/openid/v1/jwks",
        "/readyz",
        "/version",
        "/.well-known/openid-configuration",
    ]
    .map(str::to_owned)
    .into();
    for (group, versions) in Kinds::builtin().groups() {
        if group.is_empty() {
            continue;
        }
        paths.push(format!("/apis/{group}"));
        paths.extend(
            versions
                .iter()
                .map(|version| format!("/apis/{group}/{version}")),
        );
    }
    paths.sort();
    paths
}
