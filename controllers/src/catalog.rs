//! The one list of the controllers that exist, under upstream's names.

use crate::driver::Builder;
use crate::options::Program;

/// A controller.
#[derive(Debug)]
pub struct Entry {
    /// Its name in `--controllers`.
    pub name: &'static str,
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

static CONTROLLERS: &[Entry] = &[
    Entry {
        name: "serviceaccount-controller",
        build: crate::serviceaccount::build,
    },
    Entry {
        name: "root-ca-certificate-publisher-controller",
        build: crate::rootca::build,
    },
    Entry {
        name: "namespace-controller",
        build: crate::namespace::build,
    },
    Entry {
        name: "replicaset-controller",
        build: crate::replicaset::build,
    },
    Entry {
        name: "deployment-controller",
        build: crate::deployment::build,
    },
    Entry {
        name: "garbage-collector-controller",
        build: crate::gc::build,
    },
];

static CLOUD_CONTROLLERS: &[Entry] = &[];
