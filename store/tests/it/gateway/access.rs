//! `--cors`, `--host-whitelist`, `--enable-grpc-gateway` and certificates at the door of the gateway.

use http::Method;

use super::client::{b64, request, send};
use super::transcript::seen;
use super::{compare_lines, one_member, real_etcds};

/// A method, a path and headers.
type Knock = (
    Method,
    &'static str,
    &'static [(&'static str, &'static str)],
);

async fn knocks(endpoint: &str, cases: &[Knock]) -> Vec<String> {
    let body = format!(r#"{{"key":"{}"}}"#, b64("a"));
    let mut lines = Vec::new();
    for (method, path, headers) in cases {
        let what = format!("{method} {path} {headers:?}");
        let request = request(endpoint, method.clone(), path, headers, &body);
        lines.push(seen(&what, send(endpoint, request).await).await);
    }
    lines
}

async fn check(flags: &[&str], cases: &[Knock], words: &[&str]) {
    let cluster = one_member(flags).await;
    let ours = knocks(&cluster.endpoint(0), cases).await;
    let all = ours.join("\n");
    for words in words {
        assert!(all.contains(words), "{words} is not in\n{all}");
    }
    for (name, real) in real_etcds(flags).await {
        compare_lines(name, &knocks(&real.endpoint, cases).await, &ours, &[]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_listed_origins_are_allowed() {
    let flags = ["--cors=http://good:80,https://fine:443"];
    let cases: &[Knock] = &[
        (Method::POST, "/v3/kv/range", &[]),
        (
            Method::POST,
            "/v3/kv/range",
            &[("origin", "http://good:80")],
        ),
        (Method::POST, "/v3/kv/range", &[("origin", "http://good")]),
        (
            Method::POST,
            "/v3/kv/range",
            &[("origin", "https://fine:443")],
        ),
        (Method::GET, "/health", &[("origin", "http://bad:80")]),
        (
            Method::OPTIONS,
            "/v3/watch",
            &[("origin", "http://good:80")],
        ),
        (Method::OPTIONS, "/v3/watch", &[("origin", "http://bad:80")]),
    ];
    check(
        &flags,
        cases,
        &["access-control-allow-origin: http://good:80"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_listed_hosts_are_served() {
    let flags = ["--host-whitelist=good.example,::1,127.0.0.1"];
    let cases: &[Knock] = &[
        (Method::POST, "/v3/kv/range", &[("host", "good.example")]),
        (
            Method::POST,
            "/v3/kv/range",
            &[("host", "good.example:2379")],
        ),
        (Method::POST, "/v3/kv/range", &[("host", "[::1]:2379")]),
        (
            Method::POST,
            "/v3/kv/range",
            &[("host", "bad.example:2379")],
        ),
        (Method::GET, "/health", &[("host", "bad.example")]),
        (Method::OPTIONS, "/v3/watch", &[("host", "bad.example")]),
        (Method::GET, "/nothing", &[("host", "127.0.0.1:1")]),
    ];
    check(&flags, cases, &["=> 421", "CVE-2018-5702"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_can_be_left_out() {
    let flags = ["--enable-grpc-gateway=false"];
    let cases: &[Knock] = &[
        (Method::POST, "/v3/kv/range", &[]),
        (Method::POST, "/v3beta/kv/range", &[]),
        (Method::OPTIONS, "/v3/kv/range", &[]),
        (Method::GET, "/health", &[]),
    ];
    check(&flags, cases, &["404 page not found"]).await;
}
