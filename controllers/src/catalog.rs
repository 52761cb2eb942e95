//! The one list of the controllers that exist, under upstream's names.

use crate::driver::Builder;
use crate::options::Program;

/// A controller.
#[derive(Debug)]
pub struct Entry {
    /// Its name in `--controllers`.
    pub name: &'static str,
    /// Its service account in `kube-system`. The bootstrap role `system:controller:` with this name says what it may do.
    pub account: &'static str,
    /// Adds its handlers and workers.
    pub build: fn(&mut Builder),
}

/// The controllers of a program.
pub fn entries(program: Program) -> &'static [Entry] {
    match program {
        Program::Controllers => CONTROLLERS,
        Program::CloudControllers => CLOUD_CONTROLLERS,
    }
}

const fn entry(name: &'static str, account: &'static str, build: fn(&mut Builder)) -> Entry {
    Entry {
        name,
        account,
        build,
    }
}

static CONTROLLERS: &[Entry] = &[
    entry(
        "serviceaccount-controller",
        "service-account-controller",
        crate::serviceaccount::build,
    ),
    entry(
        "root-ca-certificate-publisher-controller",
        "root-ca-cert-publisher",
        crate::rootca::build,
    ),
    entry(
        "namespace-controller",
        "namespace-controller",
        crate::namespace::build,
    ),
    entry(
        "garbage-collector-controller",
        "generic-garbage-collector",
        crate::gc::build,
    ),
    entry(
        "replicaset-controller",
        "replicaset-controller",
        crate::replicaset::build,
    ),
    entry(
        "deployment-controller",
        "deployment-controller",
        crate::deployment::build,
    ),
    entry("job-controller", "job-controller", crate::job::build),
    entry(
        "ttl-after-finished-controller",
        "ttl-after-finished-controller",
        crate::job::ttl::build,
    ),
    entry(
        "endpoints-controller",
        "endpoint-controller",
        crate::endpoints::build,
    ),
    entry(
        "endpointslice-controller",
        "endpointslice-controller",
        crate::endpointslice::build,
    ),
    // Whatever looks after nodes shares one account, as upstream.
    entry(
        "node-lifecycle-controller",
        "node-controller",
        crate::nodes::build,
    ),
    entry(
        "taint-eviction-controller",
        "node-controller",
        crate::eviction::build,
    ),
    entry(
        "pod-garbage-collector-controller",
        "pod-garbage-collector",
        crate::podgc::build,
    ),
];

static CLOUD_CONTROLLERS: &[Entry] = &[
    entry(
        "cloud-node-controller",
        "node-controller",
        crate::cloud::node::build,
    ),
    entry(
        "service-lb-controller",
        "service-controller",
        crate::cloud::balancer::build,
    ),
];

#[cfg(test)]
mod tests;
