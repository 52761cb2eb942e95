//! The local cluster: `keelson up` and the commands that steer it.
//!
//! `options` and free `ports` become a `plan` of components, kept as `spec` in the cluster's
//! folder; each is a `process`; `ready` waits for them, `status` looks at them, `show` prints.
//! `real_node` is what a node that runs containers needs beside its processes.

mod control;
mod files;
mod launch;
mod machine;
mod options;
mod pki;
mod plan;
mod ports;
mod process;
mod ready;
mod real_node;
mod shape;
mod show;
mod spec;
mod status;

pub(crate) use control::{Act, act, report};
pub(crate) use launch::run;
pub(crate) use options::{Options, Target};
