//! What a member is at the moment of asking.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{gauge, labelled};
use crate::config::ETCD_VERSION;
use crate::limits;
use crate::rpc::Context;

/// What the member knows of its cluster at the moment of asking.
pub(super) fn consensus(context: &Context, out: &mut Registry) {
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
    let member = format!("{:x}", context.ids.member);
    let known = Family::<Vec<(&'static str, String)>, Gauge>::default();
    // Itself included, as in etcd.
    for id in status.members.keys() {
        let labels = vec![("Local", member.clone()), ("Remote", format!("{id:x}"))];
        known.get_or_create(&labels).set(1);
    }
    out.register("etcd_network_known_peers", "Members", known);
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
pub(super) fn state(context: &Context, out: &mut Registry) {
    let view = &context.view;
    // A size that cannot be had shows as none: the metrics that explain it must come all the same.
    let (total, in_use) = view.db_size().unwrap_or_default();
    let quota = limits::quota_or_default(context.limits.quota_bytes);
    let hub = view.watch_hub().stats();
    let slow = hub.watchers.saturating_sub(hub.synced_watchers);
    let events = Counter::<u64>::default();
    events.inc_by(hub.events);
    let name = "etcd_debugging_mvcc_events";
    out.register(name, "Events handed to watch streams", events);
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
