//! A plain HTTP/1 client that shows what it is sent, and when.

use std::convert::Infallible;
use std::time::Duration;

use base::{OnError, Tasks};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use super::super::harness::SOON;

/// Bytes as JSON has them.
pub(super) fn b64(text: &str) -> String {
    STANDARD.encode(text)
}

/// An answer whose body is still to come. Dropping it hangs up.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    body: Incoming,
    rest: BytesMut,
    _tasks: Tasks,
}

impl Answer {
    /// The next line; none at the end.
    pub(super) async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line = self.rest.split_to(at + 1);
                return Some(String::from_utf8(line[..at].to_vec()).unwrap());
            }
            let frame = tokio::time::timeout(Duration::from_secs(SOON), self.body.frame());
            let Some(frame) = frame.await.expect("a line comes soon") else {
                let rest = self.rest.split();
                return (!rest.is_empty()).then(|| String::from_utf8(rest.to_vec()).unwrap());
            };
            if let Ok(data) = frame.unwrap().into_data() {
                self.rest.extend_from_slice(&data);
            }
        }
    }

    /// The whole body.
    pub(super) async fn text(mut self) -> String {
        let mut lines = Vec::new();
        while let Some(line) = self.line().await {
            lines.push(line);
        }
        lines.join("\n")
    }
}

/// Sends a request and waits for the head of its answer.
pub(super) async fn send<B>(endpoint: &str, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let stream = tokio::net::TcpStream::connect(endpoint).await.unwrap();
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    let tasks = Tasks::new("client");
    tasks.spawn("connection", OnError::Log, async move {
        let _ = connection.await;
        Ok::<(), Infallible>(())
    });
    let sent = tokio::time::timeout(Duration::from_secs(SOON), sender.send_request(request));
    let (head, body) = sent
        .await
        .expect("an answer comes soon")
        .unwrap()
        .into_parts();
    Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body,
        rest: BytesMut::new(),
        _tasks: tasks,
    }
}

/// A request with a body that is known.
pub(super) fn request(
    endpoint: &str,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", endpoint);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::from(body.to_owned())).unwrap()
}

/// Posts a body.
pub(super) async fn post(endpoint: &str, path: &str, body: &str) -> Answer {
    send(endpoint, request(endpoint, Method::POST, path, &[], body)).await
}

/// Posts a body that comes piece by piece.
pub(super) async fn post_stream(
    endpoint: &str,
    path: &str,
    pieces: impl Stream<Item = String> + Send + 'static,
) -> Answer {
    let pieces = pieces.map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from(piece))));
    let request = Request::post(path)
        .header("host", endpoint)
        .body(StreamBody::new(Box::pin(pieces)))
        .unwrap();
    send(endpoint, request).await
}

/// Names whose values differ between any two servers.
const OWN: &[&str] = &[
    "cluster_id",
    "member_id",
    "raft_term",
    "version",
    "dbSize",
    "dbSizeInUse",
    "leader",
    "raftIndex",
    "raftTerm",
    "raftAppliedIndex",
    "token",
];

/// A JSON text with its names in order and without what must differ; any other text as it is.
pub(super) fn normal(text: &str) -> String {
    match serde_json::from_str::<Value>(text) {
        Ok(mut value) => {
            scrub(&mut value);
            value.to_string()
        }
        Err(_) => text.to_owned(),
    }
}

fn scrub(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, value) in map.iter_mut() {
                if OWN.contains(&name.as_str()) && value.is_string() {
                    *value = Value::Null;
                } else {
                    scrub(value);
                }
            }
            // Each server has words of its own for JSON that it cannot read.
            if let Some(Value::String(words)) = map.get_mut("message")
                && [
                    "proto:",
                    "invalid character",
                    "invalid value",
                    "unexpected token",
                ]
                .iter()
                .any(|start| words.starts_with(start))
            {
                *words = "malformed".into();
            }
        }
        Value::Array(list) => list.iter_mut().for_each(scrub),
        _ => {}
    }
}
