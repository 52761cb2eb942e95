//! Bodies into trees: JSON, YAML, and the protobuf that kubectl and client-go send.

use api_machinery::{protobuf, schema};
use api_meta::status::Status;
use bytes::Bytes;
use serde_json::Value;

use crate::registry::pipeline::Body;

const ACCEPTED: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
];

/// The media type of a `Content-Type` header without its parameters.
pub fn media_type(content_type: Option<&str>) -> String {
    let text = content_type.unwrap_or_default();
    text.split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

/// Decodes the body of a write.
pub fn decode(content_type: Option<&str>, bytes: &Bytes) -> Result<Body, Status> {
    match media_type(content_type).as_str() {
        "application/vnd.kubernetes.protobuf" => {
            let (_, value) =
                protobuf::decode(bytes).map_err(|error| Status::bad_request(error.to_string()))?;
            Ok(Body {
                value,
                duplicates: Vec::new(),
            })
        }
        "application/yaml" => Ok(Body {
            value: yaml(bytes)?,
            duplicates: Vec::new(),
        }),
        // Upstream's default, and what curl calls a body unless told otherwise is refused there too.
        "" | "application/json" => Ok(Body {
            value: json(bytes)?,
            duplicates: schema::duplicates(bytes),
        }),
        _ => Err(Status::unsupported_media_type(ACCEPTED)),
    }
}

/// Decodes the options that may come as the body of a deletion.
pub fn decode_optional(content_type: Option<&str>, bytes: &Bytes) -> Result<Option<Value>, Status> {
    if bytes.is_empty() {
        return Ok(None);
    }
    decode(content_type, bytes).map(|body| Some(body.value))
}

/// Decodes a patch, which is JSON in every form but one.
pub fn patch(bytes: &Bytes) -> Result<Value, Status> {
    serde_json::from_slice(bytes)
        .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))
}

fn json(bytes: &[u8]) -> Result<Value, Status> {
    serde_json::from_slice(bytes).map_err(|error| {
        Status::bad_request(format!(
            "couldn't get version/kind; json parse error: {error}"
        ))
    })
}

fn yaml(bytes: &[u8]) -> Result<Value, Status> {
    serde_yaml_ng::from_slice(bytes).map_err(|error| {
        Status::bad_request(format!(
            "couldn't get version/kind; yaml parse error: {error}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::decode;

    fn code(content_type: &str, body: &'static [u8]) -> Option<u16> {
        decode(Some(content_type), &Bytes::from_static(body))
            .err()
            .map(|status| status.code)
    }

    #[test]
    fn bodies_are_read_by_their_type() {
        assert_eq!(code("application/json; charset=utf-8", b"{\"a\":1}"), None);
        assert_eq!(code("application/yaml", b"a: 1"), None);
        assert_eq!(code("application/json", b"a: 1"), Some(400));
        assert_eq!(code("application/yaml", b"a: [1"), Some(400));
        assert_eq!(
            code("application/vnd.kubernetes.protobuf", b"nonsense"),
            Some(400)
        );
        assert_eq!(code("text/plain", b"{}"), Some(415));
        let body = decode(None, &Bytes::from_static(b"{\"a\":1,\"a\":2}")).unwrap();
        assert_eq!(body.duplicates, ["a"]);
    }
}
