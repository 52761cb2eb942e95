//! Subresources of pods that only the pod's kubelet can serve: logs, exec, attach, port-forward.
//!
//! Reading order: [`proxy`] (what is passed on), [`path`] (a request in the kubelet's words),
//! [`client`] (the connection).

mod client;
mod path;
mod proxy;

pub use client::KubeletClient;
pub(super) use proxy::respond;
