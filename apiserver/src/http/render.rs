//! Answers in the form that was negotiated.

use std::sync::Arc;

use api_meta::kinds::Kind;
use api_meta::status::Status;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::body::{Body, full};
use super::negotiate::{Encoding, Form, Shape};
use super::table::{self, Include};
use crate::cache::Object;

/// One object.
pub fn object(
    kind: &Kind,
    object: &Arc<Object>,
    form: Form,
    include: Include,
    code: StatusCode,
) -> Result<Response<Body>, Status> {
    let bytes = match (form.shape, form.encoding) {
        (Shape::Whole, Encoding::Json) => object.json.clone(),
        (Shape::Whole, _) => encode(&object.value()?, form)?,
        (Shape::Partial, _) => encode(&table::partial(&object.value()?), form)?,
        (Shape::Table, _) => {
            let metadata = match object.revision {
                0 => json!({}),
                revision => json!({"resourceVersion": revision.to_string()}),
            };
            encode(&table::table(kind, &[object], metadata, include)?, form)?
        }
    };
    Ok(bytes_response(bytes, form.content_type(), code))
}

/// A tree that is no stored object.
pub fn value(value: &Value, form: Form, code: StatusCode) -> Result<Response<Body>, Status> {
    Ok(bytes_response(
        encode(value, form)?,
        form.content_type(),
        code,
    ))
}

/// Bytes that are ready.
pub fn bytes_response(
    bytes: impl Into<Bytes>,
    content_type: &'static str,
    code: StatusCode,
) -> Response<Body> {
    let mut response = Response::new(full(bytes));
    *response.status_mut() = code;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A tree as bytes.
pub fn encode(value: &Value, form: Form) -> Result<Bytes, Status> {
    let mut bytes = match form.encoding {
        Encoding::Json => serde_json::to_vec(value).map_err(Status::internal)?,
        Encoding::Pretty => serde_json::to_vec_pretty(value).map_err(Status::internal)?,
        Encoding::Yaml => serde_yaml_ng::to_string(value)
            .map_err(Status::internal)?
            .into_bytes(),
    };
    if form.encoding != Encoding::Yaml {
        bytes.push(b'\n');
    }
    Ok(bytes.into())
}
