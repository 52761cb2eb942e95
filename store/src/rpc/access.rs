//! Who may come by plain HTTP: `--cors` and `--host-whitelist`, before anything else of a client
//! listener but gRPC.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::context::Context;
use super::http::text;
use super::identity::CommonName;

/// What a listener lets in.
pub(crate) struct Access {
    pub(crate) context: Arc<Context>,
    /// Origins that browsers may call from; empty or with a star, any.
    pub(crate) origins: BTreeSet<String>,
    /// Hosts that requests without TLS may name; empty or with a star, any.
    pub(crate) hosts: BTreeSet<String>,
    /// Whether `/v3` is served.
    pub(crate) has_gateway: bool,
    /// Whether the listener speaks TLS.
    pub(crate) is_tls: bool,
}

/// Puts the rules before what is in the router already.
pub(crate) fn guarded(router: Router, access: Access) -> Router {
    router.layer(axum::middleware::from_fn_with_state(
        Arc::new(access),
        check,
    ))
}

async fn check(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    if let Some(refusal) = access.refuse(&request) {
        return refusal;
    }
    let origin = access.origin(request.headers());
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::OK.into_response()
    } else {
        next.run(request).await
    };
    if let Some(origin) = origin {
        let headers = response.headers_mut();
        let methods = HeaderValue::from_static("POST, GET, OPTIONS, PUT, DELETE");
        let names = HeaderValue::from_static("accept, content-type, authorization");
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
    }
    response
}

impl Access {
    fn refuse(&self, request: &Request) -> Option<Response> {
        if !self.is_tls {
            let host = host_of(request);
            if allows(&self.hosts, host) {
                return None;
            }
            tracing::warn!(
                host,
                "rejecting HTTP request to prevent DNS rebinding attacks"
            );
            return Some(text(StatusCode::MISDIRECTED_REQUEST, unknown_host(host)));
        }
        let path = request.uri().path();
        let is_for_gateway = path.starts_with("/v3/") || path.starts_with("/v3beta/");
        let named = request.extensions().get::<CommonName>();
        let has_name = named.is_some_and(|name| !name.0.is_empty());
        let is_misled = self.has_gateway
            && is_for_gateway
            && has_name
            && self.context.auth.by_certificate
            && self.context.view.auth().is_enabled;
        is_misled.then(|| {
            text(StatusCode::BAD_REQUEST, "CommonName of client sending a request against gateway will be ignored and not used as expected\n".into())
        })
    }

    /// The origin to allow, if any.
    fn origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        if allows(&self.origins, "*") {
            return Some(HeaderValue::from_static("*"));
        }
        let origin = headers.get(header::ORIGIN)?;
        let is_allowed = allows(&self.origins, origin.to_str().ok()?);
        is_allowed.then(|| origin.clone())
    }
}

fn allows(list: &BTreeSet<String>, one: &str) -> bool {
    list.is_empty() || list.contains("*") || list.contains(one)
}

/// The host that a request names, without its port.
fn host_of(request: &Request) -> &str {
    let named = request.headers().get(header::HOST);
    let named = named.and_then(|value| value.to_str().ok());
    let authority = || {
        request
            .uri()
            .authority()
            .map(|authority| authority.as_str())
    };
    let host = named.or_else(authority).unwrap_or_default();
    without_port(host)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        None => host,
        Some((before, _)) => match before.strip_prefix('[') {
            Some(inside) => inside.strip_suffix(']').unwrap_or(host),
            None if before.contains(':') => host,
            None => before,
        },
    }
}

/// etcd's words, which its users look for.
fn unknown_host(host: &str) -> String {
    format!(
        "
etcd received your request, but the Host header was unrecognized.

To fix this, choose one of the following options:
- Enable TLS, then any HTTPS request will be allowed.
- Add the hostname you want to use to the whitelist in settings.
  - e.g. etcd --host-whitelist {host:?}

This requirement has been added to help prevent \"DNS Rebinding\" attacks (CVE-2018-5702).

"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{allows, without_port};

    #[test]
    fn hosts_lose_their_port() {
        for (host, bare) in [
            ("a:1", "a"),
            ("a", "a"),
            ("127.0.0.1:2379", "127.0.0.1"),
            ("[::1]:2379", "::1"),
            ("[::1]", "[::1]"),
            ("::1", "::1"),
            ("", ""),
            (":1", ""),
        ] {
            assert_eq!(without_port(host), bare, "{host:?}");
        }
    }

    #[test]
    fn an_empty_list_and_a_star_allow_all() {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        assert!(allows(&BTreeSet::new(), "a") && allows(&list(&["b", "*"]), "a"));
        assert!(allows(&list(&["a"]), "a") && !allows(&list(&["a"]), "b"));
        assert!(!allows(&list(&["a"]), "*"));
    }
}
