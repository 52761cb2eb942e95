//! Makes the clients of service accounts, over one set of connections to the same servers.
//!
//! It never sends the process's own credentials with an account's requests: a server would believe the certificate and
//! not read the token.

use http::HeaderValue;
use kube::Client;
use kube::client::ClientBuilder;

use super::bearer::Bearer;
use super::renewer::Renewer;
use super::tokens;
use crate::connect::{ConnectError, ConnectOptions, anonymous};
use crate::servers::Failover;

/// The service accounts of one namespace, as identities to act in.
#[derive(Clone)]
pub struct Accounts {
    own: Client,
    servers: Failover,
    user_agent: String,
    namespace: String,
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl Accounts {
    /// Accounts in `namespace`, at the servers of `options`. `own` asks for the tokens: it must be allowed to create
    /// service accounts and their tokens. Nothing is sent yet.
    pub async fn build(
        options: &ConnectOptions,
        own: Client,
        namespace: &str,
    ) -> Result<Self, ConnectError> {
        Ok(Self {
            own,
            servers: anonymous(options).await?,
            user_agent: options.user_agent.clone(),
            namespace: namespace.to_owned(),
        })
    }

    /// A client that acts as the account `name`, and the task that gets its tokens, which the caller must run. The account
    /// is made if it is missing. Until there is a token, requests wait for it, and fail after a bounded time.
    pub fn client(&self, name: &str) -> (Client, Renewer) {
        let user = format!("system:serviceaccount:{}:{name}", self.namespace);
        let mut servers = self.servers.clone();
        // A name that is no header text is no account's either: the server refuses it, with a better word than ours.
        if let Ok(user_agent) = HeaderValue::try_from(format!("{}/{user}", self.user_agent)) {
            servers.set_user_agent(user_agent);
        }
        let (tokens, source) = tokens::channel(&user);
        let client = ClientBuilder::new(Bearer::new(servers, tokens), self.namespace.as_str());
        let renewer = Renewer::new(self.own.clone(), &self.namespace, name, source);
        (client.build(), renewer)
    }
}
