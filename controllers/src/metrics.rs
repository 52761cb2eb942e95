//! The metrics of the controllers, upstream's names where upstream has one.

use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Named {
    name: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ran {
    controller: &'static str,
    result: &'static str,
}

/// The counters of one process.
#[derive(Debug, Default)]
pub struct Metrics {
    depth: Family<Named, Gauge>,
    ran: Family<Ran, Counter>,
    leads: Family<Named, Gauge>,
}

impl Metrics {
    /// Registers every metric.
    pub fn new(registry: &Mutex<Registry>) -> Arc<Self> {
        let metrics = Self::default();
        let mut registry = registry.lock();
        registry.register(
            "workqueue_depth",
            "Keys that wait for a worker",
            metrics.depth.clone(),
        );
        registry.register(
            "controller_reconciliations",
            "Reconciliations that ended",
            metrics.ran.clone(),
        );
        registry.register(
            "leader_election_master_status",
            "Whether this process leads: 0 for backup, 1 for master",
            metrics.leads.clone(),
        );
        Arc::new(metrics)
    }

    /// The length of a queue.
    pub fn depth(&self, name: &'static str, keys: usize) {
        self.depth
            .get_or_create(&Named { name })
            .set(i64::try_from(keys).unwrap_or(i64::MAX));
    }

    /// A reconciliation has ended.
    pub fn ran(&self, controller: &'static str, is_ok: bool) {
        let result = if is_ok { "success" } else { "error" };
        self.ran.get_or_create(&Ran { controller, result }).inc();
    }

    /// Whether the lease `name` is ours.
    pub fn leads(&self, name: &'static str, leads: bool) {
        self.leads
            .get_or_create(&Named { name })
            .set(i64::from(leads));
    }
}
