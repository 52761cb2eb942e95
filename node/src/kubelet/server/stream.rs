//! Exec and attach: a WebSocket to the client, a bundle of streams to the runtime, data between.
//!
//! On the WebSocket the first byte of a message says which stream it belongs to.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use proto_cri::v1;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::routes::{Body, Routes, text, whole};
use super::spdy::{self, Received, Receiver, Sender};
use crate::kubelet::pod_state::PodState;
use crate::runtime;

/// What the client may speak, the best first. The fifth can close one stream.
const PROTOCOLS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
/// The channels, in order, by the runtime's names for them.
const CHANNELS: [&str; 5] = ["stdin", "stdout", "stderr", "error", "resize"];
const STDIN: u8 = 0;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
/// The channel of the fifth protocol that closes the channel named in its data.
const CLOSE: u8 = 255;
/// A connection without any message is given up after this time. Upstream's.
const IDLE_TIME_MAX: Duration = Duration::from_secs(4 * 60 * 60);

/// Which container is meant.
pub(super) struct Target<'a> {
    pub(super) namespace: &'a str,
    pub(super) pod: &'a str,
    pub(super) container: &'a str,
}

/// The streams that a client asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    command: Vec<String>,
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
}

impl Wanted {
    fn parse(query: &str) -> Self {
        let mut out = Self::default();
        for (name, value) in pairs(query) {
            let on = matches!(value.as_str(), "1" | "true" | "t");
            match name.as_str() {
                "command" => out.command.push(value),
                "input" | "stdin" => out.stdin = on,
                "output" | "stdout" => out.stdout = on,
                "error" | "stderr" => out.stderr = on,
                "tty" => out.tty = on,
                _ => {}
            }
        }
        // A terminal has one output.
        out.stderr &= !out.tty;
        out
    }

    /// The channels in use. The runtime waits for exactly these.
    fn channels(&self) -> Vec<u8> {
        let chosen = [
            (STDIN, self.stdin),
            (1, self.stdout),
            (2, self.stderr),
            (RESIZE, self.tty),
        ];
        let chosen = chosen
            .into_iter()
            .filter(|(_, on)| *on)
            .map(|(channel, _)| channel);
        [ERROR].into_iter().chain(chosen).collect()
    }
}

/// Runs a command in a container.
pub(super) async fn exec(
    routes: &Routes,
    target: &Target<'_>,
    request: Request<Incoming>,
) -> Response<Body> {
    let wanted = Wanted::parse(request.uri().query().unwrap_or_default());
    if wanted.command.is_empty() {
        return text(
            StatusCode::BAD_REQUEST,
            "you must specify at least 1 command for the container\n",
        );
    }
    if !(wanted.stdin || wanted.stdout || wanted.stderr) {
        return text(
            StatusCode::BAD_REQUEST,
            "you must specify at least 1 of stdin, stdout, stderr\n",
        );
    }
    let id = match running(routes, target).await {
        Ok(id) => id,
        Err(response) => return response,
    };
    let channels = wanted.channels();
    let asked = v1::ExecRequest {
        container_id: id,
        cmd: wanted.command,
        tty: wanted.tty,
        stdin: wanted.stdin,
        stdout: wanted.stdout,
        stderr: wanted.stderr,
    };
    join(
        routes,
        routes.context.runtime.exec(asked).await,
        &channels,
        request,
    )
    .await
}

/// Joins a container's own streams.
pub(super) async fn attach(
    routes: &Routes,
    target: &Target<'_>,
    request: Request<Incoming>,
) -> Response<Body> {
    let wanted = Wanted::parse(request.uri().query().unwrap_or_default());
    let id = match running(routes, target).await {
        Ok(id) => id,
        Err(response) => return response,
    };
    let channels = wanted.channels();
    let asked = v1::AttachRequest {
        container_id: id,
        stdin: wanted.stdin,
        tty: wanted.tty,
        stdout: wanted.stdout,
        stderr: wanted.stderr,
    };
    join(
        routes,
        routes.context.runtime.attach(asked).await,
        &channels,
        request,
    )
    .await
}

async fn running(routes: &Routes, target: &Target<'_>) -> Result<String, Response<Body>> {
    let pod = routes.workers.pod(target.namespace, target.pod);
    let pod = pod.ok_or_else(|| text(StatusCode::NOT_FOUND, "pod does not exist\n"))?;
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let state = PodState::read(&*routes.context.runtime, &uid).await;
    let state = state.map_err(|e| {
        text(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("{}\n", base::report(&e)),
        )
    })?;
    let found = state
        .latest(target.container)
        .filter(|c| c.state() == v1::ContainerState::ContainerRunning);
    let missing = || {
        let message = format!("container not found ({:?})\n", target.container);
        text(StatusCode::NOT_FOUND, message)
    };
    found.map(|c| c.id.clone()).ok_or_else(missing)
}

/// Connects the runtime's end, then answers the client and passes messages on.
async fn join(
    routes: &Routes,
    url: runtime::Result<String>,
    channels: &[u8],
    mut request: Request<Incoming>,
) -> Response<Body> {
    let url = match url {
        Ok(url) => url,
        Err(error @ runtime::Error::Unsupported(_)) => {
            return text(StatusCode::NOT_IMPLEMENTED, format!("{error}\n"));
        }
        Err(error) => {
            return text(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("{}\n", base::report(&error)),
            );
        }
    };
    let (key, protocol) = match handshake(&request) {
        Ok(found) => found,
        Err(message) => return text(StatusCode::BAD_REQUEST, message),
    };
    let runtime = match connect(&url, channels).await {
        Ok(stream) => stream,
        Err(error) => {
            let message = format!("error dialing the container runtime's stream: {error}\n");
            return text(StatusCode::BAD_GATEWAY, message);
        }
    };
    let upgrade = hyper::upgrade::on(&mut request);
    // The task ends with either connection, and the server cuts both at its own end.
    let stop = routes.streams.stop().clone();
    let passing = async move {
        match upgrade.await {
            Ok(upgraded) => {
                let client =
                    WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None)
                        .await;
                tokio::select! { biased;
                    () = stop.cancelled() => {}
                    () = pass(client, runtime) => {}
                }
            }
            Err(error) => tracing::debug!(%error, "the client did not upgrade"),
        }
    };
    routes.streams.spawn_infallible("stream", passing);
    let mut response = Response::new(whole(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(
        header::SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static(protocol),
    );
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(&key)) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

/// The client's key and the protocol that both speak.
fn handshake(request: &Request<Incoming>) -> Result<(Vec<u8>, &'static str), String> {
    let text = |name| {
        request
            .headers()
            .get(name)
            .and_then(|v: &HeaderValue| v.to_str().ok())
            .unwrap_or_default()
    };
    if !text(header::UPGRADE).eq_ignore_ascii_case("websocket") {
        return Err(format!(
            "unable to upgrade: this kubelet speaks {} over WebSocket only\n",
            PROTOCOLS.join(" and ")
        ));
    }
    let offered = request
        .headers()
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|v| v.to_str().ok());
    let offered: Vec<&str> = offered.flat_map(|v| v.split(',')).map(str::trim).collect();
    let chosen = PROTOCOLS
        .into_iter()
        .find(|protocol| offered.contains(protocol));
    let chosen =
        chosen.ok_or_else(|| format!("unable to upgrade: none of {offered:?} is supported\n"))?;
    let key = request
        .headers()
        .get(header::SEC_WEBSOCKET_KEY)
        .ok_or("unable to upgrade: no Sec-WebSocket-Key\n")?;
    Ok((key.as_bytes().to_vec(), chosen))
}

/// The runtime's end: its streams by channel.
struct Runtime {
    sender: Sender,
    receiver: Receiver,
    streams: BTreeMap<u8, u32>,
}

async fn connect(url: &str, channels: &[u8]) -> std::io::Result<Runtime> {
    let (mut sender, receiver) = spdy::connect(url).await?;
    let mut streams = BTreeMap::new();
    for channel in channels {
        if let Some(kind) = CHANNELS.get(usize::from(*channel)) {
            streams.insert(*channel, sender.open(kind).await?);
        }
    }
    Ok(Runtime {
        sender,
        receiver,
        streams,
    })
}

async fn pass<S>(client: WebSocketStream<S>, mut runtime: Runtime)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut to_client, mut from_client) = client.split();
    loop {
        let idle = tokio::time::sleep(IDLE_TIME_MAX);
        // The runtime first: its last words must go out before the client's leaving ends it all.
        let passed = tokio::select! { biased;
            received = runtime.receiver.next() => match received {
                Ok(Some(Received::Data(stream, data))) => {
                    match to_message(&runtime.streams, stream, &data) {
                        Some(message) => to_client.send(message).await.is_ok(),
                        None => true,
                    }
                }
                Ok(Some(Received::Ping(payload))) => runtime.sender.pong(&payload).await.is_ok(),
                Ok(Some(Received::Other)) => true,
                Ok(None) | Err(_) => false,
            },
            message = from_client.next() => match message {
                Some(Ok(Message::Binary(data))) => to_runtime(&mut runtime, &data).await.is_ok(),
                Some(Ok(Message::Close(_)) | Err(_)) | None => false,
                Some(Ok(_)) => true,
            },
            () = idle => false,
        };
        if !passed {
            break;
        }
    }
    // A close without this code is an error to client-go, even behind a status of success.
    let normal = CloseFrame {
        code: CloseCode::Normal,
        reason: Utf8Bytes::default(),
    };
    let _ = to_client.send(Message::Close(Some(normal))).await;
}

fn to_message(streams: &BTreeMap<u8, u32>, stream: u32, data: &[u8]) -> Option<Message> {
    let (channel, _) = streams.iter().find(|(_, number)| **number == stream)?;
    // The end of a stream says nothing to the client, who waits for the status.
    (!data.is_empty()).then(|| Message::Binary([&[*channel], data].concat().into()))
}

async fn to_runtime(runtime: &mut Runtime, message: &[u8]) -> std::io::Result<()> {
    let Some((channel, data)) = message.split_first() else {
        return Ok(());
    };
    if *channel == CLOSE {
        let closed = data
            .first()
            .and_then(|channel| runtime.streams.get(channel));
        return match closed {
            Some(stream) => runtime.sender.finish(*stream).await,
            None => Ok(()),
        };
    }
    match runtime
        .streams
        .get(channel)
        .filter(|_| matches!(*channel, STDIN | RESIZE))
    {
        Some(stream) => runtime.sender.data(*stream, data).await,
        // Clients write to nothing else.
        None => Ok(()),
    }
}

/// The names and values of a query.
pub(super) fn pairs(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let mut out = Vec::with_capacity(text.len());
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            match byte {
                b'+' => out.push(b' '),
                b'%' => {
                    let hex: Vec<u8> = bytes.by_ref().take(2).collect();
                    let number = std::str::from_utf8(&hex)
                        .ok()
                        .and_then(|h| u8::from_str_radix(h, 16).ok());
                    out.push(number.unwrap_or(b'%'));
                }
                other => out.push(other),
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    };
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(n, v)| (decode(n), decode(v)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Wanted, pairs};

    #[test]
    fn reads_queries() {
        let want = Wanted {
            command: vec!["sh".to_owned(), "-c".to_owned(), "echo a b%".to_owned()],
            stdout: true,
            tty: true,
            ..Wanted::default()
        };
        assert_eq!(
            Wanted::parse("command=sh&command=-c&command=echo+a%20b%25&output=1&error=1&tty=true"),
            want
        );
        assert_eq!(
            pairs("a&b="),
            [
                ("a".to_owned(), String::new()),
                ("b".to_owned(), String::new())
            ]
        );
    }
}
