//! The api-server against a real etcd and under a real kubectl.
//!
//! Each test has its own store and its own servers in this process, reached over TLS as any client
//! would. The peers are taken from the folder that `KEELSON_PEERS_BIN` names; a missing one fails
//! the test.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod client;
mod harness;
mod kubectl;
mod kubelet_streams;
mod objects;
mod overload;
mod pki;
mod publishing;
mod services;
mod stale_cache;
mod store_faults;
mod watches;
