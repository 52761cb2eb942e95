//! The scheduler: gives every waiting pod a node.
//!
//! It only ever writes bindings, the PodScheduled condition, nominations and events; everything it
//! knows it can learn again from the api-server.

pub mod cache;
pub mod config;
pub mod cycle;
mod feed;
pub mod framework;
pub mod plugins;
mod process;
pub mod queue;
pub mod run;
#[cfg(test)]
mod testing;

use std::process::ExitCode;

/// The name under which the scheduler writes.
pub const NAME: &str = "kube-scheduler";

/// Runs the scheduler as a process: `args` follow the program's name and are kube-scheduler's flags.
pub fn main_scheduler(args: Vec<String>) -> ExitCode {
    let program = process::Program {
        name: NAME,
        known: config::known(),
        read: config::Config::from_flags,
        log_level: |config: &config::Config| &config.log_level,
    };
    process::main(&program, &args, run::run)
}
