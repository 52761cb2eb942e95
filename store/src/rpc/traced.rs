//! Gives each call its span, from the first look at its headers to the last byte of its answer.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use tonic::{Code, Status};

use super::identity::LocalAddr;
use crate::traces::{Call, Tracer};

/// Only in the way of calls where spans are exported.
pub(super) async fn traced(State(tracer): State<Tracer>, request: Request, next: Next) -> Response {
    let local = request.extensions().get::<LocalAddr>().map(|local| local.0);
    let (path, headers) = (request.uri().path(), request.headers());
    let Some(mut call) = tracer.begin(path, headers, local) else {
        return next.run(request).await;
    };
    let response = next.run(request).await;
    // A refusal has no body; the status of any other answer comes behind it.
    match Status::from_header_map(response.headers()) {
        Some(status) => {
            call.end(status.code(), status.message());
            response
        }
        None => response.map(|body| Body::new(Answer { body, call })),
    }
}

/// The body of an answer, whose end is that of its call.
struct Answer {
    body: Body,
    call: Call,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    let status = Status::from_header_map(trailers);
                    match &status {
                        Some(status) => self.call.end(status.code(), status.message()),
                        None => self.call.end(Code::Unknown, "no status"),
                    }
                }
            }
            Poll::Ready(Some(Err(error))) => {
                let message = error.to_string();
                self.call.end(Code::Unknown, &message);
            }
            Poll::Ready(None) => self.call.end(Code::Unknown, "no status"),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
