//! etcd's JSON gateway: the gRPC services below `/v3` as JSON over HTTP/1 and over websockets.
//!
//! A request is turned into the gRPC request that it stands for and handed, in this process, to the
//! very services that gRPC clients reach, with all that they pass on their way. Nothing is decided
//! here: neither who may do what, nor what anything means.
//!
//! What grpc-gateway v2 and grpc-websocket-proxy do for etcd 3.7, from one table of routes and the
//! descriptors of the protocol files.

mod answer;
mod call;
mod distinct;
mod door;
mod headers;
mod json;
mod pieces;
mod routes;
mod values;
mod websocket;

#[cfg(test)]
mod tests;

pub(crate) use door::door;
