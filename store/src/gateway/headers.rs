//! Which of a request's headers reach the service, and under which names.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use tonic::Status;
use tonic::metadata::MetadataMap;

/// Headers under this prefix reach the service without it.
const METADATA: &str = "grpc-metadata-";
/// The headers below reach it with this one.
const GATEWAY: &str = "grpcgateway-";
/// How long the whole request may take.
const TIMEOUT: &str = "grpc-timeout";

/// The headers that IANA lists as permanent, as far as grpc-gateway passes them on.
const PERMANENT: &[HeaderName] = &[
    header::ACCEPT,
    header::ACCEPT_CHARSET,
    header::ACCEPT_LANGUAGE,
    header::ACCEPT_RANGES,
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::DATE,
    header::EXPECT,
    header::FROM,
    header::HOST,
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::IF_UNMODIFIED_SINCE,
    header::MAX_FORWARDS,
    header::ORIGIN,
    header::PRAGMA,
    header::REFERER,
    header::USER_AGENT,
    header::VIA,
    header::WARNING,
];

/// The metadata of the call.
pub(super) fn metadata(headers: &HeaderMap) -> MetadataMap {
    let mut metadata = HeaderMap::new();
    for (name, value) in headers {
        if !is_text(value) {
            continue;
        }
        if name == header::AUTHORIZATION {
            metadata.append(header::AUTHORIZATION, value.clone());
        }
        let name = match name.as_str().strip_prefix(METADATA) {
            Some(bare) if is_free(bare) => bare.to_owned(),
            None if PERMANENT.contains(name) => format!("{GATEWAY}{name}"),
            _ => continue,
        };
        if let Ok(name) = HeaderName::try_from(name) {
            metadata.append(name, value.clone());
        }
    }
    MetadataMap::from_headers(metadata)
}

/// Whether a client may set it: not what the protocol itself says by it, and no binary value, of which
/// the services know none.
fn is_free(name: &str) -> bool {
    let is_reserved = name.starts_with("grpc-") || matches!(name, "te" | "content-type");
    !is_reserved && !name.ends_with("-bin")
}

fn is_text(value: &HeaderValue) -> bool {
    value
        .as_bytes()
        .iter()
        .all(|byte| (b' '..=b'~').contains(byte))
}

/// How long the request may take; none without a word about it.
pub(super) fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get(TIMEOUT) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    match read_timeout(text) {
        Some(timeout) => Ok(Some(timeout)),
        None => Err(Status::invalid_argument(format!(
            "invalid grpc-timeout: {text}"
        ))),
    }
}

fn read_timeout(text: &str) -> Option<Duration> {
    let number = text.get(..text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok()?;
    let unit = match text.as_bytes().last()? {
        b'H' => Duration::from_secs(3_600),
        b'M' => Duration::from_secs(60),
        b'S' => Duration::from_secs(1),
        b'm' => Duration::from_millis(1),
        b'u' => Duration::from_micros(1),
        b'n' => Duration::from_nanos(1),
        _ => return None,
    };
    // Longer than anybody waits is as good as for ever.
    Some(unit.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX)))
}
