//! The kinds that do something, one file each. Each is a [`super::strategy::Strategy`].

pub(crate) mod certificate_signing_request;
pub(crate) mod event;
pub(crate) mod job;
pub(crate) mod namespace;
pub(crate) mod node;
pub(crate) mod node_ports;
pub(crate) mod pod;
pub(crate) mod port_range;
pub(crate) mod secret;
pub(crate) mod service;
pub(crate) mod service_ips;
pub(crate) mod workload;
