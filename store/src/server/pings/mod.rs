//! Cuts off clients that ping too often (`--grpc-keepalive-min-time`), as etcd's gRPC server does.
//!
//! The HTTP/2 library answers pings and tells nobody. So this reads along: `frames` finds the heads of
//! frames in what goes by, `strikes` decides by them, and `stream` sends the last word and closes.
//! Never changes a byte of a connection that stays.

mod frames;
mod stream;
mod strikes;

pub(super) use stream::Policed;
