//! From the settings to what each part of a member takes.

use std::sync::Arc;
use std::time::Duration;

use super::founding;
use super::listen::Bound;
use super::start::StartError;
use crate::apply::{Machine, MachineOptions, View};
use crate::auth::{Passwords, Provider};
use crate::config::Config;
use crate::consensus::{ConsensusConfig, PeerTls};
use crate::data_dir::{DataDir, Identity};
use crate::lease::expiry::LessorSettings;
use crate::limits;
use crate::rpc::{Authenticator, Limits};
use crate::tls::{self, ServerTls};

/// The state machine of the folder.
pub(super) async fn open_machine(
    config: &Config,
    dir: &DataDir,
) -> Result<(Machine, View), StartError> {
    let state = dir.state();
    let path = state.clone();
    let quota = u64::try_from(limits::quota_or_default(config.quota_bytes)).ok();
    let options = MachineOptions {
        quota_bytes: quota,
        token_ttl: config.auth_token_ttl,
        ..MachineOptions::default()
    };
    let opened = tokio::task::spawn_blocking(move || Machine::open(&state, options)).await;
    opened
        .map_err(StartError::Thread)?
        .map_err(|source| StartError::State { path, source })
}

/// What consensus is to know.
pub(super) fn consensus_config(
    config: &Config,
    dir: &DataDir,
    identity: &Identity,
) -> Result<ConsensusConfig, StartError> {
    Ok(ConsensusConfig {
        member_id: identity.member_id,
        cluster_id: identity.cluster_id,
        former_cluster_ids: identity.former_cluster_ids.clone(),
        dir: dir.log().to_path_buf(),
        staging_dir: dir.staging(),
        heartbeat_ms: config.heartbeat_ms,
        election_ms: config.election_ms,
        snapshot_catchup_entries: config.snapshot_catchup_entries,
        snapshot_count: config.snapshot_count,
        peer_tls: peer_client_tls(config)?,
        initial_members: founding::initial_members(identity),
        force_alone: false,
        max_request_bytes: config.max_request_bytes,
        strict_reconfig_check: config.strict_reconfig_check,
        learners_max: config.max_learners,
        pre_vote: config.pre_vote,
    })
}

/// The clocks of leases.
pub(super) fn lessor_settings(config: &Config) -> LessorSettings {
    let is_checkpointed = config.gates.lease_checkpoint;
    LessorSettings {
        election: Duration::from_millis(config.election_ms),
        timeout: config.request_timeout(),
        checkpoint_every: is_checkpointed.then_some(config.lease_checkpoint_interval),
    }
}

/// How users prove who they are. Reads the keys of their tokens.
pub(super) fn authenticator(config: &Config) -> Result<Authenticator, StartError> {
    Ok(Authenticator {
        provider: Provider::open(&config.auth_token)?,
        passwords: Passwords::new(config.bcrypt_cost),
        by_certificate: config.client_tls.client_cert_auth,
    })
}

/// The bounds of requests.
pub(super) fn rpc_limits(config: &Config) -> Limits {
    Limits {
        request_timeout: config.request_timeout(),
        max_request_bytes: config.max_request_bytes,
        max_txn_ops: config.max_txn_ops,
        lease_ttl_min_seconds: config.lease_ttl_min_seconds(),
        watch_progress_interval: config.watch_progress_interval,
        slow_request: config.slow_request,
        strict_reconfig_check: config.strict_reconfig_check,
        quota_bytes: config.quota_bytes,
    }
}

/// The TLS of one side, where one of its sockets asks for it.
pub(super) fn server_tls(
    config: &Config,
    side: &'static str,
    is_needed: bool,
) -> Result<Option<Arc<ServerTls>>, StartError> {
    if !is_needed {
        return Ok(None);
    }
    let files = if side == "peer" {
        &config.peer_tls
    } else {
        &config.client_tls
    };
    let tls = ServerTls::open(files, &config.tls_policy)
        .map_err(|source| StartError::Tls { side, source })?;
    Ok(Some(Arc::new(tls)))
}

/// Whether any of these sockets speaks TLS.
pub(super) fn need_tls(bounds: &[Bound]) -> bool {
    bounds.iter().any(|bound| bound.url.is_tls())
}

/// How this member calls others: with TLS as soon as it has any file for it.
fn peer_client_tls(config: &Config) -> Result<Option<PeerTls>, StartError> {
    let files = &config.peer_tls;
    if files.cert.is_none() && files.trusted_ca.is_none() {
        return Ok(None);
    }
    let fault = |source| StartError::Tls {
        side: "peer",
        source,
    };
    // Read once for its faults: the transport would only show them at the first call.
    tls::client_config(files, &config.tls_policy).map_err(fault)?;
    let client = tls::peer_client(files).map_err(fault)?;
    Ok(Some(PeerTls { client }))
}
