//! The server's settings: kube-apiserver's flags, read once, checked together.
//!
//! A flag of upstream that is not carried out yet is refused where ignoring it would make the
//! cluster less safe than its operator believes, and accepted with a warning where it only tunes.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::authz::Mode;
use crate::storage::EtcdConfig;

mod flags;
mod names;
mod values;

pub use flags::{FlagError, parse, usage};

/// Everything that a server is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the store is.
    pub etcd: EtcdConfig,
    /// How often old revisions are forgotten; zero: never by this replica.
    pub compaction_interval: Duration,
    /// How long an event lives.
    pub event_ttl: Duration,
    /// The address to listen at.
    pub bind_address: IpAddr,
    /// The port to listen at; 0 takes a free one.
    pub secure_port: u16,
    /// The address at which the cluster's members reach this replica.
    pub advertise_address: Option<IpAddr>,
    /// PEM certificate chain of the server.
    pub tls_cert_file: PathBuf,
    /// PEM key of the server.
    pub tls_key_file: PathBuf,
    /// PEM authority of client certificates; none: no certificate authenticates.
    pub client_ca_file: Option<PathBuf>,
    /// PEM keys that verify service account tokens.
    pub service_account_key_files: Vec<PathBuf>,
    /// PEM key that signs them.
    pub service_account_signing_key_file: PathBuf,
    /// The issuers; the first one signs.
    pub service_account_issuers: Vec<String>,
    /// Audiences that tokens may be for; empty: the issuers.
    pub api_audiences: Vec<String>,
    /// The authorizers in their order.
    pub authorization_modes: Vec<Mode>,
    /// Whether requests without credentials are let through as `system:anonymous`.
    pub anonymous_auth: bool,
    /// Where the addresses of Services come from; one range for each family at most.
    pub service_cidrs: Vec<IpNet>,
    /// First and last port for Services of type `NodePort`.
    pub node_ports: (u16, u16),
    /// How kubelets are reached.
    pub kubelet: KubeletConfig,
    /// Admission plugins beyond the default ones.
    pub enable_admission_plugins: Vec<String>,
    /// Admission plugins that are switched off.
    pub disable_admission_plugins: Vec<String>,
    /// Reading requests of workloads in flight at most; see [`crate::flowcontrol`].
    pub requests_in_flight_max: usize,
    /// Writing requests of workloads in flight at most.
    pub mutating_in_flight_max: usize,
    /// The deadline of a request that is neither a watch nor a stream.
    pub request_timeout: Duration,
    /// Watches without a timeout of their own end after this to twice this.
    pub watch_timeout_min: Duration,
    /// How long the server still serves after it was told to end, while it is not ready.
    pub shutdown_delay: Duration,
    /// The log filter.
    pub log_level: String,
}

/// How the server reaches kubelets.
#[derive(Clone, Debug, Default)]
pub struct KubeletConfig {
    /// PEM client certificate.
    pub client_cert_file: Option<PathBuf>,
    /// Its key.
    pub client_key_file: Option<PathBuf>,
    /// PEM authority of the kubelets' certificates; none: they are not verified, as upstream does.
    pub ca_file: Option<PathBuf>,
}
