//! The scheduler's settings, read once from kube-scheduler's flags.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use client::flags::{Error, Flags, Known};

/// The settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// How to reach the api-servers; None means as a pod of the cluster.
    pub kubeconfig: Option<PathBuf>,
    /// Api-servers in place of the kubeconfig's one.
    pub servers: Vec<String>,
    /// Where /healthz and /metrics are served; None serves nothing.
    pub health: Option<SocketAddr>,
    /// Certificate and key of that port; None makes one.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Whether replicas share a lease. Without it, this one leads always.
    pub leader_elect: bool,
    /// The election.
    pub election: client::leader::Config,
    /// The log filter.
    pub log_level: String,
}

/// The flags with a value, and what each is for.
const VALUES: &[(&str, &str)] = &[
    ("kubeconfig", "path to the kubeconfig file"),
    ("master", "address of the api-server, over the kubeconfig's"),
    (
        "server",
        "addresses of api-servers, comma-separated, over the kubeconfig's",
    ),
    (
        "authentication-kubeconfig",
        "accepted; the health port needs no authentication",
    ),
    (
        "authorization-kubeconfig",
        "accepted; the health port needs no authorization",
    ),
    (
        "bind-address",
        "address of the health port (default 0.0.0.0)",
    ),
    (
        "secure-port",
        "the health port; 0 serves none (default 10259)",
    ),
    ("tls-cert-file", "certificate of the health port"),
    ("tls-private-key-file", "key of the health port"),
    ("cert-dir", "accepted; certificates are made in memory"),
    (
        "leader-elect-lease-duration",
        "how long the lease lasts (default 15s)",
    ),
    (
        "leader-elect-renew-deadline",
        "when the leader steps down (default 10s)",
    ),
    ("leader-elect-retry-period", "between tries (default 2s)"),
    (
        "leader-elect-identity",
        "who stands for election; must differ between replicas (default: the host's name and a random part)",
    ),
    (
        "leader-elect-resource-lock",
        "leases is the only kind (default leases)",
    ),
    (
        "leader-elect-resource-name",
        "the lease's name (default kube-scheduler)",
    ),
    (
        "leader-elect-resource-namespace",
        "the lease's namespace (default kube-system)",
    ),
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
        "leader-elect",
        "share a lease with other replicas (default true)",
    )
}

impl Config {
    /// Reads the flags.
    pub fn from_flags(flags: &Flags) -> Result<Self, Error> {
        let port: u16 = flags.parsed("secure-port", 10259)?;
        let address: IpAddr = flags.parsed("bind-address", IpAddr::from([0, 0, 0, 0]))?;
        let path = |name: &str| flags.get(name).filter(|p| !p.is_empty()).map(PathBuf::from);
        if flags
            .get("leader-elect-resource-lock")
            .is_some_and(|lock| lock != "leases")
        {
            return Err(flags.invalid(
                "leader-elect-resource-lock",
                "only leases are supported".to_owned(),
            ));
        }
        let mut election = client::leader::Config::new(
            flags
                .get("leader-elect-resource-namespace")
                .unwrap_or("kube-system"),
            flags
                .get("leader-elect-resource-name")
                .unwrap_or("kube-scheduler"),
        );
        if let Some(identity) = flags.get("leader-elect-identity") {
            identity.clone_into(&mut election.identity);
        }
        election.lease_duration =
            flags.duration("leader-elect-lease-duration", Duration::from_secs(15))?;
        election.renew_deadline =
            flags.duration("leader-elect-renew-deadline", Duration::from_secs(10))?;
        election.retry_period =
            flags.duration("leader-elect-retry-period", Duration::from_secs(2))?;
        let mut servers = flags.list("server");
        servers.extend(flags.list("master"));
        let verbosity: u32 = flags.parsed("v", 0)?;
        let level = if verbosity >= 4 {
            "info,scheduler=debug"
        } else {
            "info"
        };
        Ok(Self {
            kubeconfig: path("kubeconfig"),
            servers,
            health: (port != 0).then(|| SocketAddr::new(address, port)),
            certificate: flags.pair("tls-cert-file", "tls-private-key-file")?,
            leader_elect: flags.switch("leader-elect", true),
            election,
            log_level: flags.get("log-level").unwrap_or(level).to_owned(),
        })
    }
}
