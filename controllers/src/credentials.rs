//! In whose name controllers act: in the process's own, or each in that of its service account.
//!
//! What an account may do is not known here: the bootstrap roles `system:controller:*` say it.

use client::account::Renewer;
use client::connect::ConnectError;
use client::{Accounts, Client, ConnectOptions};

/// The namespace of the accounts, as upstream's: one that users cannot read.
const NAMESPACE: &str = "kube-system";

/// The wish of `--use-service-account-credentials`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ActAs {
    /// Everything is done in the process's name, which must be allowed everything.
    #[default]
    Process,
    /// Each controller acts as its service account.
    ServiceAccounts,
}

/// Makes the clients of controllers.
#[derive(Clone)]
pub struct Credentials {
    own: Client,
    accounts: Option<Accounts>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("accounts", &self.accounts)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// Over the process's own client, which gets the accounts' tokens where there are any. Nothing is sent yet.
    pub async fn build(
        act_as: ActAs,
        connect: &ConnectOptions,
        own: Client,
    ) -> Result<Self, ConnectError> {
        let accounts = match act_as {
            ActAs::Process => None,
            ActAs::ServiceAccounts => Some(Accounts::build(connect, own.clone(), NAMESPACE).await?),
        };
        Ok(Self { own, accounts })
    }

    /// The process's own client: for the election, for shared informers, and for what no controller does.
    pub fn own(&self) -> &Client {
        &self.own
    }

    /// The client of an account, with the task that gets its tokens, if the controller is to have one of its own.
    pub fn client(&self, account: &str) -> Option<(Client, Renewer)> {
        Some(self.accounts.as_ref()?.client(account))
    }
}
