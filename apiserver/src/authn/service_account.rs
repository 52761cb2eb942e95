//! Service account tokens: issuing them, and judging those that come back.
//!
//! A token is as good as its signature, issuer, times and audiences, and only as long as the
//! service account and the object that it is bound to exist with the same UID. Existence is asked
//! of the cache, and of the store before anything is refused because the cache does not know it.

mod error;

use std::sync::Arc;

use api_meta::kinds::Kind;
use jsonwebtoken::{Header as TokenHeader, Validation};
use uuid::Uuid;

use super::claims::{Claims, Kubernetes, Reference};
use super::keys::{PublicKey, SigningKey};
use super::token_cache::TokenCache;
use super::user::{CREDENTIAL_ID, UserInfo};
use crate::authz::builtin_kind;
use crate::cache::{Object, ObjectReader};

pub use error::Error;

/// Clocks of issuer and verifier may differ by this much.
const LEEWAY_SECONDS: i64 = 60;
/// Longer tokens are refused unread. A token of ours has about 1 KiB.
const TOKEN_BYTES_MAX: usize = 64 * 1024;
/// What kubelets ask for pods; such a token lives on for a year, so that clients that never read
/// their file again are warned about first.
const WARN_ONLY_SECONDS: i64 = 3607;
const EXTENDED_SECONDS: i64 = 365 * 24 * 3600;

/// What a token is bound to, beside its service account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Bound {
    /// Nothing.
    #[default]
    Nothing,
    /// A pod, and the node that the pod runs on.
    Pod {
        /// The pod.
        pod: Reference,
        /// Its node. The UID is empty if the node is not known.
        node: Option<Reference>,
    },
    /// A secret.
    Secret(Reference),
    /// A node.
    Node(Reference),
}

/// A token to be made.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// The namespace of the service account.
    pub namespace: String,
    /// The service account.
    pub account: Reference,
    /// Whom the token is meant for.
    pub audiences: Vec<String>,
    /// How long it shall live.
    pub seconds: i64,
    /// What it ends with.
    pub bound: Bound,
}

/// Issues and verifies the tokens of one cluster.
pub struct ServiceAccountTokens {
    signing: Option<SigningKey>,
    verifying: Vec<PublicKey>,
    issuers: Vec<String>,
    audiences: Vec<String>,
    reader: Arc<dyn ObjectReader>,
    cache: TokenCache,
}

impl std::fmt::Debug for ServiceAccountTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceAccountTokens")
            .field("issuers", &self.issuers)
            .field("audiences", &self.audiences)
            .field("keys", &self.verifying.len())
            .finish_non_exhaustive()
    }
}

/// The settings of [`ServiceAccountTokens`].
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The key that signs; without it no tokens are issued.
    pub signing: Option<SigningKey>,
    /// The keys that verify.
    pub verifying: Vec<PublicKey>,
    /// The issuers that are accepted; the first one issues.
    pub issuers: Vec<String>,
    /// The audiences of this api-server; empty means the issuers.
    pub audiences: Vec<String>,
}

impl ServiceAccountTokens {
    /// `reader` tells whether service accounts and bound objects still exist.
    pub fn new(settings: Settings, reader: Arc<dyn ObjectReader>) -> Self {
        let Settings {
            signing,
            mut verifying,
            issuers,
            mut audiences,
        } = settings;
        if let Some(key) = &signing
            && !verifying.iter().any(|known| known.id == key.public.id)
        {
            verifying.push(key.public.clone());
        }
        if audiences.is_empty() {
            audiences.clone_from(&issuers);
        }
        Self {
            signing,
            verifying,
            issuers,
            audiences,
            reader,
            cache: TokenCache::default(),
        }
    }

    /// The audiences that a token for this api-server carries one of.
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// The keys that others may verify with.
    pub fn verifying(&self) -> &[PublicKey] {
        &self.verifying
    }

    /// The issuer of new tokens.
    pub fn issuer(&self) -> &str {
        self.issuers.first().map_or("", String::as_str)
    }

    /// Signs a token. The asked lifetime is stretched for the tokens of pods, as upstream does.
    pub fn issue(&self, new: NewToken, now: i64) -> Result<String, Error> {
        let key = self.signing.as_ref().ok_or(Error::CannotSign)?;
        let for_us = new
            .audiences
            .iter()
            .all(|audience| self.audiences.contains(audience));
        let stretched =
            matches!(new.bound, Bound::Pod { .. }) && new.seconds == WARN_ONLY_SECONDS && for_us;
        let (seconds, warnafter) = if stretched {
            (EXTENDED_SECONDS, Some(now.saturating_add(new.seconds)))
        } else {
            (new.seconds, None)
        };
        let (pod, node, secret) = match new.bound {
            Bound::Nothing => (None, None, None),
            Bound::Pod { pod, node } => (Some(pod), node, None),
            Bound::Secret(secret) => (None, None, Some(secret)),
            Bound::Node(node) => (None, Some(node), None),
        };
        let user = UserInfo::service_account(&new.namespace, &new.account.name, &new.account.uid);
        let claims = Claims {
            aud: new.audiences,
            exp: Some(now.saturating_add(seconds)),
            iat: Some(now),
            iss: self.issuer().to_owned(),
            jti: Uuid::new_v4().to_string(),
            kubernetes: Kubernetes {
                namespace: new.namespace,
                node,
                pod,
                secret,
                serviceaccount: new.account,
                warnafter,
            },
            nbf: Some(now),
            sub: user.name,
        };
        let mut header = TokenHeader::new(key.public.algorithm);
        header.typ = None;
        header.kid = Some(key.public.id.clone());
        jsonwebtoken::encode(&header, &claims, key.encoding()).map_err(|_| Error::CannotSign)
    }

    /// The user that `token` speaks for and those of `wanted` that it is meant for. No `wanted`
    /// means this api-server.
    pub async fn verify(
        &self,
        token: &str,
        wanted: &[String],
        now: i64,
    ) -> Result<(UserInfo, Vec<String>), Error> {
        let claims = self.signed_claims(token)?;
        let wanted = if wanted.is_empty() {
            &self.audiences
        } else {
            wanted
        };
        // Tokens of the oldest kind name no audience and are for the api-server alone.
        let has = if claims.aud.is_empty() {
            &self.audiences
        } else {
            &claims.aud
        };
        let common: Vec<String> = has
            .iter()
            .filter(|one| wanted.contains(one))
            .cloned()
            .collect();
        if common.is_empty() && !self.audiences.is_empty() {
            return Err(Error::Audience {
                token: has.clone(),
                wanted: wanted.to_vec(),
            });
        }
        check_times(&claims, now)?;
        self.check_objects(&claims.kubernetes, now).await?;
        Ok((user_of(&claims), common))
    }

    /// The claims of a token whose issuer and signature are good.
    fn signed_claims(&self, token: &str) -> Result<Arc<Claims>, Error> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Error::NotOurs);
        }
        if let Some(claims) = self.cache.get(token) {
            return Ok(claims);
        }
        let unverified: Claims =
            jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| Error::NotOurs)?;
        if !self.issuers.contains(&unverified.iss) {
            return Err(Error::NotOurs);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Error::NotOurs)?;
        let named = header.kid.as_deref().unwrap_or_default();
        let mut fitting = self
            .verifying
            .iter()
            .filter(|key| named.is_empty() || key.id == named)
            .peekable();
        if fitting.peek().is_none() {
            return Err(Error::NoKey);
        }
        for key in fitting {
            // The algorithm comes from the key, never from the token.
            let mut validation = Validation::new(key.algorithm);
            validation.validate_exp = false;
            validation.validate_aud = false;
            validation.required_spec_claims.clear();
            if let Ok(data) = jsonwebtoken::decode::<Claims>(token, &key.decoding, &validation) {
                let claims = Arc::new(data.claims);
                self.cache.put(token, claims.clone());
                return Ok(claims);
            }
        }
        Err(Error::Signature)
    }

    async fn check_objects(&self, claims: &Kubernetes, now: i64) -> Result<(), Error> {
        let namespace = claims.namespace.as_str();
        let account = &claims.serviceaccount;
        let kind = builtin_kind("", "v1", "serviceaccounts");
        let found = self
            .find(kind, namespace, account)
            .await?
            .ok_or_else(|| Error::AccountNotFound(account.name.clone()))?;
        if *found.header.uid != *account.uid {
            let (now, claim) = (found.header.uid.to_string(), account.uid.clone());
            return Err(Error::AccountReplaced { now, claim });
        }
        if is_gone(&found, now) {
            return Err(Error::AccountDeleted(format!(
                "{namespace}/{}",
                account.name
            )));
        }
        if let Some(secret) = &claims.secret {
            let kind = builtin_kind("", "v1", "secrets");
            self.check_bound(kind, namespace, secret, ("secret", "secret"), now)
                .await?;
        }
        if let Some(pod) = &claims.pod {
            let kind = builtin_kind("", "v1", "pods");
            self.check_bound(kind, namespace, pod, ("pod", "pod"), now)
                .await?;
        } else if let Some(node) = &claims.node {
            // The node of a pod's token is information only.
            let kind = builtin_kind("", "v1", "nodes");
            self.check_bound(kind, "", node, ("node", "node"), now)
                .await?;
        }
        Ok(())
    }

    async fn check_bound(
        &self,
        kind: &Kind,
        namespace: &str,
        bound: &Reference,
        (spelling, word): (&'static str, &'static str),
        now: i64,
    ) -> Result<(), Error> {
        let found = self
            .find(kind, namespace, bound)
            .await?
            .ok_or(Error::Invalidated)?;
        if *found.header.uid != *bound.uid {
            let (now, claim) = (found.header.uid.to_string(), bound.uid.clone());
            return Err(Error::BoundReplaced {
                kind: spelling,
                word,
                now,
                claim,
            });
        }
        if is_gone(&found, now) {
            Err(Error::Invalidated)
        } else {
            Ok(())
        }
    }

    /// The object from the cache; if the cache does not hold this very one, from the store.
    async fn find(
        &self,
        kind: &Kind,
        namespace: &str,
        wanted: &Reference,
    ) -> Result<Option<Arc<Object>>, Error> {
        if let Some(object) = self.reader.get(kind, namespace, &wanted.name)
            && *object.header.uid == *wanted.uid
        {
            return Ok(Some(object));
        }
        self.reader
            .get_consistent(kind, namespace, &wanted.name)
            .await
            .map_err(|status| Error::Unavailable(status.message))
    }
}

fn check_times(claims: &Claims, now: i64) -> Result<(), Error> {
    if claims
        .nbf
        .is_some_and(|from| now.saturating_add(LEEWAY_SECONDS) < from)
    {
        return Err(Error::NotYet);
    }
    if claims
        .exp
        .is_some_and(|end| now.saturating_sub(LEEWAY_SECONDS) > end)
    {
        return Err(Error::Expired);
    }
    if claims
        .iat
        .is_some_and(|at| now.saturating_add(LEEWAY_SECONDS) < at)
    {
        return Err(Error::Future);
    }
    Ok(())
}

fn user_of(claims: &Claims) -> UserInfo {
    let Kubernetes {
        namespace,
        serviceaccount,
        pod,
        node,
        ..
    } = &claims.kubernetes;
    let mut user = UserInfo::service_account(namespace, &serviceaccount.name, &serviceaccount.uid);
    if let Some(pod) = pod
        && !pod.name.is_empty()
        && !pod.uid.is_empty()
    {
        user = user
            .with_extra("authentication.kubernetes.io/pod-name", &pod.name)
            .with_extra("authentication.kubernetes.io/pod-uid", &pod.uid);
    }
    if let Some(node) = node
        && !node.name.is_empty()
    {
        user = user.with_extra("authentication.kubernetes.io/node-name", &node.name);
        if !node.uid.is_empty() {
            user = user.with_extra("authentication.kubernetes.io/node-uid", &node.uid);
        }
    }
    if !claims.jti.is_empty() {
        user = user.with_extra(CREDENTIAL_ID, &format!("JTI={}", claims.jti));
    }
    user
}

/// Deletion began longer ago than clocks may differ.
fn is_gone(object: &Object, now: i64) -> bool {
    let Some(at) = &object.header.deletion_timestamp else {
        return false;
    };
    let Ok(at) = at.parse::<jiff::Timestamp>() else {
        return true;
    };
    at.as_second() < now.saturating_sub(LEEWAY_SECONDS)
}

/// Seconds since 1970, now.
pub fn unix_now() -> i64 {
    jiff::Timestamp::now().as_second()
}
