//! `/metrics` beside a real etcd's: the same names, kinds, labels and buckets, so that dashboards and
//! alerts for etcd read ours.

use std::collections::{BTreeMap, BTreeSet};

use proto_etcd::etcdserverpb::kv_client::KvClient;
use proto_etcd::etcdserverpb::lease_client::LeaseClient;
use proto_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use proto_etcd::etcdserverpb::watch_client::WatchClient;
use proto_etcd::etcdserverpb::watch_request::RequestUnion;
use proto_etcd::etcdserverpb::{
    CompactionRequest, DefragmentRequest, DeleteRangeRequest, HashKvRequest, HashRequest,
    LeaseGrantRequest, PutRequest, RangeRequest, SnapshotRequest, WatchCreateRequest, WatchRequest,
};

use super::harness::{Cluster, SOON, connect};
use super::http::get;
use super::real::real_etcds;

/// What etcd counts and ours does not, by the beginnings of names, and why.
const NOT_OURS: &[(&str, &str)] = &[
    ("go_", "Go's runtime"),
    ("promhttp_", "Go's library for metrics"),
    ("etcd_server_go_version", "Go's release"),
    ("etcd_grpc_proxy_", "another program's"),
    ("etcd_debugging_store_", "etcd 2's store"),
    ("etcd_debugging_disk_backend_commit_", "steps within bbolt"),
    ("etcd_mvcc_db_open_read_transactions", "bbolt's"),
    (
        "etcd_debugging_mvcc_index_compaction_pause",
        "the index has no pause",
    ),
    (
        "etcd_debugging_mvcc_pending_events_total",
        "kept by stream, not counted",
    ),
    ("etcd_debugging_server_watch_send_loop_", "etcd's own loop"),
    ("etcd_snap_", "no snapshot lies on the disk"),
    ("etcd_debugging_snap_", "no snapshot lies on the disk"),
    (
        "etcd_server_feature_enabled",
        "switches of etcd's implementation",
    ),
    ("process_network_", "the machine's, not the process's"),
    (
        "etcd_network_server_stream_failures_total",
        "peers' streams are another kind",
    ),
    ("etcd_network_snapshot_", "told by the log"),
];

/// Counters without `_total`, which the library cannot name; ours are gauges.
const OTHER_KIND: &[&str] = &[
    "etcd_server_health_failures",
    "etcd_server_health_success",
    "etcd_server_learner_promote_successes",
];

/// A family: its kind, and the labels of its samples with the bounds of its buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Described {
    kind: String,
    labels: BTreeSet<String>,
    buckets: BTreeSet<String>,
}

/// The families of a text in the format 0.0.4.
fn families(text: &str) -> BTreeMap<String, Described> {
    let mut families = BTreeMap::<String, Described>::new();
    for line in text.lines() {
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, kind) = typed.split_once(' ').unwrap();
            families.entry(name.into()).or_default().kind = kind.into();
        }
        if line.starts_with('#') {
            continue;
        }
        let (sample, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
        let parts = ["_bucket", "_sum", "_count"];
        let whole = parts.iter().find_map(|part| name.strip_suffix(part));
        let is_part = whole.is_some_and(|whole| families.contains_key(whole));
        let name = whole.filter(|_| is_part).unwrap_or(name);
        let family = families.get_mut(name);
        let family = family.unwrap_or_else(|| panic!("{name} is not described"));
        for pair in labels.trim_end_matches('}').split("\",") {
            match pair.split_once("=\"") {
                Some(("le", bound)) => {
                    let bound = bound.trim_end_matches('"');
                    let number: f64 = bound.parse().unwrap();
                    family.buckets.insert(format!("{number}"));
                }
                Some((label, _)) => {
                    family.labels.insert(label.into());
                }
                None => {}
            }
        }
    }
    families
}

/// One of everything that is counted.
async fn work(endpoint: &str) {
    let channel = connect(endpoint).await;
    let mut kv = KvClient::new(channel.clone());
    let put = PutRequest {
        key: "a".into(),
        value: "1".into(),
        ..PutRequest::default()
    };
    kv.put(put).await.unwrap();
    let range = RangeRequest {
        key: "a".into(),
        ..RangeRequest::default()
    };
    kv.range(range).await.unwrap();
    let delete = DeleteRangeRequest {
        key: "a".into(),
        ..DeleteRangeRequest::default()
    };
    kv.delete_range(delete).await.unwrap();
    let grant = LeaseGrantRequest { ttl: 60, id: 0 };
    let mut lease = LeaseClient::new(channel.clone());
    lease.lease_grant(grant).await.unwrap();
    let (requests, sent) = tokio::sync::mpsc::channel(1);
    let create = WatchCreateRequest {
        key: "a".into(),
        start_revision: 2,
        ..WatchCreateRequest::default()
    };
    let create = WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(create)),
    };
    requests.send(create).await.unwrap();
    let sent = tokio_stream::wrappers::ReceiverStream::new(sent);
    let mut watch = WatchClient::new(channel.clone());
    let mut watched = watch.watch(sent).await.unwrap().into_inner();
    // The creation, and the events.
    watched.message().await.unwrap();
    watched.message().await.unwrap();
    drop((watched, requests));
    let compaction = CompactionRequest {
        revision: 3,
        physical: true,
    };
    kv.compact(compaction).await.unwrap();
    let mut maintenance = MaintenanceClient::new(channel);
    maintenance.hash(HashRequest {}).await.unwrap();
    let hash = HashKvRequest::default();
    maintenance.hash_kv(hash).await.unwrap();
    let mut snapshot = maintenance
        .snapshot(SnapshotRequest {})
        .await
        .unwrap()
        .into_inner();
    while snapshot.message().await.unwrap().is_some() {}
    maintenance.defragment(DefragmentRequest {}).await.unwrap();
}

/// The text, once the watch that was given up is counted as ended.
async fn metrics(endpoint: &str) -> String {
    let ended = testkit::poll(SOON, "the watch has ended", async || {
        let (status, text) = get(endpoint, "/metrics").await;
        assert_eq!(status, 200);
        let mut lines = text.lines();
        let is_ended = lines.any(|line| {
            line.starts_with("grpc_server_handled_total")
                && line.contains("grpc_method=\"Watch\"")
                && line.contains("grpc_code=\"Canceled\"")
                && line.ends_with(" 1")
        });
        if is_ended { Ok(text) } else { Err(text) }
    });
    ended.await.unwrap()
}

/// What dashboards would miss, or read in another way.
fn differences(theirs: &str, ours: &str) -> Vec<String> {
    let ours = families(ours);
    let mut differences = Vec::new();
    for (name, mut theirs) in families(theirs) {
        if NOT_OURS.iter().any(|(start, _)| name.starts_with(start)) {
            continue;
        }
        let Some(ours) = ours.get(&name) else {
            differences.push(format!("{name} is missing"));
            continue;
        };
        if OTHER_KIND.contains(&name.as_str()) {
            theirs.kind.clone_from(&ours.kind);
        }
        // A family without a sample yet has no labels to compare.
        let has_samples = !theirs.labels.is_empty() || !theirs.buckets.is_empty();
        if theirs.kind != ours.kind || has_samples && theirs != *ours {
            differences.push(format!("{name}: {theirs:?}, ours {ours:?}"));
        }
    }
    differences
}

#[tokio::test(flavor = "multi_thread")]
async fn dashboards_of_etcd_find_all_they_read() {
    let flags = ["--metrics=extensive"];
    let cluster = Cluster::start_with(1, &flags).await;
    work(&cluster.endpoint(0)).await;
    let ours = metrics(&cluster.endpoint(0)).await;
    let mut found = Vec::new();
    for (name, real) in real_etcds(&flags).await {
        work(&real.endpoint).await;
        let theirs = metrics(&real.endpoint).await;
        let differences = differences(&theirs, &ours);
        found.extend(differences.iter().map(|line| format!("{name}: {line}")));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    // What is counted is what was done.
    for line in [
        "etcd_mvcc_put_total 1",
        "etcd_mvcc_delete_total 1",
        "etcd_mvcc_range_total 1",
        "etcd_debugging_mvcc_total_put_size_in_bytes 2",
        "etcd_disk_backend_defrag_duration_seconds_count 1",
        "etcd_disk_backend_snapshot_duration_seconds_count 1",
        "etcd_mvcc_hash_duration_seconds_count 1",
        "etcd_mvcc_hash_rev_duration_seconds_count 1",
        "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds_count 1",
        "etcd_server_apply_duration_seconds_count{version=\"v3\",op=\"Put\",success=\"true\"} 1",
    ] {
        assert!(ours.lines().any(|have| have == line), "{line}\n{ours}");
    }
}

#[test]
fn a_difference_is_found() {
    let theirs = "# TYPE a_total counter\na_total{b=\"1\"} 2\n# TYPE t histogram\n\
        t_bucket{le=\"1\"} 0\nt_sum 0\nt_count 0\n# TYPE go_x gauge\ngo_x 1\n";
    assert_eq!(differences(theirs, theirs), Vec::<String>::new());
    let without = theirs.replace("# TYPE a_total counter\na_total{b=\"1\"} 2\n", "");
    assert_eq!(differences(theirs, &without), ["a_total is missing"]);
    for (from, to) in [
        ("counter", "gauge"),
        ("{b=", "{c="),
        ("le=\"1\"", "le=\"2\""),
    ] {
        let other = theirs.replace(from, to);
        assert_eq!(differences(theirs, &other).len(), 1, "{to}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_traffic_of_members_is_counted() {
    let cluster = Cluster::start(3).await;
    cluster.put(0, "a", "1").await;
    let counted = testkit::poll(SOON, "traffic both ways", async || {
        for number in 0..3 {
            let (_, text) = get(&cluster.endpoint(number), "/metrics").await;
            let positive = |start: &str| {
                let mut lines = text.lines().filter(|line| line.starts_with(start));
                lines.any(|line| !line.ends_with(" 0"))
            };
            let is_leader = text.lines().any(|line| line == "etcd_server_is_leader 1");
            let names = [
                ("etcd_network_peer_sent_bytes_total{To=\"", true),
                ("etcd_network_peer_received_bytes_total{From=\"", true),
                (
                    "etcd_network_peer_round_trip_time_seconds_count{To=\"",
                    is_leader,
                ),
            ];
            for (start, is_due) in names {
                if is_due && !positive(start) {
                    return Err(format!("member {number} has no {start}:\n{text}"));
                }
            }
        }
        Ok(())
    });
    counted.await.unwrap();
}
