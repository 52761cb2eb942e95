//! Who this member is: what its folder says, or else what its flags say of a cluster that is to be
//! founded or joined. The words of refusals are etcd's.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::start::StartError;
use super::{discovery, join, srv};
use crate::config::{ClusterState, Config, InitialCluster, Url};
use crate::consensus::Member;
use crate::consensus::membership::{cluster_id, member_id};
use crate::data_dir::{DataDir, DataDirError, Founder, Identity};
use crate::tls::ClientTls;

/// Reads or makes the identity. A new one is not written yet.
pub(super) async fn identity(
    config: &Config,
    dir: &DataDir,
    peers: Option<&Arc<ClientTls>>,
) -> Result<Identity, StartError> {
    if let Some(identity) = dir.identity() {
        if config.discovery.is_some() {
            tracing::warn!(
                "discovery token is ignored since cluster already initialized; valid logs are found"
            );
        }
        check_flags(config, dir, identity)?;
        return Ok(identity.clone());
    }
    let Some(srv) = &config.discovery_srv else {
        return match config.cluster_state {
            ClusterState::New => found(config, peers).await,
            ClusterState::Existing => join(config, peers).await,
        };
    };
    let mut config = config.clone();
    config.initial_cluster = srv::cluster(&config, srv).await?;
    if config.cluster_state == ClusterState::Existing {
        return join(&config, peers).await;
    }
    let mut identity = found(&config, peers).await?;
    // Each member knows only its own name, and all must begin their logs with the same.
    let founders = identity.founders.iter_mut().flatten();
    founders.for_each(|founder| founder.name.clear());
    Ok(identity)
}

/// The founding members in consensus' words; none once the log has begun, or if the member joined.
pub(super) fn initial_members(identity: &Identity) -> Option<Vec<Member>> {
    (!identity.initialized).then(|| founding_members(identity))?
}

/// The members that founded the cluster, in consensus' words; none if this one joined.
pub(crate) fn founding_members(identity: &Identity) -> Option<Vec<Member>> {
    let founders = identity.founders.as_ref()?;
    let member = |founder: &Founder| Member {
        id: member_id(&founder.peer_urls, &identity.token, None),
        name: founder.name.clone(),
        peer_urls: founder.peer_urls.clone(),
        ..Member::default()
    };
    Some(founders.iter().map(member).collect())
}

/// The flags of a member that has data are of no effect, as in etcd; but flags that describe another
/// member or cluster show that it was given the wrong folder.
fn check_flags(config: &Config, dir: &DataDir, found: &Identity) -> Result<(), StartError> {
    let path = dir.root().to_path_buf();
    if config.cluster_state == ClusterState::New
        && config.initial_cluster_given
        && config.cluster_token != found.token
    {
        return Err(StartError::DataDir(DataDirError::OtherCluster {
            path,
            found: found.token.clone(),
            cluster_id: found.cluster_id,
            flags: config.cluster_token.clone(),
        }));
    }
    let described = described_member(config, found);
    if described.is_some_and(|id| id != found.member_id) && config.name != found.name {
        return Err(StartError::DataDir(DataDirError::OtherMember {
            path,
            found: found.name.clone(),
            member_id: found.member_id,
            flags: config.name.clone(),
        }));
    }
    Ok(())
}

/// The id of the member that the flags describe; none if they name no cluster or not this member.
fn described_member(config: &Config, found: &Identity) -> Option<u64> {
    if !config.initial_cluster_given {
        return None;
    }
    let urls = config.initial_cluster.get(&config.name)?;
    Some(member_id(&texts(urls), &found.token, None))
}

async fn found(config: &Config, peers: Option<&Arc<ClientTls>>) -> Result<Identity, StartError> {
    check_founder(config).await?;
    let id = own_id(config);
    // A member that lost its data must not vote again as if it had none: it may have voted already.
    if join::has_started(config, peers, id).await {
        return Err(StartError::AlreadyBootstrapped(id));
    }
    let Some(place) = &config.discovery else {
        return Ok(identity_in(config, &config.initial_cluster));
    };
    let own = config.initial_cluster.to_string();
    let joined = discovery::join(place, &config.tls_policy, id, &own).await;
    let cluster = joined.map_err(|source| StartError::Discovery(Box::new(source)))?;
    if cluster.has_duplicate_url() {
        return Err(StartError::DuplicateDiscovered(cluster.to_string()));
    }
    Ok(identity_in(config, &cluster))
}

/// The identity of a founding member, by its flags alone.
pub(crate) async fn founder(config: &Config) -> Result<Identity, StartError> {
    check_founder(config).await?;
    Ok(identity_in(config, &config.initial_cluster))
}

async fn check_founder(config: &Config) -> Result<(), StartError> {
    check_own_name(config)?;
    check_advertised(config).await?;
    check_no_duplicates(&config.initial_cluster)
}

/// What tells this cluster from others whose members have the same addresses.
fn token(config: &Config) -> &str {
    let found = config.discovery.as_ref();
    found.map_or(&config.cluster_token, |found| &found.token)
}

fn own_id(config: &Config) -> u64 {
    let own = config.initial_cluster.get(&config.name).map(texts);
    member_id(&own.unwrap_or_default(), token(config), None)
}

/// The identity of this member among the founders that `cluster` names.
fn identity_in(config: &Config, cluster: &InitialCluster) -> Identity {
    let token = token(config);
    let founders: Vec<Founder> = cluster
        .iter()
        .map(|(name, urls)| Founder {
            name: name.into(),
            peer_urls: texts(urls),
        })
        .collect();
    let ids: Vec<u64> = founders
        .iter()
        .map(|founder| member_id(&founder.peer_urls, token, None))
        .collect();
    Identity::new(
        cluster_id(&ids),
        own_id(config),
        &config.name,
        token,
        Some(founders),
    )
}

async fn join(config: &Config, peers: Option<&Arc<ClientTls>>) -> Result<Identity, StartError> {
    check_own_name(config)?;
    check_no_duplicates(&config.initial_cluster)?;
    let cluster = join::ask_cluster(config, peers).await?;
    let named: BTreeSet<Vec<String>> = config
        .initial_cluster
        .iter()
        .map(|(_, urls)| texts(urls))
        .collect();
    if named.len() != cluster.members.len() {
        return Err(StartError::JoinMismatch("member count is unequal".into()));
    }
    let sorted = |urls: &[String]| {
        let mut urls = urls.to_vec();
        urls.sort();
        urls
    };
    for member in &cluster.members {
        if !named.contains(&sorted(&member.peer_urls)) {
            return Err(StartError::JoinMismatch(format!(
                "unmatched member while checking PeerURLs: {} is not in --initial-cluster",
                member.peer_urls.join(",")
            )));
        }
    }
    let own = config
        .initial_cluster
        .get(&config.name)
        .map(texts)
        .unwrap_or_default();
    let this = cluster
        .members
        .iter()
        .find(|member| sorted(&member.peer_urls) == own);
    let this = this.ok_or_else(|| {
        StartError::JoinMismatch(format!("no member has the peer URLs {}", own.join(",")))
    })?;
    if !this.client_urls.is_empty() {
        // It ran before, and what it had promised then is lost with its data.
        return Err(StartError::AlreadyBootstrapped(this.id));
    }
    Ok(Identity::new(
        cluster.id,
        this.id,
        &config.name,
        &config.cluster_token,
        None,
    ))
}

fn check_own_name(config: &Config) -> Result<(), StartError> {
    match config.initial_cluster.get(&config.name) {
        Some(_) => Ok(()),
        None => Err(StartError::NoLocalName(config.name.clone())),
    }
}

fn check_no_duplicates(cluster: &InitialCluster) -> Result<(), StartError> {
    if cluster.has_duplicate_url() {
        return Err(StartError::DuplicateUrl(cluster.to_string()));
    }
    Ok(())
}

/// `--initial-advertise-peer-urls` must say the same as this member's part of `--initial-cluster`;
/// names and addresses may stand for each other.
async fn check_advertised(config: &Config) -> Result<(), StartError> {
    let mut advertised = texts(&config.advertise_peer_urls);
    let mut named = config
        .initial_cluster
        .get(&config.name)
        .map(texts)
        .unwrap_or_default();
    advertised.sort();
    named.sort();
    if advertised == named {
        return Ok(());
    }
    let (left, right) = (
        resolve_all(&config.advertise_peer_urls).await,
        match config.initial_cluster.get(&config.name) {
            Some(urls) => resolve_all(urls).await,
            None => Vec::new(),
        },
    );
    if left == right {
        return Ok(());
    }
    let name = &config.name;
    let label = |urls: Vec<&String>| {
        urls.into_iter()
            .map(|url| format!("{name}={url}"))
            .collect::<Vec<_>>()
            .join(",")
    };
    let missing: Vec<&String> = named
        .iter()
        .filter(|url| !advertised.contains(url))
        .collect();
    if !missing.is_empty() {
        return Err(StartError::Advertise(format!(
            "--initial-cluster has {} but missing from --initial-advertise-peer-urls={} (resolved urls: {:?} != {:?})",
            label(missing),
            advertised.join(","),
            left.join(","),
            right.join(","),
        )));
    }
    let missing: Vec<&String> = advertised
        .iter()
        .filter(|url| !named.contains(url))
        .collect();
    Err(StartError::Advertise(format!(
        "--initial-advertise-peer-urls has {} but missing from --initial-cluster={}",
        missing.into_iter().cloned().collect::<Vec<_>>().join(","),
        label(advertised.iter().collect()),
    )))
}

async fn resolve_all(urls: &[Url]) -> Vec<String> {
    let mut resolved = Vec::with_capacity(urls.len());
    for url in urls {
        resolved.push(resolve(url).await);
    }
    resolved.sort();
    resolved
}

/// The URL with an address in place of its name, where the name is known.
async fn resolve(url: &Url) -> String {
    let Some((host, port)) = url.host_port() else {
        return url.to_string();
    };
    let found = tokio::net::lookup_host(format!("{host}:{port}")).await;
    let mut addresses: Vec<_> = found.map(Iterator::collect).unwrap_or_default();
    addresses.sort();
    match addresses.first() {
        Some(address) => format!(
            "{}://{address}",
            if url.is_tls() { "https" } else { "http" }
        ),
        None => url.to_string(),
    }
}

fn texts(urls: &[Url]) -> Vec<String> {
    let mut texts: Vec<String> = urls.iter().map(|url| url.as_str().to_owned()).collect();
    texts.sort();
    texts
}
