//! The addresses that a cluster gives to pods and Services. Pure.

use super::{Machine, Options, nodes};

/// One cluster's share of them, each as a CIDR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ranges {
    /// For the pods of a real node.
    pub(crate) pods: String,
    /// For Services: a part of 10.96.0.0/12, which upstream's local clusters take as a whole.
    pub(crate) services: String,
    /// The first address of that part, which is the `kubernetes` Service's.
    pub(crate) kubernetes: String,
    /// For the `LoadBalancer` Services that the local cloud provider serves.
    pub(crate) load_balancers: String,
}

impl Ranges {
    /// The share of the cluster that `options` describe.
    pub(crate) fn of(options: &Options, machine: &Machine) -> Self {
        // Proxies write their rules for the whole machine: a Service's address in two clusters would
        // lead the pods of one into the other. Hollow nodes write none, and all have the first share.
        let share = if nodes::has_real_node(options, machine) {
            machine.share
        } else {
            0
        };
        let services = format!("10.{}.{}", 96 + share / 16, share % 16 * 16);
        Self {
            pods: format!("10.244.{share}.0/24"),
            services: format!("{services}.0/20"),
            kubernetes: format!("{services}.1"),
            load_balancers: format!("10.112.{share}.0/24"),
        }
    }
}
