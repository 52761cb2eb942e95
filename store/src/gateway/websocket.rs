//! A stream over a websocket: each message of the client is a piece of the request's body, each line
//! of the answer's body is a message to the client. What grpc-websocket-proxy does for etcd.
//!
//! Either side's end ends both. Limit: so many websockets of a member, messages of the size that a
//! request may have, and one message of the client that waits for the service to take it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base::OnError;
use bytes::{Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tonic::Status;

use super::answer;
use super::door::Gateway;

/// How long the last messages and the goodbye may take to leave.
const GOODBYE: Duration = Duration::from_millis(200);

/// Headers of the handshake that the request behind it gets.
const FORWARDED: &[HeaderName] = &[header::ORIGIN, header::REFERER];

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Whether a request asks for a websocket.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    has_word(headers, &header::CONNECTION, "upgrade")
        && has_word(headers, &header::UPGRADE, "websocket")
}

fn has_word(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).into_iter();
    let mut words = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    words.any(|found| found.trim().eq_ignore_ascii_case(word))
}

/// Answers the handshake; what follows runs by itself.
pub(super) fn open(gateway: Arc<Gateway>, request: Request) -> Response {
    let (mut head, _) = request.into_parts();
    let is_version_13 = has_word(&head.headers, &header::SEC_WEBSOCKET_VERSION, "13");
    let key = head.headers.get(header::SEC_WEBSOCKET_KEY);
    let accept = key.map(|key| derive_accept_key(key.as_bytes()));
    let accept = accept.and_then(|accept| HeaderValue::try_from(accept).ok());
    let upgrade = head.extensions.remove::<OnUpgrade>();
    let (Some(accept), Some(upgrade)) = (accept, upgrade) else {
        return (StatusCode::BAD_REQUEST, "Bad Request\n").into_response();
    };
    if !is_version_13 || head.method != Method::GET {
        return (StatusCode::BAD_REQUEST, "Bad Request\n").into_response();
    }
    let Ok(slot) = gateway.websockets.clone().try_acquire_owned() else {
        return answer::error(&Status::unavailable("too many websockets are open"));
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if protocol(&head.headers).starts_with("Bearer") {
        let bearer = HeaderValue::from_static("Bearer");
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, bearer);
    }
    let tasks = gateway.context.tasks.clone();
    tasks.spawn("websocket", OnError::Log, async move {
        let _slot = slot;
        match upgrade.await {
            Ok(upgraded) => run(&gateway, &head, upgraded).await,
            Err(error) => tracing::debug!(error = %error, "a websocket did not begin"),
        }
        Ok::<(), Infallible>(())
    });
    response
}

fn protocol(headers: &HeaderMap) -> &str {
    let value = headers.get(header::SEC_WEBSOCKET_PROTOCOL);
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

async fn run(gateway: &Gateway, head: &Parts, upgraded: Upgraded) {
    let bytes_max = gateway.value_bytes_max;
    let config = WebSocketConfig::default()
        .max_message_size(Some(bytes_max))
        .max_frame_size(Some(bytes_max));
    let io = TokioIo::new(upgraded);
    let socket: Socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    let (mut sink, mut messages) = socket.split();
    let (tx, rx) = mpsc::channel(1);
    let body = Body::from_stream(ReceiverStream::new(rx).map(Ok::<Bytes, Infallible>));
    // The services end their streams with a last word when the member ends. It may still be sent.
    let end = async {
        gateway.context.stop.cancelled().await;
        tokio::time::sleep(GOODBYE).await;
    };
    tokio::select! {
        () = read(&mut messages, tx) => {}
        () = write(gateway, request(head, body), &mut sink) => {}
        () = end => {}
    }
    // Whoever has gone needs no goodbye.
    let _ = tokio::time::timeout(GOODBYE, sink.close()).await;
}

/// Until the client closes, breaks off, or says what nobody takes any more.
async fn read(messages: &mut SplitStream<Socket>, tx: mpsc::Sender<Bytes>) {
    while let Some(Ok(message)) = messages.next().await {
        let payload = match message {
            Message::Text(text) => Bytes::from(text),
            Message::Binary(bytes) => bytes,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            Message::Close(_) => return,
        };
        let mut piece = BytesMut::with_capacity(payload.len() + 1);
        piece.extend_from_slice(&payload);
        piece.extend_from_slice(b"\n");
        if tx.send(piece.freeze()).await.is_err() {
            // The body is not read any more; the answer may still come.
            return std::future::pending().await;
        }
    }
}

/// Until the answer is through or the client does not take it.
async fn write(gateway: &Gateway, request: Request, sink: &mut SplitSink<Socket, Message>) {
    let mut body = gateway.answer(request).await.into_body().into_data_stream();
    let mut rest = BytesMut::new();
    while let Some(Ok(chunk)) = body.next().await {
        rest.extend_from_slice(&chunk);
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            let line = rest.split_to(at + 1);
            if !say(sink, &line[..at]).await {
                return;
            }
        }
    }
    say(sink, &rest).await;
}

async fn say(sink: &mut SplitSink<Socket, Message>, line: &[u8]) -> bool {
    if line.is_empty() {
        return true;
    }
    // JSON is text.
    let Ok(text) = Utf8Bytes::try_from(Bytes::copy_from_slice(line)) else {
        return false;
    };
    sink.send(Message::Text(text)).await.is_ok()
}

/// The request behind the handshake.
fn request(head: &Parts, body: Body) -> Request {
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = head.uri.clone();
    let headers = request.headers_mut();
    for name in FORWARDED {
        if let Some(value) = head.headers.get(name) {
            headers.insert(name, value.clone());
        }
    }
    if let Some(value) = authorization(&head.headers) {
        headers.insert(header::AUTHORIZATION, value);
    }
    request
}

/// Browsers cannot set the header itself. A token comes in a cookie, or behind the name of a protocol.
fn authorization(headers: &HeaderMap) -> Option<HeaderValue> {
    let cookies = headers.get_all(header::COOKIE).into_iter();
    let mut cookies = cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    let token = cookies.find(|(name, _)| *name == "token");
    let words = match (token, protocol(headers)) {
        (Some((_, token)), _) => format!("Bearer {}", token.trim_matches('"')),
        (None, "") => return None,
        // A protocol without a token is a token that stands for nobody.
        (None, protocol) => protocol
            .split_once("Bearer,")
            .map_or_else(String::new, |(_, token)| {
                format!("Bearer {}", token.trim_matches(' '))
            }),
    };
    HeaderValue::try_from(words).ok()
}
