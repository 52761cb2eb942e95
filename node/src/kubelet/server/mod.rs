//! The kubelet's HTTPS port: logs, exec, attach, the pods, health. Every client says who it is and
//! is allowed by the api-server.

mod access;
mod listen;
mod logs;
mod routes;
mod spdy;
mod stream;

pub use listen::Error;
pub(super) use listen::Server;
