//! Between a message on the wire and its proto3 JSON: field names as the protocol files have them,
//! 64-bit numbers as strings, bytes in base64, nothing that has its default. Read, a field also goes
//! by its camel-case name, base64 by either alphabet, padded or not, an enum by its number; what the
//! protocol files do not know is passed over.

use axum::body::Body;
use bytes::Bytes;
use prost::Message;
use prost_reflect::{DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde::Deserialize;
use tonic::Status;

use super::distinct::Distinct;
use super::pieces::Pieces;
use crate::limits;

/// Reads one JSON value as a message of `kind`; its bytes on the wire.
pub(super) async fn to_wire(kind: &MessageDescriptor, json: Bytes) -> Result<Bytes, Status> {
    let kind = kind.clone();
    let bytes = json.len();
    let parsed = aside(bytes, move || parse(kind, &json)).await?;
    parsed.map_err(Status::invalid_argument)
}

fn parse(kind: MessageDescriptor, json: &[u8]) -> Result<Bytes, String> {
    let options = DeserializeOptions::new().deny_unknown_fields(false);
    let read = || {
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let message = DynamicMessage::deserialize_with_options(kind, &mut deserializer, &options)?;
        deserializer.end()?;
        Distinct::deserialize(&mut serde_json::Deserializer::from_slice(json))?;
        Ok::<_, serde_json::Error>(message)
    };
    match read() {
        Ok(message) => Ok(message.encode_to_vec().into()),
        // Go's word for it.
        Err(error) if error.is_eof() => Err("unexpected EOF".into()),
        Err(error) => Err(format!("proto: {error}")),
    }
}

/// A message of `kind` as JSON: a large one as the client takes it, so that it is never all there.
pub(super) async fn to_body(kind: &MessageDescriptor, wire: Bytes) -> Result<Body, Status> {
    if wire.len() < limits::GATEWAY_INLINE_BYTES {
        return Ok(to_json(kind, wire, Vec::new()).await?.into());
    }
    let pieces = Pieces::new(kind.clone(), wire);
    let stream = futures::stream::try_unfold(pieces, |mut pieces| async move {
        let next = tokio::task::spawn_blocking(move || (pieces.next_piece(), pieces)).await?;
        match next {
            (None, _) => Ok(None),
            (Some(Ok(piece)), pieces) => Ok(Some((Bytes::from(piece), pieces))),
            // Whoever reads it finds that it breaks off.
            (Some(Err(fault)), _) => Err(std::io::Error::other(fault)),
        }
    });
    Ok(Body::from_stream(stream))
}

/// Appends a message of `kind` as JSON.
pub(super) async fn to_json(
    kind: &MessageDescriptor,
    wire: Bytes,
    mut out: Vec<u8>,
) -> Result<Vec<u8>, Status> {
    let kind = kind.clone();
    let printed = aside(wire.len(), move || {
        print(kind, wire, &mut out).map(|()| out)
    })
    .await?;
    printed.map_err(|error| Status::internal(format!("an answer cannot be put as JSON: {error}")))
}

/// The same, at once.
pub(super) fn print(kind: MessageDescriptor, wire: Bytes, out: &mut Vec<u8>) -> Result<(), String> {
    let options = SerializeOptions::new().use_proto_field_name(true);
    let message = DynamicMessage::decode(kind, wire).map_err(|error| error.to_string())?;
    let mut serializer = serde_json::Serializer::new(out);
    message
        .serialize_with_options(&mut serializer, &options)
        .map_err(|error| error.to_string())
}

/// Runs what takes long for a large message on another thread.
async fn aside<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Status> {
    if bytes < limits::GATEWAY_INLINE_BYTES {
        return Ok(work());
    }
    let task = tokio::task::spawn_blocking(work).await;
    task.map_err(|error| Status::internal(format!("a message cannot be converted: {error}")))
}
