//! The etcd v3 wire: messages, clients (feature `client`) and servers (feature `server`).
//!
//! Everything is generated from `protos/`; this crate must never hold logic.
#![expect(
    missing_docs,
    reason = "generated from the protocol files, which carry the names"
)]
#![allow(
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    reason = "generated code is not held to the hand-written code's lints"
)]

/// The protocol files as a `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Stored key-values and events.
pub mod mvccpb {
    tonic::include_proto!("mvccpb");
}
/// Users, roles and permissions.
pub mod authpb {
    tonic::include_proto!("authpb");
}
/// Members as the log replicates them.
pub mod membershippb {
    tonic::include_proto!("membershippb");
}
/// The v3 services, and the replicated command (`InternalRaftRequest`).
pub mod etcdserverpb {
    tonic::include_proto!("etcdserverpb");
}
/// The lock service.
pub mod v3lockpb {
    tonic::include_proto!("v3lockpb");
}
/// The election service.
pub mod v3electionpb {
    tonic::include_proto!("v3electionpb");
}
