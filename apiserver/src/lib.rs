//! The Kubernetes API over an etcd v3 store, as far as it is built: the rooms below are whole and
//! tested, but no server is put together of them yet.
//!
//! The rooms in the order in which a request will pass them: [`authn`] and [`authz`], [`admission`], [`storage`];
//! reads are served by [`cache`]; [`discovery`] and [`openapi`] tell what is served. A room calls
//! later rooms, never earlier ones. Nothing here knows how the store keeps its data: it is reached
//! over the etcd wire alone.

pub mod admission;
pub mod authn;
pub mod authz;
pub mod cache;
pub mod config;
pub mod discovery;
pub mod openapi;
pub mod storage;
