//! The store as its clients and operators meet it: real sockets, real folders, and the real etcdctl
//! and etcd as judges. Members run in the test's own process, so that a test can stop one in order;
//! whole processes are killed elsewhere, with the binary.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod auth;
mod backup;
mod bad_input;
mod cluster;
mod concurrency;
mod corruption;
mod differential;
mod downgrade;
mod gateway;
mod harness;
mod http;
mod lease;
mod load;
mod metrics;
mod migrate;
mod one_member;
mod pings;
mod process;
mod profiles;
mod random;
mod real;
mod recovery;
mod snapshot;
mod surface;
mod tls;
mod traces;
mod watch;
