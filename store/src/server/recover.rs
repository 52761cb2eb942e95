//! `--force-new-cluster`: a member goes on alone with the data that it has, when its cluster has lost
//! its quorum for good.
//!
//! The cluster gets another id, which is on disk before anything else changes: the members left behind
//! can neither change nor follow this one, also if they come back as a majority, and are told to end
//! when they call. A cluster that still has a leader is not lost, and is refused.

use std::sync::Arc;
use std::time::SystemTime;

use super::settings::consensus_config;
use super::start::StartError;
use crate::apply::Machine;
use crate::config::Config;
use crate::consensus::membership::cluster_id;
use crate::consensus::{self, ConsensusConfig, StateMachine};
use crate::data_dir::{DataDir, Identity};
use crate::tls::ClientTls;

/// How often one folder may be forced; each time is remembered for ever.
const FORCED_MAX: usize = 1_000;

/// Prepares what consensus needs to begin alone, and writes the cluster's new id. Nothing changes on a
/// member without data, or on one that is alone already.
pub(super) async fn force_alone(
    config: &Config,
    dir: &mut DataDir,
    identity: &mut Identity,
    machine: &mut Machine,
    peers: Option<&Arc<ClientTls>>,
) -> Result<ConsensusConfig, StartError> {
    let settings = consensus_config(config, dir, identity, peers);
    let state = machine
        .applied_state()
        .map_err(|source| StartError::State {
            path: dir.state(),
            source,
        })?;
    let survey = consensus::survey(&settings, &state)
        .await
        .map_err(StartError::Consensus)?;
    let is_alone = |id: &u64| *id == identity.member_id;
    if survey.members.keys().all(is_alone) {
        tracing::warn!(
            members = survey.members.len(),
            "--force-new-cluster has nothing to do: the data directory names no other member"
        );
        return Ok(settings);
    }
    if let Some(member) = survey.led {
        return Err(StartError::NotLost(member));
    }
    if identity.former_cluster_ids.len() >= FORCED_MAX {
        return Err(StartError::ForcedTooOften(FORCED_MAX));
    }
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos();
    let now = u64::try_from(now).unwrap_or(u64::MAX);
    let former = identity.cluster_id;
    identity.former_cluster_ids.push(former);
    identity.cluster_id = cluster_id(&[former, identity.member_id, now]);
    // An empty log would be a lost one from here on, and the founders are not asked again.
    identity.initialized = true;
    dir.set_identity(identity.clone())?;
    tracing::warn!(
        former_cluster_id = format!("{former:x}"),
        cluster_id = format!("{:x}", identity.cluster_id),
        left_behind = survey.members.len() - 1,
        "forcing a new cluster; data that only the other members have is lost"
    );
    Ok(ConsensusConfig {
        force_alone: true,
        ..consensus_config(config, dir, identity, peers)
    })
}
