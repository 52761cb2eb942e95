//! Answers in grpc-gateway's forms.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use tonic::{Code, Status};

/// The one header of the gRPC answer that etcd's gateway shows.
const GRPC_CONTENT_TYPE: HeaderName = HeaderName::from_static("grpc-metadata-content-type");

/// A status as JSON. etcd gives no details.
#[derive(Serialize)]
struct Error<'a> {
    #[serde(skip_serializing_if = "is_zero")]
    code: i32,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn is_zero(code: &i32) -> bool {
    *code == 0
}

#[derive(Serialize)]
struct StreamError<'a> {
    error: Error<'a>,
}

fn error_of(status: &Status) -> Error<'_> {
    Error {
        code: i32::from(status.code()),
        message: status.message(),
    }
}

/// A message.
pub(super) fn message(body: Body) -> Response {
    good(body)
}

/// The parts of a stream, each of them with its end of line.
pub(super) fn stream(body: Body) -> Response {
    good(body)
}

fn good(body: Body) -> Response {
    let mut response = json(StatusCode::OK, body);
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(GRPC_CONTENT_TYPE, grpc);
    response
}

/// A stream that has ended in order without a message.
pub(super) fn empty_stream() -> Response {
    Response::new(Body::from_stream(futures::stream::empty::<
        Result<bytes::Bytes, std::convert::Infallible>,
    >()))
}

/// What went wrong.
pub(super) fn error(status: &Status) -> Response {
    let body = serde_json::to_vec(&error_of(status)).unwrap_or_default();
    let mut response = json(http_status(status.code()), Body::from(body));
    if status.code() == Code::Unauthenticated
        && let Ok(words) = HeaderValue::from_str(status.message())
    {
        let headers = response.headers_mut();
        headers.insert(header::WWW_AUTHENTICATE, words);
    }
    response
}

/// What went wrong before a stream's first message.
pub(super) fn stream_error(status: &Status) -> Response {
    json(
        http_status(status.code()),
        Body::from(stream_error_line(status)),
    )
}

/// What went wrong, as a stream says it.
pub(super) fn stream_error_line(status: &Status) -> Vec<u8> {
    let error = error_of(status);
    let mut line = serde_json::to_vec(&StreamError { error }).unwrap_or_default();
    line.push(b'\n');
    line
}

fn json(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// google.rpc.Code's table.
pub(super) fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        // nginx's "client closed request".
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
