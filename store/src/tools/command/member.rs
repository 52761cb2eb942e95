//! The flags that say which member is made of what is restored.

use std::path::PathBuf;

use clap::Args;

use super::super::restore;

/// See the module.
#[derive(Args)]
pub(super) struct Member {
    /// Path to the output data directory (default: NAME.etcd)
    #[arg(long)]
    pub(super) data_dir: Option<PathBuf>,
    /// Initial cluster configuration for restore bootstrap (default: NAME=PEER-URLS)
    #[arg(long)]
    initial_cluster: Option<String>,
    /// Initial cluster token for the etcd cluster during restore bootstrap
    #[arg(long, default_value = "etcd-cluster")]
    initial_cluster_token: String,
    /// List of this member's peer URLs to advertise to the rest of the cluster
    #[arg(long, default_value = "http://localhost:2380")]
    initial_advertise_peer_urls: String,
    /// Human-readable name for this member
    #[arg(long, default_value = "default")]
    name: String,
}

impl Member {
    /// What to make, of a file that is not known yet.
    pub(super) fn options(self, wal_dir: Option<PathBuf>) -> restore::Options {
        let data_dir = self.data_dir.filter(|dir| !dir.as_os_str().is_empty());
        let alone = || {
            let urls = self.initial_advertise_peer_urls.split(',');
            let urls = urls.map(|url| format!("{}={url}", self.name));
            urls.collect::<Vec<_>>().join(",")
        };
        restore::Options {
            file: PathBuf::new(),
            data_dir: data_dir.unwrap_or_else(|| format!("{}.etcd", self.name).into()),
            wal_dir: wal_dir.filter(|dir| !dir.as_os_str().is_empty()),
            initial_cluster: self.initial_cluster.clone().unwrap_or_else(alone),
            name: self.name,
            cluster_token: self.initial_cluster_token,
            peer_urls: self.initial_advertise_peer_urls,
            skips_hash_check: false,
            bump_revision: 0,
        }
    }
}
