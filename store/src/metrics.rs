//! What the store counts, under etcd's names. Nothing is here that is not really counted, and no
//! label comes from a request.

use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tonic::Code;

use crate::config::{ETCD_VERSION, MetricsDetail};
use crate::limits;
use crate::rpc::{Context, Method, Shape};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Started {
    grpc_type: &'static str,
    grpc_service: &'static str,
    grpc_method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Handled {
    grpc_type: &'static str,
    grpc_service: &'static str,
    grpc_method: &'static str,
    grpc_code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    r#type: &'static str,
    success: &'static str,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Counters and timers. Cheap to touch.
pub struct Metrics {
    registry: Registry,
    started: Family<Started, Counter>,
    handled: Family<Handled, Counter>,
    handling: Option<Histograms<Started>>,
    requests: Histograms<Kind>,
    proposals_pending: Gauge,
    /// Proposals without a known outcome.
    pub proposals_failed: Counter,
    /// Linearizable reads that found no read index in time.
    pub read_indexes_failed: Counter,
    /// Leaders seen, one after another.
    pub leader_changes: Counter,
    /// Ranges read here.
    pub ranges: Counter,
    /// Good answers of `/health`.
    pub health_success: Gauge,
    /// Bad answers of `/health`.
    pub health_failures: Gauge,
    /// Leases granted by way of this member.
    pub leases_granted: Counter,
    /// Leases revoked by way of this member.
    pub leases_revoked: Counter,
    /// Renewals by way of this member.
    pub leases_renewed: Counter,
}

/// A proposal on its way; counted as pending until it is dropped.
pub struct Pending<'a>(&'a Gauge);

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_5, 2.0, 15))
}

impl Metrics {
    /// All at zero.
    pub fn new(detail: MetricsDetail) -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            started: Family::default(),
            handled: Family::default(),
            handling: match detail {
                MetricsDetail::Basic => None,
                MetricsDetail::Extensive => Some(Family::new_with_constructor(seconds)),
            },
            requests: Family::new_with_constructor(seconds),
            proposals_pending: Gauge::default(),
            proposals_failed: Counter::default(),
            read_indexes_failed: Counter::default(),
            leader_changes: Counter::default(),
            ranges: Counter::default(),
            health_success: Gauge::default(),
            health_failures: Gauge::default(),
            leases_granted: Counter::default(),
            leases_revoked: Counter::default(),
            leases_renewed: Counter::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        // The library appends `_total` to the names of counters.
        let r = &mut self.registry;
        r.register("grpc_server_started", "RPCs begun", self.started.clone());
        r.register(
            "grpc_server_handled",
            "Unary RPCs answered, and streams refused",
            self.handled.clone(),
        );
        if let Some(handling) = &self.handling {
            let (name, help) = ("grpc_server_handling_seconds", "Time to answer unary RPCs");
            r.register(name, help, handling.clone());
        }
        r.register(
            "etcd_server_request_duration_seconds",
            "Time to answer requests",
            self.requests.clone(),
        );
        r.register(
            "etcd_server_proposals_pending",
            "Proposals under way",
            self.proposals_pending.clone(),
        );
        r.register(
            "etcd_server_proposals_failed",
            "Proposals without a known outcome",
            self.proposals_failed.clone(),
        );
        r.register(
            "etcd_server_read_indexes_failed",
            "Linearizable reads without a read index",
            self.read_indexes_failed.clone(),
        );
        r.register(
            "etcd_server_leader_changes_seen",
            "Leaders seen",
            self.leader_changes.clone(),
        );
        r.register(
            "etcd_server_health_success",
            "Good answers of /health",
            self.health_success.clone(),
        );
        r.register(
            "etcd_server_health_failures",
            "Bad answers of /health",
            self.health_failures.clone(),
        );
        r.register("etcd_mvcc_range", "Ranges read", self.ranges.clone());
        r.register(
            "etcd_debugging_lease_granted",
            "Leases granted by way of this member",
            self.leases_granted.clone(),
        );
        r.register(
            "etcd_debugging_lease_revoked",
            "Leases revoked by way of this member",
            self.leases_revoked.clone(),
        );
        r.register(
            "etcd_debugging_lease_renewed",
            "Leases renewed by way of this member",
            self.leases_renewed.clone(),
        );
    }

    /// Counts a request's begin.
    pub(crate) fn grpc_started(&self, method: &Method) {
        self.started.get_or_create(&started(method)).inc();
    }

    /// Counts a request's end.
    pub(crate) fn grpc_handled(&self, method: &Method, code: Code, took: Duration) {
        let labels = Handled {
            grpc_type: shape(method.shape),
            grpc_service: method.service,
            grpc_method: method.name,
            grpc_code: code_name(code),
        };
        self.handled.get_or_create(&labels).inc();
        if let (Shape::Unary, Some(handling)) = (method.shape, &self.handling) {
            handling
                .get_or_create(&started(method))
                .observe(took.as_secs_f64());
        }
    }

    /// Counts a request by etcd's word for its kind.
    pub(crate) fn request(&self, kind: &'static str, started: Instant, is_success: bool) {
        let labels = Kind {
            r#type: kind,
            success: if is_success { "true" } else { "false" },
        };
        self.requests
            .get_or_create(&labels)
            .observe(started.elapsed().as_secs_f64());
    }

    /// Counts a proposal as pending until the guard is dropped.
    pub fn pending_proposal(&self) -> Pending<'_> {
        self.proposals_pending.inc();
        Pending(&self.proposals_pending)
    }

    /// Everything as text: what was counted, and what the member is at this moment.
    pub fn render(&self, context: &Context) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = text::encode_registry(&mut out, &self.registry);
        let mut now = Registry::default();
        consensus(context, &mut now);
        state(context, &mut now);
        process(&mut now);
        let _ = text::encode(&mut out, &now);
        out
    }
}

/// What the member knows of its cluster at the moment of asking.
fn consensus(context: &Context, out: &mut Registry) {
    let status = context.consensus.status();
    let flag = i64::from;
    gauge(
        out,
        "etcd_server_has_leader",
        "Whether there is a leader",
        flag(status.leader.is_some()),
    );
    gauge(
        out,
        "etcd_server_is_leader",
        "Whether this member leads",
        flag(status.is_leader()),
    );
    let is_learner = flag(context.is_learner());
    gauge(
        out,
        "etcd_server_is_learner",
        "Whether this member does not vote",
        is_learner,
    );
    let (committed, applied) = (status.committed, status.applied);
    gauge(
        out,
        "etcd_server_proposals_committed_total",
        "Last committed entry",
        number(committed),
    );
    gauge(
        out,
        "etcd_server_proposals_applied_total",
        "Last applied entry",
        number(applied),
    );
    let others = status.members.len().saturating_sub(1);
    gauge(
        out,
        "etcd_network_known_peers",
        "Other members",
        count(others),
    );
    let member = format!("{:x}", context.ids.member);
    labelled(out, "etcd_server_id", "This member", "server_id", member);
    let release = ETCD_VERSION.into();
    labelled(
        out,
        "etcd_server_version",
        "etcd's release",
        "server_version",
        release,
    );
    if let Some(cluster) = context.view.cluster_version() {
        labelled(
            out,
            "etcd_cluster_version",
            "What was agreed on",
            "cluster_version",
            cluster,
        );
    }
}

/// What the member holds at the moment of asking.
fn state(context: &Context, out: &mut Registry) {
    let view = &context.view;
    // A size that cannot be had shows as none: the metrics that explain it must come all the same.
    let (total, in_use) = view.db_size().unwrap_or_default();
    let quota = limits::quota_or_default(context.limits.quota_bytes);
    let hub = view.watch_hub().stats();
    let slow = hub.watchers.saturating_sub(hub.synced_watchers);
    let gauges = [
        ("etcd_server_quota_backend_bytes", "The quota", quota),
        (
            "etcd_mvcc_db_total_size_in_bytes",
            "Bytes on the disk",
            number(total),
        ),
        (
            "etcd_mvcc_db_total_size_in_use_in_bytes",
            "Bytes of data",
            number(in_use),
        ),
        (
            "etcd_debugging_mvcc_current_revision",
            "The newest revision",
            view.revision(),
        ),
        (
            "etcd_debugging_mvcc_compact_revision",
            "The newest compaction",
            view.compact_revision(),
        ),
        (
            "etcd_debugging_mvcc_keys_total",
            "Live keys",
            count(view.key_count()),
        ),
        (
            "etcd_debugging_mvcc_watcher_total",
            "Watches",
            count(hub.watchers),
        ),
        (
            "etcd_debugging_mvcc_watch_stream_total",
            "Watch streams",
            count(hub.streams),
        ),
        (
            "etcd_debugging_mvcc_slow_watcher_total",
            "Watches that lag",
            count(slow),
        ),
        (
            "etcd_debugging_auth_revision",
            "Changes of users",
            number(view.auth().revision),
        ),
    ];
    let each = gauges.into_iter();
    each.for_each(|(name, help, value)| gauge(out, name, help, value));
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn count(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The process as the kernel sees it. Whatever cannot be read is left out.
fn process(out: &mut Registry) {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else {
        return;
    };
    // Fields are counted behind the program's name, which may hold anything.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let field = |at: usize| {
        fields
            .get(at)
            .and_then(|text| text.parse::<u64>().ok())
            .unwrap_or(0)
    };
    let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
    let page_bytes = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    let as_i64 = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    // Fields 14 and 15 of the whole line, which begins two earlier.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a process does not live that many ticks"
    )]
    let cpu = (field(11) + field(12)) as f64 / ticks_per_second as f64;
    let seconds = Counter::<f64, AtomicU64>::default();
    seconds.inc_by(cpu);
    out.register("process_cpu_seconds", "Time on processors", seconds);
    gauge(
        out,
        "process_resident_memory_bytes",
        "Memory in use",
        as_i64(field(21) * page_bytes),
    );
    gauge(
        out,
        "process_virtual_memory_bytes",
        "Memory mapped",
        as_i64(field(20)),
    );
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        gauge(
            out,
            "process_open_fds",
            "Open files",
            as_i64(u64::try_from(files.count()).unwrap_or(0)),
        );
    }
}

fn gauge(out: &mut Registry, name: &str, help: &str, value: i64) {
    let gauge = Gauge::<i64>::default();
    gauge.set(value);
    out.register(name, help, gauge);
}

fn labelled(out: &mut Registry, name: &str, help: &str, label: &'static str, value: String) {
    let family = Family::<Vec<(&'static str, String)>, Gauge>::default();
    family.get_or_create(&vec![(label, value)]).set(1);
    out.register(name, help, family);
}

fn started(method: &Method) -> Started {
    Started {
        grpc_type: shape(method.shape),
        grpc_service: method.service,
        grpc_method: method.name,
    }
}

fn shape(shape: Shape) -> &'static str {
    match shape {
        Shape::Unary => "unary",
        Shape::ServerStream => "server_stream",
        Shape::BidiStream => "bidi_stream",
    }
}

/// The library's words for codes.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}
