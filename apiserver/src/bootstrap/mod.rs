//! What a cluster must have, made and kept by the servers themselves.
//!
//! Reading order: [`config`], [`service`] (the order of the steps and the loops), [`defaults`] (the
//! objects), [`ensure`] (how one object is made or mended), [`roles`], [`authentication`],
//! [`service_cidr`], [`endpoints`] with [`masters`] (who serves the API), [`identity`]. Every step
//! can be repeated and runs on all replicas at once; none takes away what a user added.

mod authentication;
mod config;
mod defaults;
mod endpoints;
mod ensure;
mod identity;
mod masters;
mod roles;
mod service;
mod service_cidr;

pub use config::Config;
pub use service::{Bootstrap, Progress};
