//! Who sends a request, by the token or the certificate that comes with it. What that user may do is
//! decided elsewhere, where the state is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;
use proto_etcd::etcdserverpb::{InternalRaftRequest, RequestHeader};
use tonic::Request;
use tonic::metadata::MetadataMap;

use super::context::Context;
use super::status::Error;
use crate::auth::{Identity, Passwords, Provider, tokens};

/// The common name in the certificate of a connection's client, kept with each of its requests.
/// Only a certificate that was verified gets here.
#[derive(Clone, Debug)]
pub struct CommonName(pub Arc<str>);

/// The address that a connection came to, kept with each of its requests where spans tell it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalAddr(pub(crate) SocketAddr);

/// How users prove who they are.
pub struct Authenticator {
    /// By tokens of this kind.
    pub provider: Provider,
    /// For which they show a password.
    pub passwords: Passwords,
    /// Or by their certificate: `--client-cert-auth`.
    pub by_certificate: bool,
}

/// What comes with a request, not looked at yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Caller {
    token: Option<String>,
    common_name: Option<CommonName>,
}

impl Caller {
    /// Reads a request's metadata.
    pub(super) fn of<T>(request: &Request<T>) -> Self {
        let metadata = request.metadata();
        // A gateway shows its own certificate, which must not speak for those behind it.
        let is_forwarded = metadata.contains_key("grpcgateway-accept");
        let common_name = request.extensions().get::<CommonName>().cloned();
        Self {
            token: token(metadata),
            common_name: common_name.filter(|_| !is_forwarded),
        }
    }
}

fn token(metadata: &MetadataMap) -> Option<String> {
    let value = metadata
        .get("token")
        .or_else(|| metadata.get("authorization"))?;
    // What is no text is a token that stands for nobody.
    let text = value.to_str().unwrap_or_default();
    Some(text.strip_prefix("Bearer ").unwrap_or(text).to_owned())
}

impl Context {
    /// The user that a request speaks for: nobody if it says nothing, or if nobody has to.
    pub(super) async fn identify(&self, caller: &Caller) -> Result<Identity, Error> {
        // Read before the token is: whatever changes afterwards makes the identity old.
        let auth = self.view.auth();
        if auth.is_enabled
            && let Some(token) = &caller.token
        {
            return match &self.auth.provider {
                Provider::Simple => {
                    let user = self.user_of(token).await?;
                    let revision = auth.revision;
                    Ok(Identity { user, revision })
                }
                Provider::Jwt(jwt) => jwt.read(token, now()).ok_or(Error::InvalidAuthToken),
                Provider::Off => Err(Error::InvalidAuthToken),
            };
        }
        let name = caller
            .common_name
            .as_ref()
            .filter(|_| self.auth.by_certificate);
        Ok(name.map_or_else(Identity::default, |name| Identity {
            user: name.0.as_ref().into(),
            revision: auth.revision,
        }))
    }

    async fn user_of(&self, token: &str) -> Result<String, Error> {
        let index = tokens::index_of(token).ok_or(Error::InvalidAuthToken)?;
        if index > self.view.applied().index {
            // Given by a member that is ahead of this one.
            self.linearize().await?;
        }
        let user = self.view.tokens().find(token, std::time::Instant::now());
        user.ok_or(Error::InvalidAuthToken)
    }

    /// Refuses a request that does not say who sends it.
    pub(super) async fn require_user(&self, caller: &Caller) -> Result<Identity, Error> {
        let identity = self.identify(caller).await?;
        self.view.check_user(&identity)?;
        Ok(identity)
    }

    /// Refuses a request that no administrator sends.
    pub(super) async fn require_admin(&self, caller: &Caller) -> Result<(), Error> {
        let identity = self.identify(caller).await?;
        Ok(self.view.check_admin(&identity)?)
    }

    /// As [`Context::propose`], in the name of who sends the request. Whether they may is decided by
    /// apply.
    pub(super) async fn propose_for<M: Message + Default>(
        &self,
        caller: &Caller,
        mut request: InternalRaftRequest,
    ) -> Result<M, Error> {
        let Identity { user, revision } = self.identify(caller).await?;
        request.header = Some(RequestHeader {
            username: user,
            auth_revision: revision,
            ..RequestHeader::default()
        });
        self.propose(request).await
    }

    /// The token that a user gets whose password was right at `revision`. `simple` is what the log
    /// made of the request.
    pub(super) fn token_for(
        &self,
        user: &str,
        revision: u64,
        simple: String,
    ) -> Result<String, Error> {
        match &self.auth.provider {
            Provider::Simple => Ok(simple),
            Provider::Jwt(jwt) => Ok(jwt.make(user, revision, now())?),
            Provider::Off => Err(Error::AuthFailed),
        }
    }
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tonic::Request;

    use super::{Caller, CommonName};

    fn token(pairs: &[(&'static str, &'static str)]) -> Option<String> {
        let mut request = Request::new(());
        for (name, value) in pairs {
            request.metadata_mut().append(*name, value.parse().unwrap());
        }
        Caller::of(&request).token
    }

    #[test]
    fn a_token_comes_under_one_of_two_names() {
        let cases = [
            (&[][..], None),
            (&[("token", "a.1")], Some("a.1")),
            (&[("authorization", "a.1")], Some("a.1")),
            (&[("authorization", "Bearer a.1")], Some("a.1")),
            (&[("authorization", "b.2"), ("token", "a.1")], Some("a.1")),
            (&[("token", "a.1"), ("token", "b.2")], Some("a.1")),
            (&[("token", "")], Some("")),
            (&[("authorization", "bearer a.1")], Some("bearer a.1")),
        ];
        for (pairs, expected) in cases {
            assert_eq!(token(pairs).as_deref(), expected, "{pairs:?}");
        }
    }

    #[test]
    fn a_gateways_certificate_speaks_for_nobody() {
        let mut request = Request::new(());
        request
            .extensions_mut()
            .insert(CommonName(Arc::from("ann")));
        assert!(Caller::of(&request).common_name.is_some());
        let accept = "application/json".parse().unwrap();
        request.metadata_mut().insert("grpcgateway-accept", accept);
        assert!(Caller::of(&request).common_name.is_none());
    }
}
