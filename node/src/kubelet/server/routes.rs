//! Which path does what.

use std::sync::Arc;

use base::Tasks;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::access::{Access, Peer};
use super::{logs, stream};
use crate::kubelet::context::Context;
use crate::kubelet::workers::Workers;

/// The body of an answer: whole, or as it comes.
pub(super) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// The routes.
pub(super) struct Routes {
    pub(super) context: Arc<Context>,
    pub(super) workers: Workers,
    access: Access,
    /// Exec and attach, each until one of its ends closes.
    pub(super) streams: Tasks,
}

impl Routes {
    pub(super) fn new(context: Arc<Context>, workers: Workers) -> Self {
        let access = Access::new(context.client.clone(), &context.config);
        Self {
            context,
            workers,
            access,
            streams: Tasks::new("streams"),
        }
    }

    /// Answers one request.
    pub(super) async fn answer(
        &self,
        peer: Option<&Peer>,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let path = request.uri().path().to_owned();
        if let Err((status, message)) = self
            .access
            .check(peer, request.headers(), request.method(), &path)
            .await
        {
            return text(status, message);
        }
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (request.method(), parts.as_slice()) {
            (&Method::GET, ["healthz"]) => self.health().await,
            (&Method::GET, ["pods" | "runningpods"]) => self.pods(),
            (&Method::GET, ["stats", "summary"]) => self.summary().await,
            (&Method::GET, ["containerLogs", namespace, pod, container]) => {
                logs::answer(
                    self,
                    namespace,
                    pod,
                    container,
                    request.uri().query().unwrap_or_default(),
                )
                .await
            }
            (_, ["exec", namespace, pod, container] | ["exec", namespace, pod, _, container]) => {
                let target = stream::Target {
                    namespace,
                    pod,
                    container,
                };
                stream::exec(self, &target, request).await
            }
            (
                _,
                ["attach", namespace, pod, container] | ["attach", namespace, pod, _, container],
            ) => {
                let target = stream::Target {
                    namespace,
                    pod,
                    container,
                };
                stream::attach(self, &target, request).await
            }
            (_, ["portForward", ..]) => text(
                StatusCode::NOT_IMPLEMENTED,
                "port-forward is not supported by this kubelet yet\n",
            ),
            _ => text(StatusCode::NOT_FOUND, "404 page not found\n"),
        }
    }

    async fn health(&self) -> Response<Body> {
        match self.context.runtime.conditions().await {
            Ok(_) => text(StatusCode::OK, "ok"),
            Err(error) => {
                let cause = format!(
                    "[-]runtime failed: {}\nhealthz check failed\n",
                    base::report(&error)
                );
                text(StatusCode::INTERNAL_SERVER_ERROR, cause)
            }
        }
    }

    fn pods(&self) -> Response<Body> {
        let pods: Vec<_> = self.workers.pods();
        let items: Vec<&Pod> = pods.iter().map(|pod| &**pod).collect();
        json(&json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}))
    }

    /// What the node has; the use of single containers is not measured yet.
    async fn summary(&self) -> Response<Body> {
        let now = client::times::now();
        let images = self.context.runtime.image_fs().await.unwrap_or_default();
        let used: u64 = images
            .iter()
            .filter_map(|fs| fs.used_bytes.as_ref())
            .map(|b| b.value)
            .sum();
        json(&json!({
            "node": {
                "nodeName": self.context.config.node_name,
                "startTime": now,
                "runtime": {"imageFs": {"time": now, "usedBytes": used}},
            },
            "pods": [],
        }))
    }
}

/// A text answer.
pub(super) fn text(status: StatusCode, message: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(whole(message));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn json(value: &impl serde::Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(bytes) => {
            let mut response = Response::new(whole(bytes));
            let kind = header::HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// A body that is there already.
pub(super) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}
