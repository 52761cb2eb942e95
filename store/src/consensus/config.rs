//! Settings of a consensus member, and openraft's settings made from them.

use std::path::PathBuf;

use openraft::{Config, SnapshotPolicy};

use super::Member;
use crate::metrics::Measures;

/// What a member needs to know of itself and its cluster.
#[derive(Clone, Debug)]
pub struct ConsensusConfig {
    /// This member, see [`super::membership::member_id`].
    pub member_id: u64,
    /// The cluster, see [`super::membership::cluster_id`]. Calls from another one are refused.
    pub cluster_id: u64,
    /// What this cluster was called before this member was forced to go on alone. Whoever still calls by
    /// such a name is told that it was removed.
    pub former_cluster_ids: Vec<u64>,
    /// The raft log's own folder.
    pub dir: PathBuf,
    /// Where snapshots are put together; on the same file system as the state machine.
    pub staging_dir: PathBuf,
    /// `--heartbeat-interval`.
    pub heartbeat_ms: u64,
    /// `--election-timeout`.
    pub election_ms: u64,
    /// Entries kept in the log although a snapshot covers them, so that a follower that was away
    /// for a moment needs no snapshot.
    pub snapshot_catchup_entries: u64,
    /// `--snapshot-count`: the state is flushed, and the log shortened, after so many entries.
    pub snapshot_count: u64,
    /// How peers with `https` URLs are reached.
    pub peer_tls: Option<PeerTls>,
    /// The members of a new cluster. Every one of them may start with the same list; on a member
    /// that has a log already it does nothing. `None`: this member is told by a leader.
    pub initial_members: Option<Vec<Member>>,
    /// Go on alone with what this member has: the others are lost. The caller has given the cluster another
    /// id, and has put the one before into `former_cluster_ids`.
    pub force_alone: bool,
    /// The largest command; messages between members are bounded by it.
    pub max_request_bytes: usize,
    /// `--strict-reconfig-check`: refuse changes that could cost the quorum.
    pub strict_reconfig_check: bool,
    /// `--max-learners`.
    pub learners_max: usize,
    /// `--pre-vote`.
    pub pre_vote: bool,
    /// Counts the writes of the log, and the traffic with other members.
    pub measures: Measures,
}

impl Default for ConsensusConfig {
    /// etcd's defaults; the ids and folders are for the caller to fill in.
    fn default() -> Self {
        Self {
            member_id: 0,
            cluster_id: 0,
            former_cluster_ids: Vec::new(),
            dir: PathBuf::new(),
            staging_dir: PathBuf::new(),
            heartbeat_ms: 100,
            election_ms: 1000,
            snapshot_catchup_entries: 5_000,
            snapshot_count: 10_000,
            peer_tls: None,
            initial_members: None,
            force_alone: false,
            max_request_bytes: 1_572_864,
            strict_reconfig_check: true,
            learners_max: 1,
            pre_vote: true,
            measures: Measures::default(),
        }
    }
}

/// Certificates and trust for calls to other members.
#[derive(Clone, Debug)]
pub struct PeerTls {
    /// Connects to every peer.
    pub connector: crate::tls::PeerConnector,
}

/// Entries in one message; their bytes are bounded where they are read.
const PAYLOAD_ENTRIES_MAX: u64 = 4096;
const PURGE_BATCH: u64 = 2_000;
/// A whole snapshot may take this long.
const SNAPSHOT_TIMEOUT_MS: u64 = 10 * 60 * 1000;

impl ConsensusConfig {
    /// openraft's settings. The timings are etcd's two flags: a follower waits between half and all
    /// of the election timeout.
    pub(super) fn raft_config(&self) -> Result<Config, openraft::ConfigError> {
        let (heartbeat, election) = (self.heartbeat_ms, self.election_ms);
        let election_min = election / 2;
        // A heartbeat is sent at a tick, up to one tick late; a suppressed one must still come in time.
        let tick = heartbeat * 13 / 64 + 1;
        let heartbeat_min = heartbeat.min(election_min.saturating_sub(2 * heartbeat + tick));
        let config = Config {
            cluster_name: format!("{:x}", self.cluster_id),
            heartbeat_interval: heartbeat,
            heartbeat_min_interval: Some(heartbeat_min),
            election_timeout_min: election_min,
            election_timeout_max: election,
            enable_pre_vote: Some(self.pre_vote),
            // A leader replicates before its own disk has the entries. Were it to resume its term after a
            // crash, it could give a lost entry's place to another one that some follower would not take.
            enable_leader_restore: Some(false),
            // Else an isolated leader's heartbeats to one member can block the election of the others.
            quorum_loss_probe_interval: Some(2 * election),
            max_payload_entries: PAYLOAD_ENTRIES_MAX,
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: self.snapshot_catchup_entries,
            purge_batch_size: PURGE_BATCH.min(self.snapshot_count.max(1)),
            install_snapshot_timeout: SNAPSHOT_TIMEOUT_MS,
            backoff: "20ms 50ms 100ms ...1s".to_owned(),
            ..Config::default()
        };
        config.validate()
    }
}

#[cfg(test)]
mod tests {
    use super::ConsensusConfig;

    #[test]
    fn the_timings_that_users_choose_are_accepted() {
        for (heartbeat_ms, election_ms) in [
            (100, 1000),
            (29, 271),
            (100, 2000),
            (500, 5000),
            (10, 100),
            (1, 10),
        ] {
            let config = ConsensusConfig {
                heartbeat_ms,
                election_ms,
                ..Default::default()
            };
            let raft = config
                .raft_config()
                .unwrap_or_else(|error| panic!("{heartbeat_ms}/{election_ms}: {error}"));
            assert_eq!(raft.enable_leader_restore, Some(false));
        }
        let same = ConsensusConfig {
            heartbeat_ms: 500,
            election_ms: 600,
            ..Default::default()
        };
        assert!(same.raft_config().is_err());
    }
}
