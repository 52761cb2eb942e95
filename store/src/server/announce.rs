//! What a starting member says of itself, in the words and fields that etcd's tools read.

use crate::config::{AutoCompaction, ClusterState, Config, ETCD_VERSION, Url};
use crate::data_dir::Identity;
use crate::limits;

/// What it starts with. `is_initialized`: whether its folder held a member before.
pub(super) fn starting(config: &Config, is_initialized: bool) {
    if config.enable_pprof {
        tracing::info!(path = "/debug/pprof", "pprof is enabled");
    }
    let mode = match config.auto_compaction {
        AutoCompaction::Revision(_) => "revision",
        AutoCompaction::Off | AutoCompaction::Periodic(_) => "periodic",
    };
    let state = match config.cluster_state {
        ClusterState::New => "new",
        ClusterState::Existing => "existing",
    };
    tracing::info!(
        etcd_version = ETCD_VERSION,
        git_sha = concat!("keelson-", env!("CARGO_PKG_VERSION")),
        max_cpu_available = std::thread::available_parallelism().map_or(0, usize::from),
        member_initialized = is_initialized,
        name = config.name,
        data_dir = %config.data_dir.display(),
        wal_dir = %config.wal_dir.as_deref().unwrap_or("".as_ref()).display(),
        heartbeat_interval = format!("{}ms", config.heartbeat_ms),
        election_timeout = format!("{}ms", config.election_ms),
        snapshot_count = config.snapshot_count,
        snapshot_catchup_entries = config.snapshot_catchup_entries,
        initial_advertise_peer_urls = join(&config.advertise_peer_urls),
        listen_peer_urls = join(&config.listen_peer_urls),
        advertise_client_urls = join(&config.advertise_client_urls),
        listen_client_urls = join(&config.listen_client_urls),
        listen_metrics_urls = join(&config.listen_metrics_urls),
        initial_cluster = %config.initial_cluster,
        initial_cluster_state = state,
        initial_cluster_token = config.cluster_token,
        quota_backend_bytes = limits::quota_or_default(config.quota_bytes),
        max_request_bytes = config.max_request_bytes,
        max_concurrent_streams = config.max_concurrent_streams,
        pre_vote = config.pre_vote,
        auto_compaction_mode = mode,
        max_learners = config.max_learners,
        "starting an etcd server"
    );
}

/// That it serves clients at an address. `traffic` is `grpc+http`, `grpc` or `http`.
pub(super) fn serving(url: &Url, address: &str, traffic: &str) {
    if url.is_tls() {
        tracing::info!(traffic, address, "serving client traffic securely");
    } else {
        tracing::info!(
            traffic,
            address,
            "serving client traffic insecurely; this is strongly discouraged!"
        );
    }
}

/// Which member it is.
pub(super) fn member(config: &Config, identity: &Identity) {
    tracing::info!(
        cluster_id = format!("{:x}", identity.cluster_id),
        member_id = format!("{:x}", identity.member_id),
        name = config.name,
        data_dir = %config.data_dir.display(),
        "starting a member"
    );
}

fn join(urls: &[Url]) -> String {
    urls.iter().map(Url::as_str).collect::<Vec<_>>().join(",")
}
