//! The Container Runtime Interface v1: messages and clients, as far as the kubelet uses them.
//!
//! Everything is generated from `protos/`; this crate must never hold logic.
#![expect(
    missing_docs,
    reason = "generated from the protocol files, which carry the names"
)]
#![allow(
    clippy::all,
    reason = "generated code is not held to the hand-written code's lints"
)]

/// The messages, `RuntimeService` and `ImageService`.
pub mod v1 {
    tonic::include_proto!("runtime.v1");
}
