//! Who a client is, and whether it may: its certificate or the api-server's word on its token, and
//! the api-server's word on what it may do to this node.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use http::{HeaderMap, Method, StatusCode, header};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;

use crate::kubelet::config::Config;

/// How long an answer of the api-server is trusted. Upstream's for tokens, refusals and permissions.
const TOKEN_AGE_MAX: Duration = Duration::from_secs(120);
const ALLOWED_AGE_MAX: Duration = Duration::from_secs(300);
const DENIED_AGE_MAX: Duration = Duration::from_secs(30);
/// Answers remembered; when full, the oldest half is forgotten.
const ANSWERS_MAX: usize = 1000;
const CALL_TIME_MAX: Duration = Duration::from_secs(10);

/// A client by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Peer {
    name: String,
    groups: Vec<String>,
}

impl Peer {
    /// The client of a verified certificate: its common name, its organizations as groups.
    pub(super) fn of(certificate: Option<&CertificateDer<'_>>) -> Option<Self> {
        let (_, certificate) = x509_parser::parse_x509_certificate(certificate?).ok()?;
        let subject = certificate.subject();
        let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
        let groups = subject
            .iter_organization()
            .filter_map(|o| o.as_str().ok())
            .map(str::to_owned);
        Some(Self {
            name,
            groups: groups.chain(["system:authenticated".to_owned()]).collect(),
        })
    }

    fn anonymous() -> Self {
        Self {
            name: "system:anonymous".to_owned(),
            groups: vec!["system:unauthenticated".to_owned()],
        }
    }
}

/// Whether a client may use a verb on a subresource, and when the api-server said so.
type Answers = BTreeMap<(Peer, String, String), (bool, Instant)>;

/// The gate.
pub(super) struct Access {
    client: kube::Client,
    node: String,
    anonymous: bool,
    tokens: bool,
    authorize: bool,
    known_tokens: Mutex<BTreeMap<String, (Peer, Instant)>>,
    answers: Mutex<Answers>,
}

/// Why a client is turned away.
pub(super) type Refusal = (StatusCode, String);

impl Access {
    pub(super) fn new(client: kube::Client, config: &Config) -> Self {
        Self {
            client,
            node: config.node_name.clone(),
            anonymous: config.anonymous,
            tokens: config.token_webhook,
            authorize: config.authorize,
            known_tokens: Mutex::default(),
            answers: Mutex::default(),
        }
    }

    /// Lets the request in or says why not.
    pub(super) async fn check(
        &self,
        certificate: Option<&Peer>,
        headers: &HeaderMap,
        method: &Method,
        path: &str,
    ) -> Result<(), Refusal> {
        let unauthorized = || (StatusCode::UNAUTHORIZED, "Unauthorized".to_owned());
        let peer = match certificate {
            Some(peer) => peer.clone(),
            None => match self.by_token(headers).await? {
                Some(peer) => peer,
                None if self.anonymous => Peer::anonymous(),
                None => return Err(unauthorized()),
            },
        };
        if !self.authorize {
            return Ok(());
        }
        let verb = match *method {
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "get",
        };
        let subresource = subresource(path);
        if self.may(&peer, verb, subresource).await? {
            return Ok(());
        }
        let text = format!(
            "Forbidden (user={}, verb={verb}, resource=nodes, subresource(s)=[{subresource}])\n",
            peer.name
        );
        Err((StatusCode::FORBIDDEN, text))
    }

    async fn by_token(&self, headers: &HeaderMap) -> Result<Option<Peer>, Refusal> {
        let value = headers
            .get(header::AUTHORIZATION)
            .and_then(|v| v.to_str().ok());
        let Some(token) = value
            .and_then(|v| v.strip_prefix("Bearer "))
            .filter(|_| self.tokens)
        else {
            return Ok(None);
        };
        if let Some((peer, at)) = self.known_tokens.lock().get(token)
            && at.elapsed() < TOKEN_AGE_MAX
        {
            return Ok(Some(peer.clone()));
        }
        let spec = TokenReviewSpec {
            token: token.to_owned(),
            audiences: None,
        };
        let review = TokenReview {
            spec,
            ..TokenReview::default()
        };
        let api: Api<TokenReview> = Api::all(self.client.clone());
        let answer = ask(api.create(&PostParams::default(), &review)).await?;
        let status = answer.status.unwrap_or_default();
        let Some(user) = status.user.filter(|_| status.authenticated == Some(true)) else {
            return Err((StatusCode::UNAUTHORIZED, "Unauthorized".to_owned()));
        };
        let peer = Peer {
            name: user.username.unwrap_or_default(),
            groups: user.groups.unwrap_or_default(),
        };
        let mut known = self.known_tokens.lock();
        make_room(&mut known, |(_, at)| *at);
        known.insert(token.to_owned(), (peer.clone(), Instant::now()));
        Ok(Some(peer))
    }

    async fn may(&self, peer: &Peer, verb: &str, subresource: &str) -> Result<bool, Refusal> {
        let key = (peer.clone(), verb.to_owned(), subresource.to_owned());
        if let Some((allowed, at)) = self.answers.lock().get(&key)
            && at.elapsed()
                < if *allowed {
                    ALLOWED_AGE_MAX
                } else {
                    DENIED_AGE_MAX
                }
        {
            return Ok(*allowed);
        }
        let spec = SubjectAccessReviewSpec {
            user: Some(peer.name.clone()),
            groups: Some(peer.groups.clone()),
            resource_attributes: Some(ResourceAttributes {
                verb: Some(verb.to_owned()),
                version: Some("v1".to_owned()),
                resource: Some("nodes".to_owned()),
                subresource: Some(subresource.to_owned()),
                name: Some(self.node.clone()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview {
            spec,
            ..SubjectAccessReview::default()
        };
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let answer = ask(api.create(&PostParams::default(), &review)).await?;
        let allowed = answer
            .status
            .is_some_and(|s| s.allowed && s.denied != Some(true));
        let mut answers = self.answers.lock();
        make_room(&mut answers, |(_, at)| *at);
        answers.insert(key, (allowed, Instant::now()));
        Ok(allowed)
    }
}

async fn ask<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Refusal> {
    let failed = |text: String| (StatusCode::INTERNAL_SERVER_ERROR, text);
    match tokio::time::timeout(CALL_TIME_MAX, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(failed(format!(
            "the api-server could not be asked: {}\n",
            base::report(&error)
        ))),
        Err(_) => Err(failed("the api-server did not answer in time\n".to_owned())),
    }
}

fn make_room<K: Clone + Ord, V>(map: &mut BTreeMap<K, V>, at: impl Fn(&V) -> Instant) {
    if map.len() >= ANSWERS_MAX {
        let mut times: Vec<Instant> = map.values().map(&at).collect();
        times.sort();
        if let Some(middle) = times.get(times.len() / 2).copied() {
            map.retain(|_, value| at(value) > middle);
        }
    }
}

/// The part of the node's interface that a path belongs to. Upstream's.
fn subresource(path: &str) -> &'static str {
    let first = path
        .trim_start_matches('/')
        .split('/')
        .next()
        .unwrap_or_default();
    match first {
        "stats" => "stats",
        "metrics" => "metrics",
        "logs" => "log",
        "spec" => "spec",
        "healthz" => "healthz",
        "pods" => "pods",
        "configz" => "configz",
        _ => "proxy",
    }
}
