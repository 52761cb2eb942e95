//! The handler of everything below `/v3`: from a request's path, headers and body to an answer.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use http::Method;
use prost_reflect::MessageDescriptor;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Status, Streaming};

use super::routes::{Routes, Shape, Target};
use super::values::Values;
use super::{answer, call, headers, json, websocket};
use crate::limits;
use crate::rpc::Context;

/// The gateway of a member.
pub(super) struct Gateway {
    pub(super) context: Arc<Context>,
    /// The gRPC services, with all that guards them.
    services: Router,
    routes: Routes,
    /// Of one JSON value.
    pub(super) value_bytes_max: usize,
    pub(super) websockets: Arc<Semaphore>,
}

/// `/v3` as JSON, for the gRPC services that are given.
pub(crate) fn door(context: &Arc<Context>, services: &Router) -> Router {
    let bytes_max = context.limits.max_request_bytes + limits::GRPC_OVERHEAD_BYTES;
    let gateway = Gateway {
        context: context.clone(),
        services: services.clone(),
        routes: Routes::new(),
        value_bytes_max: bytes_max.saturating_mul(limits::GATEWAY_JSON_SHARE),
        websockets: Arc::new(Semaphore::new(limits::WEBSOCKETS_MAX)),
    };
    let mut router = Router::new();
    for root in ["/v3/", "/v3beta/"] {
        router = router
            .route(root, any(enter))
            .route(&format!("{root}{{*path}}"), any(enter));
    }
    router.with_state(Arc::new(gateway))
}

async fn enter(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    if websocket::is_wanted(request.headers()) {
        websocket::open(gateway, request)
    } else {
        gateway.answer(request).await
    }
}

/// A request that has been read as far as its body.
struct Call<'a> {
    target: &'a Target,
    metadata: MetadataMap,
    values: Values,
}

impl Gateway {
    /// Answers a request, whatever it is.
    pub(super) async fn answer(&self, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let Some(target) = self.routes.find(head.uri.path()) else {
            return answer::error(&Status::not_found("Not Found"));
        };
        if head.method != Method::POST {
            return answer::error(&Status::unimplemented("Method Not Allowed"));
        }
        let timeout = match headers::timeout(&head.headers) {
            Ok(timeout) => timeout,
            Err(status) => return answer::error(&status),
        };
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let call = Call {
            target,
            metadata: headers::metadata(&head.headers),
            values: Values::new(body.into_data_stream(), self.value_bytes_max),
        };
        match target.shape {
            Shape::Unary => match until(deadline, self.unary(call)).await {
                Ok(body) => answer::message(body),
                Err(status) => answer::error(&status),
            },
            Shape::ServerStream => match until(deadline, first(call)).await {
                Ok((call, message)) => {
                    let messages = stream::once(std::future::ready(message)).boxed();
                    self.stream(call, messages, deadline).await
                }
                Err(status) => answer::error(&status),
            },
            Shape::BidiStream => {
                let Call {
                    target,
                    metadata,
                    values,
                } = call;
                let messages = messages(target.input.clone(), values);
                self.stream((target, metadata), messages, deadline).await
            }
        }
    }

    async fn unary(&self, call: Call<'_>) -> Result<Body, Status> {
        let ((target, metadata), message) = first(call).await?;
        let reply = call::unary(&self.services, &target.rpc, metadata, message).await?;
        json::to_body(&target.output, reply).await
    }

    /// The head of the answer waits for the first message, as that decides about it.
    async fn stream(
        &self,
        (target, metadata): (&Target, MetadataMap),
        messages: BoxStream<'static, Bytes>,
        deadline: Option<Instant>,
    ) -> Response {
        let opened = call::streaming(&self.services, &target.rpc, metadata, messages);
        let mut lines = match until(deadline, opened).await {
            Ok(replies) => Lines {
                replies,
                kind: target.output.clone(),
                deadline,
            },
            Err(status) => return answer::stream_error(&status),
        };
        match lines.next().await {
            None => answer::empty_stream(),
            Some(Err(status)) => answer::stream_error(&status),
            Some(Ok(first)) => {
                let rest = stream::unfold(Some(lines), |lines| async move {
                    let mut lines = lines?;
                    match lines.next().await? {
                        Ok(line) => Some((line, Some(lines))),
                        Err(status) => Some((answer::stream_error_line(&status), None)),
                    }
                });
                let all = stream::once(std::future::ready(first)).chain(rest);
                answer::stream(Body::from_stream(all.map(Ok::<_, Infallible>)))
            }
        }
    }
}

/// The one message that a body holds: the default one if it holds nothing. What follows is not read.
async fn first<'a>(call: Call<'a>) -> Result<((&'a Target, MetadataMap), Bytes), Status> {
    let Call {
        target,
        metadata,
        mut values,
    } = call;
    let message = match values.next().await {
        None => Bytes::new(),
        Some(value) => json::to_wire(&target.input, value?).await?,
    };
    Ok(((target, metadata), message))
}

/// The messages that a body holds. One that cannot be read ends them, and the client learns no more of
/// it than from etcd.
fn messages(kind: MessageDescriptor, values: Values) -> BoxStream<'static, Bytes> {
    let messages = stream::unfold(values, move |mut values| {
        let kind = kind.clone();
        async move {
            let message = async { json::to_wire(&kind, values.next().await?.ok()?).await.ok() };
            let message = message.await;
            if message.is_none() {
                tracing::debug!(kind = kind.full_name(), "a stream of JSON has ended");
            }
            Some((message?, values))
        }
    });
    messages.boxed()
}

/// The lines of a stream's answer.
struct Lines {
    replies: Streaming<Bytes>,
    kind: MessageDescriptor,
    deadline: Option<Instant>,
}

impl Lines {
    async fn next(&mut self) -> Option<Result<Vec<u8>, Status>> {
        let reply = until(self.deadline, self.replies.message()).await;
        match reply.transpose()? {
            Ok(reply) => Some(line(&self.kind, reply).await),
            Err(status) => Some(Err(status)),
        }
    }
}

async fn line(kind: &MessageDescriptor, reply: Bytes) -> Result<Vec<u8>, Status> {
    let start = b"{\"result\":".to_vec();
    let mut line = json::to_json(kind, reply, start).await?;
    line.extend_from_slice(b"}\n");
    Ok(line)
}

async fn until<T>(
    deadline: Option<Instant>,
    work: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let Some(deadline) = deadline else {
        return work.await;
    };
    // A deadline that is over lets nothing begin, be it ever so quick.
    let result = match deadline > Instant::now() {
        true => tokio::time::timeout_at(deadline, work).await.ok(),
        false => None,
    };
    result.unwrap_or_else(|| Err(Status::deadline_exceeded("context deadline exceeded")))
}
