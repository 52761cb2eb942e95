//! The flags of `keelson up`.

use std::path::PathBuf;

use clap::Args;

/// Starts a local, highly available store: every member is a process of its own.
///
/// Everything lies below --data-dir: pki/, env.sh, logs/, and the state. A second
/// `up` on the same folder comes back with that state.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// The cluster's folder.
    #[arg(long, default_value = "keelson-data", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Return when the cluster is ready, and leave it running; `keelson down` ends it.
    #[arg(long)]
    pub(crate) detach: bool,
    /// Members of the store; 1, 3 or 5.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=5))]
    pub(crate) stores: u16,
    /// Api-servers. 0 starts a store alone, which is all that this version can do.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=5))]
    pub(crate) apiservers: u16,
    /// Controller managers, of which one leads.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=5))]
    pub(crate) controllers: u16,
    /// Schedulers, of which one leads.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=5))]
    pub(crate) schedulers: u16,
    /// Nodes that only report and run nothing. Without it: one real node as root, one hollow node otherwise.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=100))]
    pub(crate) hollow: Option<u16>,
    /// The first of the ports to use, one after another. Default: free ones, kept for the next start.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1024..=65000))]
    pub(crate) base_port: Option<u16>,
    /// How long to wait until the cluster is ready.
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    pub(crate) timeout: u64,
}

/// The folder of a cluster, and one component of it or all.
#[derive(Args, Clone, Debug)]
pub(crate) struct Target {
    /// A component, such as store-0 or apiserver-1. Default: all of them.
    pub(crate) name: Option<String>,
    /// The cluster's folder.
    #[arg(long, default_value = "keelson-data", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
}
