//! `/openapi/v2`: the head of the older document, and no types.
//!
//! Types are told by version 3 alone. A client that looks for one here finds none and goes on, as
//! kubectl does with a kind that nobody knows.

use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::json;

use crate::discovery::Document;

const TITLE: &str = "Kubernetes";
const VERSION: &str = "v1.36";
/// What Go clients ask for.
const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2";

static AS_JSON: LazyLock<Document> = LazyLock::new(|| Document {
    body: json!({"swagger": "2.0", "info": {"title": TITLE, "version": VERSION}, "paths": {}})
        .to_string()
        .into(),
    content_type: "application/json",
    etag: None,
});

static AS_PROTOBUF: LazyLock<Document> = LazyLock::new(|| Document {
    body: protobuf(),
    content_type: "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
    etag: None,
});

/// The document in the form that a client accepts.
pub fn respond(accept: &str) -> &'static Document {
    if accept.contains(PROTOBUF) {
        &AS_PROTOBUF
    } else {
        &AS_JSON
    }
}

/// The message `openapi.v2.Document` of gnostic's OpenAPIv2.proto: swagger 1, info 2 (title 1,
/// version 2), paths 8.
fn protobuf() -> Bytes {
    let info = [field(1, TITLE.as_bytes()), field(2, VERSION.as_bytes())].concat();
    [field(1, b"2.0"), field(2, &info), field(8, b"")]
        .concat()
        .into()
}

fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, &mut out);
    prost::encoding::encode_varint(bytes.len() as u64, &mut out);
    out.extend_from_slice(bytes);
    out
}

#[cfg(test)]
mod tests {
    use super::respond;

    #[test]
    fn a_client_gets_the_form_that_it_asks_for() {
        let json = respond("application/json, */*");
        assert_eq!(json.body[0], b'{');
        let asked = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
        assert_eq!(
            respond(asked).body[..],
            *b"\x0a\x032.0\x12\x13\x0a\x0aKubernetes\x12\x05v1.36\x42\x00"
        );
    }
}
