//! Calls the services in this process, by the bytes of messages.

use axum::Router;
use bytes::{Buf, BufMut, Bytes};
use futures::Stream;
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Request, Status, Streaming};

/// Messages that are bytes already.
#[derive(Clone, Copy, Debug, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// One message each way.
pub(super) async fn unary(
    services: &Router,
    rpc: &PathAndQuery,
    metadata: MetadataMap,
    message: Bytes,
) -> Result<Bytes, Status> {
    let request = Request::from_parts(metadata, Extensions::new(), message);
    let answer = client(services).unary(request, rpc.clone(), Raw).await?;
    Ok(answer.into_inner())
}

/// Any number of messages each way.
pub(super) async fn streaming(
    services: &Router,
    rpc: &PathAndQuery,
    metadata: MetadataMap,
    messages: impl Stream<Item = Bytes> + Send + 'static,
) -> Result<Streaming<Bytes>, Status> {
    let request = Request::from_parts(metadata, Extensions::new(), messages);
    let answer = client(services)
        .streaming(request, rpc.clone(), Raw)
        .await?;
    Ok(answer.into_inner())
}

/// What the services answer has no limit, as for other clients.
fn client(services: &Router) -> Grpc<Router> {
    Grpc::new(services.clone()).max_decoding_message_size(usize::MAX)
}
