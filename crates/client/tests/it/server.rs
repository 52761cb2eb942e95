//! An HTTP server for tests: it answers what a function says, and can be told to stop.

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use client::{Client, ConnectOptions};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What a server answers: status and body. None drops the connection without an answer.
pub(crate) type Answer = Option<(StatusCode, Value)>;
type Handler = Arc<dyn Fn(Call) -> Answer + Send + Sync>;

/// One request as a server sees it.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// The value of `Authorization`; empty if there is none.
    pub(crate) authorization: String,
    pub(crate) body: Value,
}

/// A server that runs until the group is shut down.
pub(crate) async fn serve(
    tasks: &base::Tasks,
    handler: impl Fn(Method, String, Value) -> Answer + Send + Sync + 'static,
) -> SocketAddr {
    serve_calls(tasks, move |call| {
        handler(call.method, call.path, call.body)
    })
    .await
}

/// As [`serve`], for a function that asks who calls.
pub(crate) async fn serve_calls(
    tasks: &base::Tasks,
    handler: impl Fn(Call) -> Answer + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (handler, group): (Handler, _) = (Arc::new(handler), tasks.clone());
    tasks.spawn_infallible("server", async move {
        loop {
            let accepted = tokio::select! { biased;
                () = group.stop().cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let (stream, _) = accepted.unwrap();
            let (handler, stop) = (handler.clone(), group.stop().clone());
            group.spawn("connection", base::OnError::Log, async move {
                let service = service_fn(move |request| answer(handler.clone(), request));
                let builder = auto::Builder::new(TokioExecutor::new());
                tokio::select! {
                    () = stop.cancelled() => {}
                    _ = builder.serve_connection(TokioIo::new(stream), service) => {}
                }
                Ok::<(), Infallible>(())
            });
        }
    });
    address
}

async fn answer(
    handler: Handler,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let authorization = parts.headers.get(header::AUTHORIZATION);
    let call = Call {
        path: parts.uri.path().to_owned(),
        authorization: authorization
            .map_or("", |value| value.to_str().unwrap())
            .to_owned(),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        method: parts.method,
    };
    match handler(call) {
        Some((status, body)) => Ok(Response::builder()
            .status(status)
            .body(Full::new(Bytes::from(body.to_string())))
            .unwrap()),
        None => Err(std::io::Error::other("dropped")),
    }
}

/// An error as the API writes it.
pub(crate) fn failure(code: StatusCode, reason: &str) -> Answer {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "reason": reason, "message": reason, "code": code.as_u16(),
    });
    Some((code, body))
}

/// A client of these servers.
pub(crate) async fn connect(servers: &[SocketAddr]) -> Client {
    let (_file, options) = options(servers, json!({}));
    client::connect(&options).await.unwrap()
}

/// What a client of these servers is made of, and the kubeconfig, which must outlive its making.
pub(crate) fn options(
    servers: &[SocketAddr],
    user: Value,
) -> (tempfile::NamedTempFile, ConnectOptions) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{ "name": "c", "cluster": { "server": "http://127.0.0.1:1" } }],
        "users": [{ "name": "u", "user": user }],
        "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
    });
    file.write_all(config.to_string().as_bytes()).unwrap();
    let options = ConnectOptions {
        kubeconfig: Some(file.path().to_owned()),
        servers: servers
            .iter()
            .map(|address| format!("http://{address}"))
            .collect(),
        user_agent: "test".into(),
    };
    (file, options)
}
