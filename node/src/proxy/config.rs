//! The proxy's settings, read once from kube-proxy's flags.

use std::path::PathBuf;

use client::flags::{Error, Flags, Known};
use ipnet::Ipv4Net;

use super::ruleset::Settings;

/// The settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// How to reach the api-servers.
    pub kubeconfig: Option<PathBuf>,
    /// Api-servers in place of the kubeconfig's one.
    pub servers: Vec<String>,
    /// The node's name, to know which endpoints are here.
    pub node_name: String,
    /// What goes into the rules.
    pub rules: Settings,
    /// The log filter.
    pub log_level: String,
}

const VALUES: &[(&str, &str)] = &[
    ("kubeconfig", "path to the kubeconfig file"),
    ("master", "address of the api-server, over the kubeconfig's"),
    (
        "server",
        "addresses of api-servers, comma-separated, over the kubeconfig's",
    ),
    (
        "hostname-override",
        "the node's name (default: the host's name)",
    ),
    ("proxy-mode", "nftables is the only mode (default nftables)"),
    (
        "cluster-cidr",
        "the addresses of all pods; what comes to a service from elsewhere is masqueraded",
    ),
    ("nft-table", "the table to keep (default keelson-proxy)"),
    (
        "log-level",
        "log filter such as info or debug (default info)",
    ),
    ("v", "upstream's verbosity: 4 and more is debug"),
];

/// The flags that this program knows.
pub fn known() -> Known {
    let known = VALUES
        .iter()
        .fold(Known::new(), |known, (name, help)| known.value(name, help));
    known.switch(
        "masquerade-all",
        "masquerade everything that comes to a service",
    )
}

impl Config {
    /// Reads the flags.
    pub fn from_flags(flags: &Flags) -> Result<Self, Error> {
        let mode = flags.get("proxy-mode").unwrap_or("nftables");
        if !matches!(mode, "" | "nftables") {
            return Err(flags.invalid("proxy-mode", "only nftables is supported".to_owned()));
        }
        let cidr = flags.get("cluster-cidr").filter(|c| !c.is_empty());
        let cidr: Option<Result<Ipv4Net, _>> = cidr.map(str::parse);
        let cidr = cidr
            .transpose()
            .map_err(|_| flags.invalid("cluster-cidr", "must be an IPv4 range".to_owned()))?;
        let table = flags.get("nft-table").unwrap_or("keelson-proxy").to_owned();
        if table.is_empty()
            || !table
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        {
            return Err(flags.invalid("nft-table", "must be letters, digits, dashes".to_owned()));
        }
        let hostname = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let mut servers = flags.list("server");
        servers.extend(flags.list("master"));
        let verbosity: u32 = flags.parsed("v", 0)?;
        let level = if verbosity >= 4 {
            "info,node=debug"
        } else {
            "info"
        };
        Ok(Self {
            kubeconfig: flags
                .get("kubeconfig")
                .filter(|p| !p.is_empty())
                .map(PathBuf::from),
            servers,
            node_name: flags
                .get("hostname-override")
                .map_or_else(|| hostname().trim().to_lowercase(), str::to_owned),
            rules: Settings {
                table,
                cluster_cidr: cidr,
                masquerade_all: flags.switch("masquerade-all", false),
            },
            log_level: flags.get("log-level").unwrap_or(level).to_owned(),
        })
    }
}
