//! v3 discovery: founding members write themselves below `/_etcd/registry/TOKEN` of a running etcd and
//! wait there until as many have come as its key `_config/size` says (etcd's
//! server/etcdserver/api/v3discovery). Who comes late is refused.

use std::sync::Arc;
use std::time::Duration;

use proto_etcd::etcdserverpb::auth_client::AuthClient;
use proto_etcd::etcdserverpb::kv_client::KvClient;
use proto_etcd::etcdserverpb::{AuthenticateRequest, PutRequest, RangeRequest, RangeResponse};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::config::{Discovery, InitialCluster, TlsPolicy, Url, UrlError};
use crate::tls::{ClientTls, TlsError};

/// How often those that wait look for newcomers.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The longest pause between two tries is 2 to this power, in seconds, as in etcd.
const BACKOFF_POWER_MAX: u32 = 8;

/// Why there is no cluster. None goes away by waiting; whatever might is tried again for ever.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// Nobody has said how many members there will be.
    #[error(
        "discovery: size key not found: put the number of members to {0} of the discovery service"
    )]
    NoSize(String),
    /// What was said is no number above 0.
    #[error("discovery: size key is bad: {0} must be a number above 0")]
    BadSize(String),
    /// So many have come already.
    #[error("discovery: cluster is full")]
    Full,
    /// What a member wrote is no list of peer URLs.
    #[error("discovery: invalid peer URL")]
    BadMember(#[source] UrlError),
    /// The files of TLS.
    #[error("TLS of the discovery service")]
    Tls(#[source] TlsError),
    /// An endpoint that is no address.
    #[error("discovery endpoint {0}")]
    Endpoint(Url, #[source] tonic::transport::Error),
}

/// A member that has written itself down.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Registered {
    key: String,
    /// `name=url,name=url`.
    urls: String,
    created: i64,
}

/// Registers the member `id` with its `name=url,…` and returns all founding members.
pub(super) async fn join(
    discovery: &Discovery,
    policy: &TlsPolicy,
    id: u64,
    own: &str,
) -> Result<InitialCluster, DiscoveryError> {
    tracing::info!("Bootstrapping cluster using v3 discovery.");
    let mut registry = Registry::open(discovery, policy, id)?;
    registry.check().await?;
    registry.register(own).await;
    let mut told = 0;
    loop {
        let (members, size) = registry.check().await?;
        if members.len() >= size {
            tracing::info!(
                cluster_size = size,
                "found all needed peers from discovery service"
            );
            return cluster(members, size);
        }
        if members.len() != told {
            told = members.len();
            tracing::info!(
                cluster_size = size,
                found_peers = told,
                "waiting for peers from discovery service"
            );
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// The first `size` members that came.
fn cluster(mut members: Vec<Registered>, size: usize) -> Result<InitialCluster, DiscoveryError> {
    members.sort_by_key(|member| member.created);
    let urls: Vec<String> = members
        .into_iter()
        .take(size)
        .map(|member| member.urls)
        .collect();
    InitialCluster::parse(&urls.join(",")).map_err(DiscoveryError::BadMember)
}

/// Whether the member with this key is among the first `size`, or there is still room for it.
fn has_place(members: &[Registered], size: usize, key: &str) -> bool {
    let mut first: Vec<&Registered> = members.iter().collect();
    first.sort_by_key(|member| member.created);
    first.truncate(size);
    first.len() < size || first.iter().any(|member| member.key == key)
}

struct Registry<'a> {
    discovery: &'a Discovery,
    channels: Vec<Channel>,
    /// Which of them is used.
    current: usize,
    prefix: String,
    key: String,
    token: Option<MetadataValue<Ascii>>,
}

impl<'a> Registry<'a> {
    fn open(discovery: &'a Discovery, policy: &TlsPolicy, id: u64) -> Result<Self, DiscoveryError> {
        let tls = match &discovery.tls {
            None => None,
            Some(files) => {
                let tls = ClientTls::open(files, policy).map_err(DiscoveryError::Tls)?;
                Some(Arc::new(tls))
            }
        };
        let channel = |url: &Url| {
            // The connector speaks TLS below the transport, which must not do so again.
            let endpoint = Endpoint::from_shared(format!("http://{}", url.address()))
                .map_err(|error| DiscoveryError::Endpoint(url.clone(), error))?
                .connect_timeout(discovery.dial_timeout)
                .timeout(discovery.request_timeout)
                .http2_keep_alive_interval(discovery.keep_alive.0)
                .keep_alive_timeout(discovery.keep_alive.1);
            Ok(match &tls {
                Some(tls) if url.is_tls() => endpoint.connect_with_connector_lazy(tls.connector()),
                _ => endpoint.connect_lazy(),
            })
        };
        let prefix = format!("/_etcd/registry/{}", discovery.token);
        Ok(Self {
            discovery,
            channels: discovery
                .endpoints
                .iter()
                .map(channel)
                .collect::<Result<_, _>>()?,
            current: 0,
            key: format!("{prefix}/members/{id:x}"),
            prefix,
            token: None,
        })
    }

    /// Who has come, and how many are to. Refuses where this member has no place any more.
    async fn check(&mut self) -> Result<(Vec<Registered>, usize), DiscoveryError> {
        let size_key = format!("{}/_config/size", self.prefix);
        let answer = self
            .until_answered("cluster status check", Ask::Get(&size_key, false))
            .await;
        let Some(pair) = answer.kvs.first() else {
            return Err(DiscoveryError::NoSize(size_key));
        };
        let size = std::str::from_utf8(&pair.value)
            .ok()
            .and_then(|text| text.parse().ok());
        let size: usize = size
            .filter(|size| *size > 0)
            .ok_or(DiscoveryError::BadSize(size_key))?;
        let prefix = format!("{}/members/", self.prefix);
        let answer = self
            .until_answered("cluster status check", Ask::Get(&prefix, true))
            .await;
        let members: Vec<Registered> = answer
            .kvs
            .iter()
            .filter_map(|pair| {
                let urls = String::from_utf8(pair.value.to_vec())
                    .ok()?
                    .trim()
                    .to_owned();
                let key = String::from_utf8(pair.key.to_vec()).ok()?;
                if urls.contains('=') {
                    return Some(Registered {
                        key,
                        urls,
                        created: pair.create_revision,
                    });
                }
                tracing::warn!(
                    member_key = key,
                    member_info = urls,
                    "invalid peer info returned from discovery service"
                );
                None
            })
            .collect();
        if has_place(&members, size, &self.key) {
            Ok((members, size))
        } else {
            Err(DiscoveryError::Full)
        }
    }

    async fn register(&mut self, own: &str) {
        let key = self.key.clone();
        self.until_answered("register member itself", Ask::Put(&key, own))
            .await;
        tracing::info!(
            member_key = key,
            member_info = own,
            "register member itself successfully"
        );
    }

    /// Asks one endpoint after another, with growing pauses, until one answers.
    async fn until_answered(&mut self, step: &'static str, ask: Ask<'_>) -> RangeResponse {
        let mut tries = 0;
        loop {
            let status = match self.ask(ask).await {
                Ok(answer) => return answer,
                Err(status) => status,
            };
            // Perhaps it was the token: the next try gets a new one.
            self.token = None;
            self.current = (self.current + 1) % self.channels.len().max(1);
            tries = (tries + 1).min(BACKOFF_POWER_MAX);
            let pause = Duration::from_secs(1 << tries);
            tracing::warn!(
                reason = step,
                error = status.message(),
                backoff = format!("{}s", pause.as_secs()),
                "retry connecting to discovery service"
            );
            tokio::time::sleep(pause).await;
        }
    }

    async fn ask(&mut self, ask: Ask<'_>) -> Result<RangeResponse, Status> {
        let channel = self.channels.get(self.current).cloned();
        let channel = channel.ok_or_else(|| Status::unavailable("no endpoint"))?;
        if let (Some((name, password)), None) = (&self.discovery.user, &self.token) {
            let request = AuthenticateRequest {
                name: name.clone(),
                password: password.clone(),
            };
            let answer = AuthClient::new(channel.clone())
                .authenticate(request)
                .await?;
            let token = answer.into_inner().token;
            self.token = token.parse().ok();
        }
        let mut kv = KvClient::new(channel);
        match ask {
            Ask::Get(key, is_prefix) => {
                let range_end = if is_prefix {
                    // All keys that begin so: up to the next one that does not.
                    let next = key.strip_suffix('/').map(|head| format!("{head}0"));
                    next.unwrap_or_default()
                } else {
                    String::new()
                };
                let request = RangeRequest {
                    key: key.to_owned().into(),
                    range_end: range_end.into(),
                    ..Default::default()
                };
                kv.range(self.signed(request))
                    .await
                    .map(tonic::Response::into_inner)
            }
            Ask::Put(key, value) => {
                let request = PutRequest {
                    key: key.to_owned().into(),
                    value: value.to_owned().into(),
                    ..Default::default()
                };
                kv.put(self.signed(request))
                    .await
                    .map(|_| RangeResponse::default())
            }
        }
    }

    fn signed<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("token", token.clone());
        }
        request
    }
}

/// A question: a key, or all that begin with it where the flag is set; or a pair to be put.
#[derive(Clone, Copy)]
enum Ask<'a> {
    Get(&'a str, bool),
    Put(&'a str, &'a str),
}

#[cfg(test)]
mod tests {
    use super::{Registered, cluster, has_place};

    fn member(name: &str, created: i64) -> Registered {
        Registered {
            key: format!("/_etcd/registry/t/members/{name}"),
            urls: format!("{name}=http://127.0.0.1:{created}"),
            created,
        }
    }

    #[test]
    fn the_first_that_come_are_the_cluster() {
        let members = vec![member("c", 9), member("a", 7), member("b", 8)];
        let found = cluster(members.clone(), 2).unwrap();
        assert_eq!(
            found.to_string(),
            "a=http://127.0.0.1:7,b=http://127.0.0.1:8"
        );
        let key = |name: &str| member(name, 0).key;
        assert!(has_place(&members, 3, &key("c")) && has_place(&members, 4, &key("d")));
        assert!(!has_place(&members, 2, &key("c")) && has_place(&members, 2, &key("a")));
        assert!(!has_place(&members, 3, &key("d")), "full without it");
        let broken = Registered {
            urls: "a=ftp://x".into(),
            ..member("a", 1)
        };
        assert!(cluster(vec![broken], 1).is_err());
    }
}
