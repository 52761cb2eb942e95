//! Requests with one answer each.

use http::Method;

use super::client::{Answer, b64, normal, request, send};
use super::list::{self, Line};
use super::{CHEAP, compare_lines, one_member, real_etcds};

/// Headers that a client may look at.
const HEADERS: &[&str] = &[
    "content-type",
    "grpc-metadata-content-type",
    "www-authenticate",
    "x-content-type-options",
    "access-control-allow-origin",
    "access-control-allow-methods",
    "access-control-allow-headers",
];

/// What 3.5 answers differently: it takes any sort order, says less of hashes and of its status, and has
/// not heard of what came later.
const NEWER: &[&str] = &[
    r#""sort_order":77"#,
    "/v3/maintenance/hashkv",
    "/v3/maintenance/status",
    "/v3/maintenance/downgrade",
    "/v3/maintenance/snapshot",
    "/v3/auth/status",
    "/v3/maintenance/defragment",
    "/version",
];

/// Everything that can be seen of an answer.
pub(super) async fn seen(what: &str, answer: Answer) -> String {
    let status = answer.status;
    let headers: Vec<String> = HEADERS
        .iter()
        .filter_map(|name| {
            let value = answer.headers.get(*name)?;
            Some(format!("{name}: {}", value.to_str().unwrap()))
        })
        .collect();
    let body = normal(&answer.text().await);
    format!("{what} => {status} {headers:?} {body}")
}

async fn ask(endpoint: &str, line: &Line, tokens: &[(String, String)]) -> String {
    let (user, path, body) = line;
    let (method, path) = match path.split_once(' ') {
        Some((method, path)) => (method.parse().unwrap(), path),
        None => (Method::POST, *path),
    };
    let token = tokens.iter().find(|(name, _)| name == user);
    let token = token.map_or(*user, |(_, token)| token);
    let mut headers = vec![];
    if !token.is_empty() {
        headers.push(("authorization", token));
    }
    let what = format!("{user} {method} {path} {body}");
    let answer = send(endpoint, request(endpoint, method, path, &headers, body)).await;
    seen(&what, answer).await
}

async fn log_in(endpoint: &str, user: &str) -> (String, String) {
    let body = format!(r#"{{"name":"{user}","password":"pw"}}"#);
    let line = request(endpoint, Method::POST, "/v3/auth/authenticate", &[], &body);
    let text = send(endpoint, line).await.text().await;
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let token = value["token"].as_str().expect("a token").to_owned();
    (user.to_owned(), token)
}

async fn transcript(endpoint: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for line in list::open() {
        lines.push(ask(endpoint, &line, &[]).await);
    }
    let tokens = [
        log_in(endpoint, "root").await,
        log_in(endpoint, "ann").await,
    ];
    for line in list::guarded() {
        lines.push(ask(endpoint, &line, &tokens).await);
    }
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_the_real_gateway() {
    let cluster = one_member(&[CHEAP]).await;
    let ours = transcript(&cluster.endpoint(0)).await;
    assert!(ours.len() > 120, "{}", ours.len());
    let failed = ours.iter().filter(|line| line.contains("=> 5")).count();
    assert!(failed < ours.len() / 3, "{ours:#?}");
    for (name, real) in real_etcds(&[CHEAP]).await {
        compare_lines(name, &transcript(&real.endpoint).await, &ours, NEWER);
    }
}

async fn with_headers(endpoint: &str) -> Vec<String> {
    let get_a = format!(r#"{{"key":"{}"}}"#, b64("a"));
    let cases: &[&[(&str, &str)]] = &[
        &[("grpc-timeout", "1n")],
        &[("grpc-timeout", "5S")],
        &[("grpc-timeout", "soon")],
        &[("grpc-metadata-hasleader", "true")],
        &[("accept", "text/plain"), ("content-type", "text/plain")],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[("origin", "http://somewhere:1")],
        &[("authorization", "not.1")],
    ];
    let mut lines = Vec::new();
    for headers in cases {
        let what = format!("{headers:?}");
        let line = request(endpoint, Method::POST, "/v3/kv/range", headers, &get_a);
        lines.push(seen(&what, send(endpoint, line).await).await);
    }
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_mean_what_they_mean_to_the_real_gateway() {
    let cluster = one_member(&[]).await;
    let ours = with_headers(&cluster.endpoint(0)).await;
    for (name, real) in real_etcds(&[]).await {
        compare_lines(name, &with_headers(&real.endpoint).await, &ours, &[]);
    }
}
