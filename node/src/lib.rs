//! The node: the kubelet, which runs pods, and the proxy, which leads to services.
//!
//! Neither holds anything that the api-server or the container runtime could not tell it again.

pub mod bundle;
mod http;
pub mod kubelet;
mod process;
pub mod proxy;
mod quantity;
pub mod runtime;

use std::process::ExitCode;

/// Runs the kubelet as a process: `args` follow the program's name and are kubelet's flags.
pub fn main_kubelet(args: Vec<String>) -> ExitCode {
    let program = process::Program {
        name: "kubelet",
        known: kubelet::known(),
        read: kubelet::Config::from_flags,
        log_level: |config: &kubelet::Config| &config.log_level,
    };
    process::main(&program, &args, kubelet::run)
}

/// Runs the service proxy as a process: `args` follow the program's name and are kube-proxy's flags.
pub fn main_proxy(args: Vec<String>) -> ExitCode {
    let program = process::Program {
        name: "kube-proxy",
        known: proxy::known(),
        read: proxy::Config::from_flags,
        log_level: |config: &proxy::Config| &config.log_level,
    };
    process::main(&program, &args, proxy::run)
}
