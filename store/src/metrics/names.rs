//! The names of what the rooms below the services count. The library appends `_total` to counters'.

use prometheus_client::registry::{Metric, Registry};

use super::measures::{LogMeasures, Measures, PeerMeasures, StateMeasures};

/// Gives each its name and its help.
pub(super) fn all<M: Metric + Clone, const N: usize>(
    out: &mut Registry,
    named: [(&str, &str, &M); N],
) {
    for (name, help, metric) in named {
        out.register(name, help, metric.clone());
    }
}

impl Measures {
    /// Gives them their names.
    pub(super) fn register(&self, out: &mut Registry) {
        self.log.register(out);
        self.state.register(out);
        self.peers.register(out);
        let name = "etcd_debugging_server_lease_expired";
        out.register(name, "Leases found to be over", self.leases_expired.clone());
    }
}

impl LogMeasures {
    fn register(&self, out: &mut Registry) {
        let (syncs, writes) = (self.syncs.0.clone(), self.writes.0.clone());
        let name = "etcd_disk_wal_fsync_duration_seconds";
        out.register(name, "Time to sync the raft log", syncs);
        let name = "etcd_disk_wal_write_duration_seconds";
        out.register(name, "Time to write to the raft log", writes);
        let name = "etcd_disk_wal_write_bytes_total";
        out.register(name, "Bytes written to the raft log", self.bytes.clone());
    }
}

impl StateMeasures {
    fn register(&self, out: &mut Registry) {
        self.register_times(out);
        self.register_counts(out);
    }

    fn register_times(&self, out: &mut Registry) {
        all(
            out,
            [
                (
                    "etcd_disk_backend_commit_duration_seconds",
                    "Time to write the batch of an entry to the storage engine",
                    &self.commits.0,
                ),
                (
                    "etcd_disk_backend_defrag_duration_seconds",
                    "Time to defragment",
                    &self.defragments.0,
                ),
                (
                    "etcd_disk_backend_snapshot_duration_seconds",
                    "Time to send a snapshot to a client",
                    &self.snapshots.0,
                ),
                (
                    "etcd_mvcc_hash_duration_seconds",
                    "Time to hash the whole state",
                    &self.hashes.0,
                ),
                (
                    "etcd_mvcc_hash_rev_duration_seconds",
                    "Time to hash the keys at a revision",
                    &self.hashes_at.0,
                ),
                (
                    "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds",
                    "Time of one piece of a compaction",
                    &self.compaction_pieces.0,
                ),
                (
                    "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds",
                    "Time of a compaction",
                    &self.compactions.0,
                ),
            ],
        );
        let name = "etcd_server_apply_duration_seconds";
        out.register(name, "Time to apply an entry", self.applied.clone());
    }

    fn register_counts(&self, out: &mut Registry) {
        all(
            out,
            [
                (
                    "etcd_server_slow_apply",
                    "Entries that took over 100 ms to apply",
                    &self.slow,
                ),
                ("etcd_mvcc_range", "Ranges read", &self.ranges),
                // What it is called in 3.5.
                ("etcd_debugging_mvcc_range", "Ranges read", &self.ranges),
                ("etcd_mvcc_put", "Puts applied", &self.puts),
                ("etcd_mvcc_delete", "Deletions applied", &self.deletes),
                (
                    "etcd_mvcc_txn",
                    "Transactions of several operations applied",
                    &self.txns,
                ),
                (
                    "etcd_debugging_mvcc_db_compaction_keys",
                    "Rows removed by compactions",
                    &self.compacted_rows,
                ),
            ],
        );
        all(
            out,
            [
                (
                    "etcd_disk_defrag_inflight",
                    "Whether a defragmentation is under way",
                    &self.defragmenting,
                ),
                (
                    "etcd_debugging_mvcc_total_put_size_in_bytes",
                    "Bytes of keys and values put",
                    &self.put_bytes,
                ),
                (
                    "etcd_debugging_mvcc_db_compaction_last",
                    "When the newest compaction ended, in Unix time",
                    &self.last_compaction,
                ),
                (
                    "etcd_server_snapshot_apply_in_progress_total",
                    "Whether a snapshot of the leader is being taken over",
                    &self.installing,
                ),
            ],
        );
    }
}

impl PeerMeasures {
    fn register(&self, out: &mut Registry) {
        all(
            out,
            [
                (
                    "etcd_network_peer_sent_bytes",
                    "Bytes of entries and snapshots sent to a member",
                    &self.sent,
                ),
                (
                    "etcd_network_peer_received_bytes",
                    "Bytes of entries and snapshots from a member",
                    &self.received,
                ),
                (
                    "etcd_network_peer_sent_failures",
                    "Messages that could not be sent to a member",
                    &self.send_failures,
                ),
                (
                    "etcd_network_peer_received_failures",
                    "Streams of a member that broke",
                    &self.receive_failures,
                ),
            ],
        );
        let name = "etcd_network_peer_round_trip_time_seconds";
        out.register(name, "Time of a heartbeat", self.round_trips.clone());
        let name = "etcd_server_heartbeat_send_failures";
        let failures = self.heartbeat_failures.clone();
        out.register(name, "Heartbeats that failed", failures);
    }
}
