//! HTTP: from a connection to an answer.
//!
//! Reading order: [`tls`], [`listen`], [`stack`] (the layers, in order, once), [`request_info`],
//! [`router`], [`resource`] (verbs), [`negotiate`] and [`body`], [`decode`], [`render`] with [`table`],
//! [`list_stream`] and [`watch_stream`], [`errors`] and `warnings`, [`health`], [`documents`], [`kubelet`] (proxied
//! subresources). Only here do status codes and media types exist.

pub mod body;
pub mod decode;
pub mod documents;
pub mod errors;
pub mod health;
pub mod kubelet;
pub mod list_stream;
pub mod listen;
pub mod negotiate;
pub mod render;
pub mod request_info;
pub mod resource;
pub mod router;
pub mod stack;
pub mod subresource;
pub mod table;
pub mod tls;
mod warnings;
pub mod watch_stream;
