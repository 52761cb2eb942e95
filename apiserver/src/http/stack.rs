//! The layers that every request passes, in order, in one place:
//! panics and metrics, request info, liveness of the cache, authentication, impersonation, flow
//! control, authorization, deadline, route.
//!
//! Watches, logs and upgraded connections pass the same layers but have no deadline and hold no
//! place in flow control; the listener's graceful end reaches them by the stop token.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use api_meta::kinds::Kinds;
use api_meta::status::Status;
use futures::FutureExt as _;
use http::header::{CACHE_CONTROL, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::body::Body;
use super::errors;
use super::health::Health;
use super::kubelet::KubeletClient;
use super::request_info::RequestInfo;
use super::router;
use crate::authn::{Authenticator, PeerChain, UserInfo};
use crate::authz::{self, Attributes, Authorizer as _, impersonation};
use crate::flowcontrol::{Asked, InFlight, Load};
use crate::metrics::{Finished, Metrics};
use crate::registry::Registry;
use crate::registry::query::Query;
use crate::reviews::Reviews;

/// What the stack does with requests is decided by these.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The deadline of requests that are no streams.
    pub request_timeout: Duration,
    /// Watches without a timeout last at least this.
    pub watch_timeout_min: Duration,
    /// Where clients find this server.
    pub external_address: SocketAddr,
}

/// Everything that answering a request needs.
#[derive(Debug)]
pub struct Stack {
    /// Reads and writes.
    pub registry: Registry,
    /// Who asks.
    pub authenticator: Arc<Authenticator>,
    /// What they may do.
    pub authorizer: Arc<authz::Chain>,
    /// Questions about that.
    pub reviews: Reviews,
    /// How many at one time.
    pub flow: InFlight,
    /// Whether this replica is well.
    pub health: Arc<Health>,
    /// What is counted.
    pub metrics: Metrics,
    /// Connections to kubelets.
    pub kubelets: KubeletClient,
    /// Ends watches.
    pub stop: CancellationToken,
    /// The settings.
    pub settings: Settings,
}

impl Stack {
    /// Answers one request.
    pub async fn serve(
        self: Arc<Self>,
        chain: Option<PeerChain>,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let began = Instant::now();
        let _in_flight = self.metrics.begin();
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let info = RequestInfo::parse(request.method(), request.uri().path(), &query);
        let answering = AssertUnwindSafe(self.layers(chain, &info, &query, request));
        let mut response = match answering.catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(status)) => errors::respond(&status),
            Err(_) => {
                tracing::error!(path = %info.path, "a request made the server panic");
                errors::respond(&Status::internal(
                    "the server failed while it answered this request",
                ))
            }
        };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        self.count(&info, response.status(), began);
        response
    }

    async fn layers(
        &self,
        chain: Option<PeerChain>,
        info: &RequestInfo,
        query: &Query,
        mut request: Request<Incoming>,
    ) -> Result<Response<Body>, Status> {
        if !self.registry.cache().is_live() {
            // Roles are not known yet. Health says what is missing; it tells nothing else.
            if Health::is_health(&info.path) && *request.method() == Method::GET {
                let answer = self
                    .health
                    .respond(&info.path, query, self.registry.cache())
                    .await;
                return answer.ok_or_else(Status::unknown_path);
            }
            return Err(Status::too_many_requests("storage is (re)initializing", 1));
        }
        let user = self
            .authenticator
            .authenticate(chain.as_ref(), request.headers())
            .await?;
        // From here on the user is known, and nothing behind may see the credentials.
        request.headers_mut().remove(http::header::AUTHORIZATION);
        let user = impersonation::apply(user, request.headers(), &*self.authorizer)?;
        let load = load_of(info, request.method());
        let permit = self.flow.admit(&Asked {
            user: &user,
            load,
            verb: info.verb,
            group: &info.group,
            resource: &info.resource,
            subresource: &info.subresource,
            path: &info.path,
        })?;
        self.authorize(&user, info)?;
        if load == Load::Stream {
            return router::route(self, info, query, user, request).await;
        }
        let answering = router::route(self, info, query, user, request);
        let answer = timeout(self.settings.request_timeout, answering).await;
        drop(permit);
        answer.unwrap_or_else(|_| {
            Err(Status::timeout(
                "request did not complete within the allotted timeout",
            ))
        })
    }

    fn authorize(&self, user: &UserInfo, info: &RequestInfo) -> Result<(), Status> {
        let attributes = Attributes {
            user,
            verb: info.verb,
            group: &info.group,
            version: &info.version,
            resource: &info.resource,
            subresource: &info.subresource,
            namespace: &info.namespace,
            name: &info.name,
            path: &info.path,
            is_resource: info.is_resource,
        };
        self.allow(&attributes)?;
        // A WebSocket comes as GET, but runs a command: it needs what the POST form needs.
        let runs = matches!(info.subresource.as_str(), "exec" | "attach" | "portforward");
        if runs && info.verb == "get" {
            return self.allow(&Attributes {
                verb: "create",
                ..attributes
            });
        }
        Ok(())
    }

    fn allow(&self, attributes: &Attributes<'_>) -> Result<(), Status> {
        let decision = self.authorizer.authorize(attributes);
        if decision.is_allowed() {
            return Ok(());
        }
        Err(authz::forbidden(attributes, decision.reason()))
    }

    fn count(&self, info: &RequestInfo, code: StatusCode, began: Instant) {
        let is_known = Kinds::builtin()
            .by_resource(&info.group, &info.version, &info.resource)
            .is_some_and(|kind| {
                info.subresource.is_empty() || kind.subresource(&info.subresource).is_some()
            });
        let known = |text: &'_ str| {
            if is_known {
                text.to_owned()
            } else {
                String::new()
            }
        };
        let (group, version) = (known(&info.group), known(&info.version));
        let (resource, subresource) = (known(&info.resource), known(&info.subresource));
        let took = (info.verb != "watch").then(|| began.elapsed());
        self.metrics.finish(&Finished {
            verb: info.verb,
            group: &group,
            version: &version,
            resource: &resource,
            subresource: &subresource,
            code: code.as_u16(),
            took,
        });
        tracing::debug!(verb = info.verb, path = %info.path, code = code.as_u16(), ?took, "request");
    }
}

fn load_of(info: &RequestInfo, method: &Method) -> Load {
    let streams = matches!(
        info.subresource.as_str(),
        "log" | "exec" | "attach" | "portforward" | "proxy"
    );
    if info.is_resource && (info.verb == "watch" || streams) {
        return Load::Stream;
    }
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        Load::Read
    } else {
        Load::Write
    }
}
