//! Commands to bytes and back.

use bytes::Bytes;
use prost::{DecodeError, Message};
use proto_etcd::etcdserverpb::InternalRaftRequest;

/// A command as the log holds it.
pub fn encode(request: &InternalRaftRequest) -> Bytes {
    request.encode_to_vec().into()
}

/// Reads a command. Keys and values share the memory of `bytes`.
pub fn decode(bytes: Bytes) -> Result<InternalRaftRequest, DecodeError> {
    InternalRaftRequest::decode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use proto_etcd::etcdserverpb::{PutRequest, RequestHeader};

    #[test]
    fn a_command_keeps_its_bytes() {
        let request = InternalRaftRequest {
            header: Some(RequestHeader {
                id: 7,
                ..RequestHeader::default()
            }),
            put: Some(PutRequest {
                key: "foo".into(),
                value: "bar".into(),
                lease: 1,
                ..PutRequest::default()
            }),
            ..InternalRaftRequest::default()
        };
        let bytes = encode(&request);
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        expect!["220c0a03666f6f12036261721801a206020807"].assert_eq(&text);
        assert_eq!(decode(bytes), Ok(request));
    }
}
