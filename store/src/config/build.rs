//! Turns flags' texts into [`Config`].

use std::path::PathBuf;
use std::time::Duration;

use super::cluster::InitialCluster;
use super::file::CLIENT_ALLOWED_CN;
use super::values::Values;
use super::{
    AuthToken, AutoCompaction, ClusterState, Config, ConfigError, Discovery, DiscoverySrv, Gates,
    KeepAlive, Logging, MetricsDetail, TlsFiles, TlsPolicy, Traces, check,
};
use crate::limits;

impl Config {
    /// Builds the settings and checks them; all faults are reported together.
    pub(super) fn from_values(values: &Values) -> Result<Self, ConfigError> {
        let mut faults = Vec::new();
        let mut warnings = values.warnings.clone();
        check::support(values, &mut warnings, &mut faults);
        let auto_compaction = check::auto_compaction(values).unwrap_or_else(|fault| {
            faults.push(fault);
            AutoCompaction::Off
        });
        let mut config = Self::assemble(values, auto_compaction);
        match AuthToken::parse(values.text("auth-token")) {
            Ok(kind) => config.auth_token = kind,
            Err(fault) => faults.push(fault),
        }
        config.gates = Gates::of(values.text("feature-gates"));
        config.bcrypt_cost = check::bcrypt_cost(values, &mut warnings);
        config.discovery = Discovery::from_values(values, &mut faults);
        config.discovery_srv = DiscoverySrv::from_values(values, &mut faults);
        config.logging = Logging::from_values(values, &mut faults);
        config.traces = Traces::from_values(values, &mut faults);
        check::tls_versions(values, &mut faults);
        check::config(&config, &mut warnings, &mut faults);
        config.warnings = warnings;
        if faults.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::Invalid(faults))
        }
    }

    fn assemble(values: &Values, auto_compaction: AutoCompaction) -> Self {
        let name = values.text("name").to_owned();
        let advertise_peer_urls = values.urls("initial-advertise-peer-urls");
        Self {
            data_dir: path(values, "data-dir")
                .unwrap_or_else(|| PathBuf::from(format!("{name}.etcd"))),
            wal_dir: path(values, "wal-dir"),
            snapshot_count: values.unsigned("snapshot-count"),
            snapshot_catchup_entries: values.unsigned("snapshot-catchup-entries"),
            heartbeat_ms: values.unsigned("heartbeat-interval"),
            election_ms: values.unsigned("election-timeout"),
            listen_peer_urls: values.urls("listen-peer-urls"),
            listen_client_urls: values.urls("listen-client-urls"),
            listen_client_http_urls: values.urls("listen-client-http-urls"),
            listen_metrics_urls: values.urls("listen-metrics-urls"),
            advertise_client_urls: advertise_client_urls(values),
            initial_cluster: initial_cluster(values, &name, &advertise_peer_urls),
            initial_cluster_given: values.is_given("initial-cluster"),
            discovery: None,
            discovery_srv: None,
            cluster_state: match values.text("initial-cluster-state") {
                "existing" => ClusterState::Existing,
                _ => ClusterState::New,
            },
            cluster_token: values.text("initial-cluster-token").to_owned(),
            quota_bytes: values.signed("quota-backend-bytes"),
            max_txn_ops: values.size("max-txn-ops"),
            max_request_bytes: values.size("max-request-bytes"),
            max_concurrent_streams: u32::try_from(values.unsigned("max-concurrent-streams"))
                .unwrap_or(u32::MAX),
            keep_alive: keep_alive(values),
            enable_grpc_gateway: values.flag("enable-grpc-gateway"),
            cors: values.list("cors").into_iter().collect(),
            host_whitelist: values.list("host-whitelist").into_iter().collect(),
            reuse_port: values.flag("socket-reuse-port"),
            lock_memory: values.flag("memory-mlock"),
            pre_vote: values.flag("pre-vote"),
            strict_reconfig_check: values.flag("strict-reconfig-check"),
            max_learners: usize::try_from(values.signed("max-learners")).unwrap_or(0),
            watch_progress_interval: values
                .duration("watch-progress-notify-interval")
                .max(limits::WATCH_PROGRESS_INTERVAL_MIN),
            slow_request: slow_request(values),
            auto_compaction,
            gates: Gates::default(),
            lease_checkpoint_interval: limits::LEASE_CHECKPOINT_INTERVAL,
            corrupt_check_interval: values.duration("corrupt-check-time"),
            downgrade_check_interval: values.duration("downgrade-check-time"),
            compact_hash_check_interval: values.duration("compact-hash-check-time"),
            force_new_cluster: values.flag("force-new-cluster"),
            client_tls: tls_files(values, ""),
            peer_tls: tls_files(values, "peer-"),
            tls_policy: TlsPolicy {
                only_1_3: values.text("tls-min-version") == "TLS1.3",
                only_1_2: values.text("tls-max-version") == "TLS1.2",
                cipher_suites: values.list("cipher-suites"),
            },
            self_made_years: self_made_years(values),
            auth_token: AuthToken::Off,
            auth_token_ttl: auth_token_ttl(values),
            bcrypt_cost: limits::BCRYPT_COST_DEFAULT,
            logging: Logging::default(),
            metrics: metrics(values),
            enable_pprof: values.flag("enable-pprof"),
            traces: None,
            config_file: values.file.clone(),
            warnings: Vec::new(),
            advertise_peer_urls,
            name,
        }
    }
}

/// Without the flag, the cluster is this member alone, under whatever name and URLs it has.
fn initial_cluster(values: &Values, name: &str, urls: &[super::Url]) -> InitialCluster {
    if values.is_given("initial-cluster") {
        InitialCluster::parse(values.text("initial-cluster")).unwrap_or_default()
    } else {
        InitialCluster::single(name, urls)
    }
}

/// Where clients are told to come: nothing sure is known when only the listening side is given. A file
/// keeps etcd's default even then, as etcd's does.
fn advertise_client_urls(values: &Values) -> Vec<super::Url> {
    let is_needed = values.is_given("listen-client-urls") && values.file.is_none();
    if is_needed && !values.is_given("advertise-client-urls") {
        return Vec::new();
    }
    values.urls("advertise-client-urls")
}

fn path(values: &Values, name: &str) -> Option<PathBuf> {
    Some(values.text(name))
        .filter(|text| !text.is_empty())
        .map(PathBuf::from)
}

/// 0 means the default, as in etcd.
fn auth_token_ttl(values: &Values) -> Duration {
    match values.unsigned("auth-token-ttl") {
        0 => limits::TOKEN_TTL_DEFAULT,
        seconds => Duration::from_secs(seconds).min(limits::TOKEN_TTL_MAX),
    }
}

/// Any other word means `basic`, as in etcd.
fn metrics(values: &Values) -> MetricsDetail {
    match values.text("metrics") {
        "extensive" => MetricsDetail::Extensive,
        _ => MetricsDetail::Basic,
    }
}

/// 0 means the default, as in etcd.
fn slow_request(values: &Values) -> Duration {
    match values.duration("warning-unary-request-duration") {
        Duration::ZERO => limits::SLOW_REQUEST_DEFAULT,
        duration => duration,
    }
}

fn keep_alive(values: &Values) -> KeepAlive {
    let interval = values.duration("grpc-keepalive-interval");
    KeepAlive {
        // 0 means the gRPC library's own default, as in etcd.
        min_time: match values.duration("grpc-keepalive-min-time") {
            Duration::ZERO => limits::PING_MIN_DEFAULT,
            duration => duration,
        },
        interval: (!interval.is_zero()).then_some(interval),
        timeout: values.duration("grpc-keepalive-timeout"),
    }
}

/// A file's 0 means the default, as in etcd; a flag's is refused where it matters.
fn self_made_years(values: &Values) -> u64 {
    match values.unsigned("self-signed-cert-validity") {
        0 if values.file.is_some() => 1,
        years => years,
    }
}

fn tls_files(values: &Values, side: &str) -> TlsFiles {
    let file = |name: &str| path(values, &format!("{side}{name}"));
    let is_peer = !side.is_empty();
    let (common_names, hosts, crl) = if is_peer {
        (
            "peer-cert-allowed-cn",
            "peer-cert-allowed-hostname",
            "peer-crl-file",
        )
    } else {
        // Only a file has common names of clients.
        (
            CLIENT_ALLOWED_CN,
            "client-cert-allowed-hostname",
            "client-crl-file",
        )
    };
    TlsFiles {
        cert: file("cert-file"),
        key: file("key-file"),
        client_cert: file("client-cert-file"),
        client_key: file("client-key-file"),
        trusted_ca: file("trusted-ca-file"),
        client_cert_auth: values.flag(&format!("{side}client-cert-auth")),
        crl: path(values, crl),
        allowed_cns: values.list(common_names),
        allowed_hostnames: values.list(hosts),
        check_addresses: is_peer && !values.flag("peer-skip-client-san-verification"),
        auto: values.flag(&format!("{side}auto-tls")),
        is_self_made: false,
    }
}
