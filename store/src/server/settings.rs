//! From the settings to what each part of a member takes.

use std::sync::Arc;
use std::time::Duration;

use super::founding;
use super::listen::{Bound, Listeners};
use super::start::StartError;
use crate::apply::{Machine, MachineOptions, View};
use crate::auth::{Passwords, Provider};
use crate::config::{Config, Url};
use crate::consensus::{ConsensusConfig, PeerTls};
use crate::data_dir::{DataDir, Identity};
use crate::lease::expiry::LessorSettings;
use crate::limits;
use crate::metrics::Measures;
use crate::rpc::{Authenticator, Limits};
use crate::tls::{self, ClientTls, ServerTls};
use crate::traces;

/// The state machine of the folder.
pub(super) async fn open_machine(
    config: &Config,
    dir: &DataDir,
    measures: &Measures,
) -> Result<(Machine, View), StartError> {
    let state = dir.state();
    let path = state.clone();
    let quota = u64::try_from(limits::quota_or_default(config.quota_bytes)).ok();
    let options = MachineOptions {
        quota_bytes: quota,
        token_ttl: config.auth_token_ttl,
        measures: measures.state.clone(),
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
    peer_client: Option<&Arc<ClientTls>>,
) -> ConsensusConfig {
    ConsensusConfig {
        member_id: identity.member_id,
        cluster_id: identity.cluster_id,
        former_cluster_ids: identity.former_cluster_ids.clone(),
        dir: dir.log().to_path_buf(),
        staging_dir: dir.staging(),
        heartbeat_ms: config.heartbeat_ms,
        election_ms: config.election_ms,
        snapshot_catchup_entries: config.snapshot_catchup_entries,
        snapshot_count: config.snapshot_count,
        peer_tls: peer_client.map(|client| PeerTls {
            connector: client.connector(),
        }),
        initial_members: founding::initial_members(identity),
        force_alone: false,
        max_request_bytes: config.max_request_bytes,
        strict_reconfig_check: config.strict_reconfig_check,
        learners_max: config.max_learners,
        pre_vote: config.pre_vote,
        measures: Measures::default(),
    }
}

/// The clocks of leases.
pub(super) fn lessor_settings(config: &Config, measures: &Measures) -> LessorSettings {
    let is_checkpointed = config.gates.lease_checkpoint;
    LessorSettings {
        election: Duration::from_millis(config.election_ms),
        timeout: config.request_timeout(),
        checkpoint_every: is_checkpointed.then_some(config.lease_checkpoint_interval),
        expired: measures.leases_expired.clone(),
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

/// Where spans of requests are begun, and what sends them; nothing where they are not asked for.
pub(super) fn spans(
    config: &Config,
) -> Result<(Option<traces::Tracer>, Option<traces::Exporter>), StartError> {
    let built = config.traces.as_ref().map(traces::build).transpose()?;
    Ok(built.unzip())
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

/// All of a member's TLS.
pub(super) struct Secrets {
    /// Of the sockets for clients.
    pub(super) client: Option<Arc<ServerTls>>,
    /// Of the sockets for members.
    pub(super) peer: Option<Arc<ServerTls>>,
    /// Of connections to members.
    pub(super) peer_client: Option<Arc<ClientTls>>,
}

/// Reads the files of every side that asks for TLS.
pub(super) fn secrets(config: &Config, listeners: &Listeners) -> Result<Secrets, StartError> {
    let client = [&listeners.client, &listeners.http, &listeners.metrics];
    let is_needed = client.into_iter().any(|bounds| need_tls(bounds));
    Ok(Secrets {
        client: server_tls(config, "client", is_needed)?,
        peer: server_tls(config, "peer", need_tls(&listeners.peer))?,
        peer_client: peer_client(config)?,
    })
}

/// The TLS of one side, where one of its sockets asks for it.
fn server_tls(
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
fn need_tls(bounds: &[Bound]) -> bool {
    bounds.iter().any(|bound| bound.url.is_tls())
}

/// How this member calls others: with TLS as soon as it has any file for it.
fn peer_client(config: &Config) -> Result<Option<Arc<ClientTls>>, StartError> {
    let files = &config.peer_tls;
    if files.cert.is_none() && files.trusted_ca.is_none() {
        return Ok(None);
    }
    let client = ClientTls::open(files, &config.tls_policy);
    let client = client.map_err(|source| StartError::Tls {
        side: "peer",
        source,
    })?;
    Ok(Some(Arc::new(client)))
}

/// Makes the certificates that `--auto-tls` and `--peer-auto-tls` ask for, and puts them into the
/// settings.
pub(super) fn make_certificates(config: &mut Config) -> Result<(), StartError> {
    let hosts = |urls: &[Url]| -> Vec<String> {
        let hosts = urls.iter().filter_map(Url::host_port);
        hosts.map(|(host, _)| host.to_owned()).collect()
    };
    let mut client = hosts(&config.listen_client_urls);
    client.extend(hosts(&config.listen_client_http_urls));
    let peer = hosts(&config.listen_peer_urls);
    let sides = [
        ("client", client, &mut config.client_tls),
        ("peer", peer, &mut config.peer_tls),
    ];
    for (side, hosts, files) in sides {
        if !files.auto || files.cert.is_some() {
            continue;
        }
        let dir = config.data_dir.join("fixtures").join(side);
        let made = tls::ensure_self_made(&dir, &hosts, config.self_made_years);
        let (cert, key) = made.map_err(|source| StartError::SelfMade { side, source })?;
        files.client_cert = Some(cert.clone());
        files.client_key = Some(key.clone());
        (files.cert, files.key) = (Some(cert), Some(key));
        files.is_self_made = true;
        // No authority has signed what members show each other.
        if side == "peer" {
            files.trusted_ca = None;
            files.client_cert_auth = false;
        }
    }
    Ok(())
}
