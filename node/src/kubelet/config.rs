//! The kubelet's settings, read once from its flags.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use client::flags::{Error, Flags};
use ipnet::IpNet;
use k8s_openapi::api::core::v1::Taint;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::machine;

/// The settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// How to reach the api-servers.
    pub kubeconfig: Option<PathBuf>,
    /// Api-servers in place of the kubeconfig's one.
    pub servers: Vec<String>,
    /// The node's name.
    pub node_name: String,
    /// The node's addresses, the main one first.
    pub node_ips: Vec<IpAddr>,
    /// Labels over the usual ones.
    pub labels: BTreeMap<String, String>,
    /// Taints from the start.
    pub taints: Vec<Taint>,
    /// Whether to make the Node object.
    pub register: bool,
    /// Whether the node starts cordoned.
    pub unschedulable: bool,
    /// The runtime's socket.
    pub runtime_endpoint: String,
    /// Where pods' files are.
    pub root: PathBuf,
    /// Where pods' logs are.
    pub logs: PathBuf,
    /// Where to serve.
    pub address: SocketAddr,
    /// Certificate and key of the server; None makes one.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// The CA of clients with certificates.
    pub client_ca: Option<PathBuf>,
    /// Answer clients that do not say who they are.
    pub anonymous: bool,
    /// Ask the api-server about bearer tokens.
    pub token_webhook: bool,
    /// Ask the api-server whether a client may; otherwise every known client may.
    pub authorize: bool,
    /// The addresses of this node's pods.
    pub pod_cidr: Option<IpNet>,
    /// Images whose whole name begins so are never pulled: they are made on the node.
    pub local_images: Option<String>,
    /// The cluster's DNS.
    pub cluster_dns: Vec<String>,
    /// The cluster's domain.
    pub cluster_domain: String,
    /// How many pods the node takes.
    pub max_pods: u32,
    /// Amounts over what the machine has.
    pub capacity: BTreeMap<String, Quantity>,
    /// Amounts that pods cannot have.
    pub reserved: BTreeMap<String, Quantity>,
    /// How often the node is looked at.
    pub status_period: Duration,
    /// Run nothing.
    pub hollow: bool,
    /// The log filter.
    pub log_level: String,
}

impl Config {
    /// Reads the flags.
    pub fn from_flags(flags: &Flags) -> Result<Self, Error> {
        let hollow = flags.switch("hollow", false);
        let path = |name: &str| flags.get(name).filter(|p| !p.is_empty()).map(PathBuf::from);
        let ip: IpAddr = flags.parsed("address", IpAddr::from([0, 0, 0, 0]))?;
        let port = flags.parsed("port", if hollow { 0 } else { 10250 })?;
        let node_ips = node_ips(flags)?;
        let mode = flags.get("authorization-mode").unwrap_or("Webhook");
        if !matches!(mode, "Webhook" | "AlwaysAllow") {
            return Err(flags.invalid(
                "authorization-mode",
                "must be Webhook or AlwaysAllow".to_owned(),
            ));
        }
        let cidr = flags.get("pod-cidr").filter(|c| !c.is_empty());
        let cidr = cidr.map(|c| {
            c.parse()
                .map_err(|_| flags.invalid("pod-cidr", format!("invalid CIDR {c:?}")))
        });
        let verbosity: u32 = flags.parsed("v", 0)?;
        let level = if verbosity >= 4 {
            "info,node=debug"
        } else {
            "info"
        };
        let root = path("root-dir").unwrap_or_else(|| PathBuf::from("/var/lib/kubelet"));
        Ok(Self {
            kubeconfig: path("kubeconfig"),
            servers: flags.list("server"),
            node_name: flags
                .get("hostname-override")
                .map_or_else(machine::hostname, str::to_owned),
            node_ips,
            labels: pairs(flags, "node-labels")?,
            taints: taints(flags)?,
            register: flags.switch("register-node", true),
            unschedulable: !flags.switch("register-schedulable", true),
            runtime_endpoint: flags
                .get("container-runtime-endpoint")
                .unwrap_or("unix:///run/containerd/containerd.sock")
                .to_owned(),
            logs: path("pod-logs-dir").unwrap_or_else(|| PathBuf::from("/var/log/pods")),
            root,
            address: SocketAddr::new(ip, port),
            certificate: flags.pair("tls-cert-file", "tls-private-key-file")?,
            client_ca: path("client-ca-file"),
            anonymous: flags.switch("anonymous-auth", false),
            token_webhook: flags.switch("authentication-token-webhook", true),
            authorize: mode == "Webhook",
            pod_cidr: cidr.transpose()?,
            local_images: flags
                .get("local-image-prefix")
                .filter(|p| !p.is_empty())
                .map(str::to_owned),
            cluster_dns: flags.list("cluster-dns"),
            cluster_domain: flags
                .get("cluster-domain")
                .unwrap_or("cluster.local")
                .to_owned(),
            max_pods: flags.parsed("max-pods", 110)?,
            capacity: amounts(flags, "capacity")?,
            reserved: amounts(flags, "system-reserved")?,
            status_period: flags
                .duration("node-status-update-frequency", Duration::from_secs(10))?,
            hollow,
            log_level: flags.get("log-level").unwrap_or(level).to_owned(),
        })
    }

    /// The addresses of pods: as given, or for a hollow node a range of its own, chosen by its
    /// name, so that several of them on one machine rarely meet.
    pub fn pod_range(&self) -> IpNet {
        self.pod_cidr.unwrap_or_else(|| {
            let bytes = self.node_name.bytes();
            let hash = bytes.fold(0x811c_9dc5_u32, |h, b| {
                (h ^ u32::from(b)).wrapping_mul(0x0100_0193)
            });
            let [high, low, ..] = hash.to_be_bytes();
            let net = ipnet::Ipv4Net::new([10, 64 + high % 64, low, 0].into(), 24);
            net.map_or_else(|_| IpNet::default(), IpNet::V4)
        })
    }
}

/// The given addresses, or the one from which the machine would leave.
fn node_ips(flags: &Flags) -> Result<Vec<IpAddr>, Error> {
    let mut out = Vec::new();
    for text in flags.list("node-ip") {
        let ip = text.parse();
        out.push(ip.map_err(|_| flags.invalid("node-ip", format!("invalid IP {text:?}")))?);
    }
    if out.is_empty() {
        out.push(machine::main_address());
    }
    Ok(out)
}

fn pairs(flags: &Flags, name: &str) -> Result<BTreeMap<String, String>, Error> {
    let mut out = BTreeMap::new();
    for text in flags.list(name) {
        let pair = text.split_once('=');
        let (key, value) = pair
            .ok_or_else(|| flags.invalid(name, format!("{text} must be formatted as key=value")))?;
        out.insert(key.to_owned(), value.to_owned());
    }
    Ok(out)
}

fn amounts(flags: &Flags, name: &str) -> Result<BTreeMap<String, Quantity>, Error> {
    Ok(pairs(flags, name)?
        .into_iter()
        .map(|(key, value)| (key, Quantity(value)))
        .collect())
}

fn taints(flags: &Flags) -> Result<Vec<Taint>, Error> {
    let mut out = Vec::new();
    for text in flags.list("register-with-taints") {
        let bad = || {
            flags.invalid(
                "register-with-taints",
                format!("invalid taint spec: {text}"),
            )
        };
        let (pair, effect) = text.rsplit_once(':').ok_or_else(bad)?;
        if !matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
            return Err(bad());
        }
        let (key, value) = pair
            .split_once('=')
            .map_or((pair, None), |(key, value)| (key, Some(value.to_owned())));
        out.push(Taint {
            key: key.to_owned(),
            value,
            effect: effect.to_owned(),
            ..Taint::default()
        });
    }
    Ok(out)
}
