//! What the store counts, under etcd's names. Nothing is here that is not really counted, and no
//! label comes from a request.
//!
//! The services count into [`Metrics`]; the rooms below them into [`Measures`], which knows no room.

mod grpc;
mod measures;
mod names;
mod now;
mod process;
mod text;

use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tonic::Code;

use self::grpc::Calls;
pub(crate) use self::grpc::{ClientVersion, Messages, code_name};
pub use self::measures::{
    KvCalls, LogMeasures, Measures, PeerMeasures, StateMeasures, Times, UnderWay,
};
use self::measures::{short_times, word};
use self::names::all;
pub(crate) use self::text::CONTENT_TYPE;
use crate::config::MetricsDetail;
use crate::rpc::{Context, Method};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    r#type: &'static str,
    success: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Success {
    success: &'static str,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Counters and timers. Cheap to touch.
pub struct Metrics {
    registry: Registry,
    calls: Calls,
    requests: Histograms<Kind>,
    range_times: Histograms<Success>,
    proposals_pending: Gauge,
    /// What the rooms below count.
    pub measures: Measures,
    /// Proposals without a known outcome.
    pub proposals_failed: Counter,
    /// Linearizable reads that were refused a read index.
    pub read_indexes_failed: Counter,
    /// Linearizable reads that found no read index in time.
    pub read_indexes_slow: Counter,
    /// Leaders seen, one after another.
    pub leader_changes: Counter,
    /// Learners that became voters by way of this member.
    pub promoted: Gauge,
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
    /// The seconds that leases were granted for.
    lease_ttls: Histogram,
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 14))
}

impl Metrics {
    /// All at zero; gives out `measures` as well.
    pub fn new(detail: MetricsDetail, measures: Measures) -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            calls: Calls::new(detail),
            requests: Family::new_with_constructor(seconds),
            range_times: Family::new_with_constructor(short_times),
            proposals_pending: Gauge::default(),
            measures,
            proposals_failed: Counter::default(),
            read_indexes_failed: Counter::default(),
            read_indexes_slow: Counter::default(),
            leader_changes: Counter::default(),
            promoted: Gauge::default(),
            health_success: Gauge::default(),
            health_failures: Gauge::default(),
            leases_granted: Counter::default(),
            leases_revoked: Counter::default(),
            leases_renewed: Counter::default(),
            lease_ttls: Histogram::new(exponential_buckets(1.0, 2.0, 24)),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let r = &mut self.registry;
        self.calls.register(r);
        self.measures.register(r);
        let name = "etcd_server_request_duration_seconds";
        r.register(name, "Time to answer requests", self.requests.clone());
        let name = "etcd_server_range_duration_seconds";
        r.register(name, "Time to read a range", self.range_times.clone());
        let name = "etcd_debugging_lease_ttl_total";
        r.register(name, "Seconds of leases granted", self.lease_ttls.clone());
        self.register_counts();
    }

    fn register_counts(&mut self) {
        let r = &mut self.registry;
        all(
            r,
            [
                (
                    "etcd_server_proposals_pending",
                    "Proposals under way",
                    &self.proposals_pending,
                ),
                (
                    "etcd_server_health_success",
                    "Good answers of /health",
                    &self.health_success,
                ),
                (
                    "etcd_server_health_failures",
                    "Bad answers of /health",
                    &self.health_failures,
                ),
                (
                    "etcd_server_learner_promote_successes",
                    "Learners promoted by way of this member",
                    &self.promoted,
                ),
            ],
        );
        // The library appends `_total` to the names of counters.
        all(
            r,
            [
                (
                    "etcd_server_proposals_failed",
                    "Proposals without a known outcome",
                    &self.proposals_failed,
                ),
                (
                    "etcd_server_read_indexes_failed",
                    "Linearizable reads without a read index",
                    &self.read_indexes_failed,
                ),
                (
                    "etcd_server_slow_read_indexes",
                    "Linearizable reads that got no read index in time",
                    &self.read_indexes_slow,
                ),
                (
                    "etcd_server_leader_changes_seen",
                    "Leaders seen",
                    &self.leader_changes,
                ),
                (
                    "etcd_debugging_lease_granted",
                    "Leases granted by way of this member",
                    &self.leases_granted,
                ),
                (
                    "etcd_debugging_lease_revoked",
                    "Leases revoked by way of this member",
                    &self.leases_revoked,
                ),
                (
                    "etcd_debugging_lease_renewed",
                    "Leases renewed by way of this member",
                    &self.leases_renewed,
                ),
            ],
        );
    }

    /// Counts a call's begin.
    pub(crate) fn grpc_started(&self, method: &Method, client: ClientVersion) {
        self.calls.started(method, client);
    }

    /// What counts the messages that come in a call.
    pub(crate) fn grpc_received(&self, method: &Method) -> Messages {
        self.calls.received(method)
    }

    /// What counts the messages that go out in a call.
    pub(crate) fn grpc_sent(&self, method: &Method) -> Messages {
        self.calls.sent(method)
    }

    /// Counts a call's end.
    pub(crate) fn grpc_handled(&self, method: &Method, code: Code, took: Duration) {
        self.calls.handled(method, code, took);
    }

    /// Counts a request by etcd's word for its kind.
    pub(crate) fn request(&self, kind: &'static str, started: Instant, is_success: bool) {
        let labels = Kind {
            r#type: kind,
            success: word(is_success),
        };
        self.requests
            .get_or_create(&labels)
            .observe(started.elapsed().as_secs_f64());
    }

    /// Counts a range that was read here.
    pub(crate) fn range(&self, started: Instant, is_success: bool) {
        self.measures.state.ranges.inc();
        let labels = Success {
            success: word(is_success),
        };
        self.range_times
            .get_or_create(&labels)
            .observe(started.elapsed().as_secs_f64());
    }

    /// Counts a lease that was granted by way of this member.
    pub(crate) fn lease_granted(&self, ttl_s: i64) {
        self.leases_granted.inc();
        #[expect(clippy::cast_precision_loss, reason = "no lease is that long")]
        self.lease_ttls.observe(ttl_s as f64);
    }

    /// Counts a proposal as pending until the guard is dropped.
    pub fn pending_proposal(&self) -> UnderWay<'_> {
        UnderWay::begin(&self.proposals_pending)
    }

    /// Everything in the format of [`CONTENT_TYPE`]: what was counted, and what the member is at this
    /// moment.
    pub fn render(&self, context: &Context) -> String {
        use prometheus_client::encoding::text::{encode, encode_registry};
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = encode_registry(&mut out, &self.registry);
        let mut now = Registry::default();
        now::consensus(context, &mut now);
        now::state(context, &mut now);
        process::process(&mut now);
        let _ = encode(&mut out, &now);
        text::plain(&out)
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
