//! Looks at a body on its way: at the bytes that pass, and at its end.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use tonic::{Code, Status};

/// Is told what passes. Dropped before the end where whoever reads the body gives it up.
pub(super) trait Witness: Send + Unpin + 'static {
    /// The next bytes.
    fn pass(&mut self, _bytes: &[u8]) {}

    /// The end of an answer, by the status behind it. May be told more than once; the first one counts.
    fn end(&mut self, _code: Code, _message: &str) {}
}

/// The same body, seen by `witness`.
pub(super) fn watch(body: Body, witness: impl Witness) -> Body {
    Body::new(Watched { body, witness })
}

struct Watched<W> {
    body: Body,
    witness: W,
}

impl<W: Witness> hyper::body::Body for Watched<W> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        let witness = &mut self.witness;
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(bytes) = frame.data_ref() {
                    witness.pass(bytes);
                }
                if let Some(trailers) = frame.trailers_ref() {
                    match Status::from_header_map(trailers) {
                        Some(status) => witness.end(status.code(), status.message()),
                        None => witness.end(Code::Unknown, "no status"),
                    }
                }
            }
            Poll::Ready(Some(Err(error))) => witness.end(Code::Unknown, &error.to_string()),
            Poll::Ready(None) => witness.end(Code::Unknown, "no status"),
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
