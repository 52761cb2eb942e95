//! Gives each call its span, from the first look at its headers to the last byte of its answer.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tonic::{Code, Status};

use super::identity::LocalAddr;
use super::witness::{Witness, watch};
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
        None => response.map(|body| watch(body, call)),
    }
}

impl Witness for Call {
    fn end(&mut self, code: Code, message: &str) {
        Self::end(self, code, message);
    }
}
