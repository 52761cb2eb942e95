//! The flags of `keelson up`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

/// Shown below the flags.
const HELP: &str = "\
As root, a cluster has one real node. Its containers run in a containerd of the cluster's own, which
needs the packages containerd, runc, containernetworking-plugins, nftables, iproute2 and
busybox-static. Otherwise it has one hollow node, which reports pods as running and runs nothing.

Everything lies below --data-dir: pki/, kubeconfig, env.sh, logs/, and the state. A second `up` on
the same folder comes back with that state, in the shape of the first: flags that ask for another
shape are refused.

Examples:
  keelson up                       a whole cluster, shown until Ctrl-C
  keelson up --detach --hollow 50  one with fifty nodes that run nothing, left running
  keelson up --apiservers 0        a store alone, for etcdctl and every other client of etcd
Then take its environment into a shell, and use it:
  . keelson-data/env.sh
  kubectl create deployment web --image=keelson/tour:latest --replicas=3";

/// Starts a local, highly available cluster: every component is a process of its own.
#[derive(Args, Clone, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Options {
    /// The cluster's folder.
    #[arg(long, default_value = "keelson-data", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Return when the cluster is ready, and leave it running; `keelson down` ends it with its pods.
    #[arg(long)]
    pub(crate) detach: bool,
    /// Members of the store: an odd number, for one more would outlive no more failures. Default: 3.
    #[arg(long, value_name = "N", value_parser = odd())]
    pub(crate) stores: Option<u16>,
    /// Api-servers; clients use another one when theirs is down. 0 starts a store alone. Default: 2.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=5))]
    pub(crate) apiservers: Option<u16>,
    /// Controller managers, of which one leads. Default: 2.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=5))]
    pub(crate) controllers: Option<u16>,
    /// Schedulers, of which one leads. Default: 2.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=5))]
    pub(crate) schedulers: Option<u16>,
    /// Nodes that only report and run nothing, and no real one.
    /// Default: one real node as root, one hollow node otherwise.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=100))]
    pub(crate) hollow: Option<u16>,
    /// The first of the ports to use, one after another. Default: free ones, kept for the next start.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1024..=65000))]
    pub(crate) base_port: Option<u16>,
    /// How long to wait until the cluster is ready.
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    pub(crate) timeout: u64,
}

impl Options {
    /// Members of the store.
    pub(crate) fn stores(&self) -> u16 {
        self.stores.unwrap_or(3)
    }

    /// Api-servers.
    pub(crate) fn apiservers(&self) -> u16 {
        self.apiservers.unwrap_or(2)
    }

    /// Controller managers.
    pub(crate) fn controllers(&self) -> u16 {
        self.controllers.unwrap_or(2)
    }

    /// Schedulers.
    pub(crate) fn schedulers(&self) -> u16 {
        self.schedulers.unwrap_or(2)
    }
}

/// Clap names the values that it takes.
fn odd() -> impl TypedValueParser<Value = u16> {
    PossibleValuesParser::new(["1", "3", "5"]).try_map(|value| value.parse::<u16>())
}

/// The folder of a cluster, and one component of it or all.
#[derive(Args, Clone, Debug)]
pub(crate) struct Target {
    /// A component, such as store-0, apiserver-1 or runtime-0. Default: all of them.
    pub(crate) name: Option<String>,
    /// The cluster's folder.
    #[arg(long, default_value = "keelson-data", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
}
