//! The store: a Raft-replicated key-value database that speaks etcd's v3 protocol.
//!
//! It knows nothing of Kubernetes. A write goes, by the numbers of the modules below:
//! 1 `rpc` checks the request (as JSON, by way of `gateway`), 3 `command` encodes it, 4 `consensus` orders it and `log` makes it
//! durable, 5 `apply` decides it, 6 `mvcc` stores it, 7 `watch` tells who asked. Reads go
//! 1 `rpc`, 2 `read`, 6 `mvcc`. `server` puts the parts together as one process:
//! [`config::Config`] -> [`server::Store::build`] -> [`server::Store::run`].

pub mod server;

pub mod config;
pub mod data_dir;
pub mod limits;
pub mod logging;
pub mod metrics;
pub mod tls;
mod words;

pub(crate) mod gateway;
pub mod rpc;

pub mod read;

pub mod command;

pub mod consensus;
pub mod disk;
mod failpoint;
pub mod log;
pub mod planted;

pub mod apply;
pub mod auth;
pub mod lease;

pub mod mvcc;

pub mod watch;

mod profile;
pub mod traces;

pub mod engine;
pub mod keys;

pub mod tools;

pub use server::main_store;
