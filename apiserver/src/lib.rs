//! The Kubernetes API over an etcd v3 store.
//!
//! The rooms in the order in which a request passes them: [`http`], [`authn`] and [`authz`],
//! [`flowcontrol`], [`admission`], [`registry`], [`storage`]; reads are served by [`cache`].
//! A room calls later rooms, never earlier ones. Nothing here knows how the store keeps its data:
//! it is reached over the etcd wire alone.

pub mod admission;
pub mod authn;
pub mod authz;
pub mod bootstrap;
pub mod cache;
pub mod command;
pub mod config;
pub mod discovery;
pub mod flowcontrol;
pub mod http;
pub mod metrics;
pub mod openapi;
pub mod registry;
pub mod reviews;
pub mod server;
pub mod storage;

pub use command::main_apiserver;
pub use config::Config;
pub use server::Server;
