//! A refusal as an HTTP answer: the one table from [`Status`] to the wire.

use api_meta::status::Status;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};

use super::body::{Body, ReadError, full};

/// The answer that carries a Status.
pub fn respond(status: &Status) -> Response<Body> {
    let mut response = Response::new(full(status.to_json()));
    *response.status_mut() = code(status);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = status.retry_after_seconds() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The HTTP code of a Status; a success without a code is 200.
pub fn code(status: &Status) -> StatusCode {
    match status.code {
        0 => StatusCode::OK,
        code => StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// A body that could not be read.
pub fn of_body(error: &ReadError) -> Status {
    match error {
        ReadError::TooLarge => Status::failure(413, "RequestEntityTooLarge", error.to_string()),
        ReadError::Broken(_) => Status::bad_request(error.to_string()),
    }
}

/// Plain text for paths that speak no API.
pub fn plain(code: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(full(text));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(
        "x-content-type-options",
        HeaderValue::from_static("nosniff"),
    );
    response
}
