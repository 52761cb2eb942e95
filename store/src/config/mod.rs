//! The store's settings: etcd's own flags and environment, or its configuration file, read once, into
//! data that cannot be wrong inside. Nothing here opens a socket, or a file but that one.
//!
//! Order of precedence, as etcd's: a configuration file alone; else flag, then `ETCD_<FLAG>`, then
//! the default. A flag given twice keeps the last value.

mod auth_token;
mod build;
mod check;
mod check_tls;
mod cluster;
mod discovery;
mod file;
mod flags;
mod gates;
mod help;
mod logging;
mod redact;
mod release;
mod text;
mod traces;
mod url;
mod values;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

pub use self::auth_token::{AuthToken, JwtOptions};
pub use self::cluster::InitialCluster;
pub use self::discovery::{Discovery, DiscoverySrv};
pub use self::gates::Gates;
pub use self::help::{go_arch, usage};
pub use self::logging::{LogFormat, LogOutput, LogRotation, Logging};
pub(crate) use self::redact::redacted;
pub use self::release::Release;
pub(crate) use self::text::duration as parse_duration;
pub use self::traces::Traces;
pub use self::url::{Scheme, Url, UrlError};

/// The etcd release whose protocol and behaviour this store answers with.
pub const ETCD_VERSION: &str = "3.7.3";
/// Its minor release, as the cluster agrees on it.
pub const CLUSTER_VERSION: &str = "3.7.0";

/// What the command line asks for.
#[derive(Clone, Debug)]
pub enum Invocation {
    /// Run a member.
    Run(Box<Config>),
    /// Print this and succeed.
    Print(String),
}

/// Whether the member founds its cluster or joins one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterState {
    /// `new`: all members of `--initial-cluster` start together.
    New,
    /// `existing`: the member was added by `member add` before.
    Existing,
}

/// What to discard without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoCompaction {
    /// Nothing.
    Off,
    /// What is older than this.
    Periodic(Duration),
    /// Everything but so many newest revisions.
    Revision(i64),
}

/// `--metrics`: which of the metrics there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsDetail {
    /// `basic`: all but the next.
    Basic,
    /// `extensive`: also how long each method took, as a histogram.
    Extensive,
}

/// The files of one side's TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain that a listener shows.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// The chain that this member shows when it connects; the listener's where none is given.
    pub client_cert: Option<PathBuf>,
    /// Its key.
    pub client_key: Option<PathBuf>,
    /// Who signs those that connect.
    pub trusted_ca: Option<PathBuf>,
    /// Whether those that connect must show a certificate.
    pub client_cert_auth: bool,
    /// Which of their certificates no longer hold.
    pub crl: Option<PathBuf>,
    /// The common names that their certificates may have; none means any.
    pub allowed_cns: Vec<String>,
    /// The hosts that their certificates may be for; none means any. Never together with the above.
    pub allowed_hostnames: Vec<String>,
    /// Whether their certificates must be for the addresses that they come from.
    pub check_addresses: bool,
    /// `--auto-tls`: whether the member makes its certificate itself where none is given.
    pub auto: bool,
    /// Whether it has done so. Then it trusts whomever it connects to.
    pub is_self_made: bool,
}

/// TLS settings that hold for both sides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsPolicy {
    /// TLS 1.3 only.
    pub only_1_3: bool,
    /// TLS 1.2 only.
    pub only_1_2: bool,
    /// Allowed suites by Go's names; empty means all of the library's.
    pub cipher_suites: Vec<String>,
}

/// Keep-alive of client connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// How often a client may ping. One that does so more often is cut off.
    pub min_time: Duration,
    /// How often an idle connection is probed. `None`: never.
    pub interval: Option<Duration>,
    /// How long an answer may take before the connection is closed.
    pub timeout: Duration,
}

/// A member's settings, checked. See `help.rs` for what each flag means to a user.
#[derive(Clone, Debug)]
pub struct Config {
    /// `--name`.
    pub name: String,
    /// `--data-dir`; `NAME.etcd` where none is given.
    pub data_dir: PathBuf,
    /// `--wal-dir`: another place for the raft log, usually a faster disk.
    pub wal_dir: Option<PathBuf>,
    /// `--snapshot-count`: entries between two points from which the log may be cut.
    pub snapshot_count: u64,
    /// `--snapshot-catchup-entries`: entries that are kept behind such a point for slow members.
    pub snapshot_catchup_entries: u64,
    /// `--heartbeat-interval`, milliseconds.
    pub heartbeat_ms: u64,
    /// `--election-timeout`, milliseconds; at least five heartbeats, at most 50,000.
    pub election_ms: u64,
    /// `--listen-peer-urls`.
    pub listen_peer_urls: Vec<Url>,
    /// `--listen-client-urls`.
    pub listen_client_urls: Vec<Url>,
    /// `--listen-client-http-urls`; where given, the client URLs serve gRPC alone.
    pub listen_client_http_urls: Vec<Url>,
    /// `--listen-metrics-urls`: more places for metrics and health.
    pub listen_metrics_urls: Vec<Url>,
    /// `--initial-advertise-peer-urls`.
    pub advertise_peer_urls: Vec<Url>,
    /// `--advertise-client-urls`.
    pub advertise_client_urls: Vec<Url>,
    /// `--initial-cluster`, or what follows from the name and the peer URLs.
    pub initial_cluster: InitialCluster,
    /// Whether a user gave `--initial-cluster`.
    pub initial_cluster_given: bool,
    /// Where the founding members meet, where no flag names them. Its token is then the cluster's.
    pub discovery: Option<Discovery>,
    /// The domain whose records name the members, if there is one.
    pub discovery_srv: Option<DiscoverySrv>,
    /// `--initial-cluster-state`.
    pub cluster_state: ClusterState,
    /// `--initial-cluster-token`.
    pub cluster_token: String,
    /// `--quota-backend-bytes`: 0 means 2 GiB, negative means none.
    pub quota_bytes: i64,
    /// `--max-txn-ops`.
    pub max_txn_ops: usize,
    /// `--max-request-bytes`.
    pub max_request_bytes: usize,
    /// `--max-concurrent-streams` of one connection.
    pub max_concurrent_streams: u32,
    /// `--grpc-keepalive-min-time`, `--grpc-keepalive-interval` and `--grpc-keepalive-timeout`.
    pub keep_alive: KeepAlive,
    /// `--enable-grpc-gateway`: whether the services are also served as JSON below `/v3`.
    pub enable_grpc_gateway: bool,
    /// `--cors`: origins that browsers may call from; empty or with a star, any.
    pub cors: BTreeSet<String>,
    /// `--host-whitelist`: hosts that plain HTTP requests without TLS may name; empty or with a star,
    /// any.
    pub host_whitelist: BTreeSet<String>,
    /// `--socket-reuse-port`.
    pub reuse_port: bool,
    /// `--memory-mlock`.
    pub lock_memory: bool,
    /// `--pre-vote`.
    pub pre_vote: bool,
    /// `--strict-reconfig-check`.
    pub strict_reconfig_check: bool,
    /// `--max-learners`.
    pub max_learners: usize,
    /// `--watch-progress-notify-interval`.
    pub watch_progress_interval: Duration,
    /// `--warning-unary-request-duration`.
    pub slow_request: Duration,
    /// `--auto-compaction-mode` and `--auto-compaction-retention`.
    pub auto_compaction: AutoCompaction,
    /// `--feature-gates`.
    pub gates: Gates,
    /// How often what is left of a lease is kept in the log, behind the gate `LeaseCheckpoint`. Five minutes;
    /// there is no flag, as in etcd.
    pub lease_checkpoint_interval: Duration,
    /// `--corrupt-check-time`: how often the leader compares all members; never where it is zero.
    pub corrupt_check_interval: Duration,
    /// `--downgrade-check-time`.
    pub downgrade_check_interval: Duration,
    /// `--compact-hash-check-time`: how often the leader compares compactions, behind its gate.
    pub compact_hash_check_interval: Duration,
    /// `--force-new-cluster`: go on alone with this member's data, the other members being lost.
    pub force_new_cluster: bool,
    /// The clients' side.
    pub client_tls: TlsFiles,
    /// The peers' side.
    pub peer_tls: TlsFiles,
    /// Both sides.
    pub tls_policy: TlsPolicy,
    /// `--self-signed-cert-validity`: years for which certificates hold that the member makes.
    pub self_made_years: u64,
    /// `--auth-token`: the kind of tokens that users get. The same on every member.
    pub auth_token: AuthToken,
    /// `--auth-token-ttl`: how long a simple token holds after its last use.
    pub auth_token_ttl: Duration,
    /// `--bcrypt-cost`, from 4 to 31: what hashing a password costs; twice as much with each step.
    pub bcrypt_cost: u32,
    /// Everything about the log.
    pub logging: Logging,
    /// `--metrics`.
    pub metrics: MetricsDetail,
    /// `--enable-pprof`: whether whoever reaches the client URLs may take profiles of this process.
    pub enable_pprof: bool,
    /// `--enable-distributed-tracing` and what belongs to it; none where spans are not exported.
    pub traces: Option<Traces>,
    /// `--config-file`, where the settings are from it.
    pub config_file: Option<PathBuf>,
    /// What was given and has no effect here, to be logged at start.
    pub warnings: Vec<String>,
}

/// Why there are no settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The command line cannot be read: exit 2, with the usage.
    #[error("{0}")]
    Usage(String),
    /// It can be read, and says what cannot be: exit 1. All faults together.
    #[error("{}", .0.join("; "))]
    Invalid(Vec<String>),
}

impl ConfigError {
    /// The exit code that etcd gives.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Invalid(_) => 1,
        }
    }
}

impl Invocation {
    /// Reads a command line (without the program's name) and an environment.
    pub fn parse<E>(args: &[String], env: E) -> Result<Self, ConfigError>
    where
        E: IntoIterator<Item = (String, String)>,
    {
        let values = match values::Values::parse(args, env)? {
            values::Parsed::Help => return Ok(Self::Print(help::help())),
            values::Parsed::Version => return Ok(Self::Print(help::version())),
            values::Parsed::Values(values) => values,
        };
        Config::from_values(&values).map(|config| Self::Run(Box::new(config)))
    }
}

impl Config {
    /// As [`Invocation::parse`], for callers that never ask for help.
    pub fn parse<E>(args: &[String], env: E) -> Result<Self, ConfigError>
    where
        E: IntoIterator<Item = (String, String)>,
    {
        match Invocation::parse(args, env)? {
            Invocation::Run(config) => Ok(*config),
            Invocation::Print(text) => Err(ConfigError::Usage(text)),
        }
    }

    /// How long a request may wait for its commit: time for the disk and for two elections.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(5_000 + 2 * self.election_ms)
    }

    /// The least lifetime of a lease, so that a leader change cannot end one.
    pub fn lease_ttl_min_seconds(&self) -> i64 {
        let ticks = (3 * (self.election_ms / self.heartbeat_ms.max(1))) / 2;
        i64::try_from((ticks * self.heartbeat_ms).div_ceil(1_000))
            .unwrap_or(i64::MAX)
            .max(1)
    }
}

#[cfg(test)]
mod tests;
