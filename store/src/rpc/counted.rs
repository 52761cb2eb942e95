//! Counts the messages of a call in both directions, and its end.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::Request;
use axum::response::Response;
use tonic::{Code, Status};

use super::gate::{Method, Shape};
use super::witness::{Witness, watch};
use crate::metrics::{ClientVersion, Messages, Metrics};

/// Where a client says of which release it is.
const CLIENT_VERSION: &str = "client-api-version";

/// Counts the begin of a call, and has what comes in counted.
pub(super) fn request(metrics: &Metrics, method: &Method, request: Request) -> Request {
    let version = request.headers().get(CLIENT_VERSION);
    let version = version.and_then(|version| version.to_str().ok());
    let client = version.map_or(ClientVersion::UNKNOWN, ClientVersion::of);
    metrics.grpc_started(method, client);
    let passing = Passing::new(metrics.grpc_received(method));
    request.map(|body| watch(body, passing))
}

/// Has what goes out counted, and the end of a call: of one with one answer it is now, of any other the end
/// of its answers.
pub(super) fn response(
    metrics: &Arc<Metrics>,
    method: &'static Method,
    begun: Instant,
    response: Response,
) -> Response {
    let status = Status::from_header_map(response.headers());
    let passing = Passing::new(metrics.grpc_sent(method));
    let code = status.map(|status| status.code());
    match code {
        // A refusal has no body.
        Some(code) => {
            metrics.grpc_handled(method, code, begun.elapsed());
            response
        }
        None if method.shape == Shape::Unary => {
            metrics.grpc_handled(method, Code::Ok, begun.elapsed());
            response.map(|body| watch(body, passing))
        }
        None => {
            let answers = Answers {
                passing,
                metrics: metrics.clone(),
                method,
                begun,
                has_ended: false,
            };
            response.map(|body| watch(body, answers))
        }
    }
}

/// The messages of one direction. Each has a head of five bytes: a flag, and its length.
struct Passing {
    messages: Messages,
    head: Head,
}

/// How far the bytes are, in messages.
#[derive(Debug, Default)]
struct Head {
    /// Of the head under way.
    bytes: [u8; 5],
    have: usize,
    /// Bytes of the message under way that are to come.
    left: usize,
}

impl Head {
    /// How many messages began in `bytes`, and how many of the bytes are messages'.
    fn pass(&mut self, mut bytes: &[u8]) -> (u64, u64) {
        let (mut messages, mut inside) = (0, 0);
        while !bytes.is_empty() {
            if self.left > 0 {
                let taken = self.left.min(bytes.len());
                self.left -= taken;
                inside += taken as u64;
                bytes = &bytes[taken..];
                continue;
            }
            let taken = (self.bytes.len() - self.have).min(bytes.len());
            self.bytes[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == self.bytes.len() {
                let [_, length @ ..] = self.bytes;
                self.left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                self.have = 0;
                messages += 1;
            }
        }
        (messages, inside)
    }
}

impl Passing {
    fn new(messages: Messages) -> Self {
        Self {
            messages,
            head: Head::default(),
        }
    }
}

impl Witness for Passing {
    fn pass(&mut self, bytes: &[u8]) {
        let (messages, bytes) = self.head.pass(bytes);
        self.messages.add(messages, bytes);
    }
}

/// The answers of a call, and its end. Dropped before, its client gave it up.
struct Answers {
    passing: Passing,
    metrics: Arc<Metrics>,
    method: &'static Method,
    begun: Instant,
    has_ended: bool,
}

impl Witness for Answers {
    fn pass(&mut self, bytes: &[u8]) {
        self.passing.pass(bytes);
    }

    fn end(&mut self, code: Code, _message: &str) {
        if !std::mem::replace(&mut self.has_ended, true) {
            let took = self.begun.elapsed();
            self.metrics.grpc_handled(self.method, code, took);
        }
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.end(Code::Cancelled, "");
    }
}

#[cfg(test)]
mod tests {
    use super::Head;

    #[test]
    fn messages_are_found_however_their_bytes_are_cut() {
        let mut stream = Vec::new();
        for length in [0_u32, 3, 70_000, 1] {
            stream.push(0);
            stream.extend(length.to_be_bytes());
            stream.extend(vec![7; length as usize]);
        }
        for piece in [1, 2, 5, 7, 16_384, stream.len()] {
            let mut head = Head::default();
            let (mut messages, mut bytes) = (0, 0);
            for part in stream.chunks(piece) {
                let (began, inside) = head.pass(part);
                messages += began;
                bytes += inside;
            }
            assert_eq!((messages, bytes), (4, 70_004), "in pieces of {piece}");
        }
    }
}
