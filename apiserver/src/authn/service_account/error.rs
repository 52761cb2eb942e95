//! Why a token is refused. Clients read only 401; the log and TokenReview tell the reason.

use crate::authz::rule::go_list;

/// Why a token is refused. The texts are upstream's: TokenReview shows them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not one of our tokens at all.
    #[error("invalid bearer token")]
    NotOurs,
    /// The token names a key that is not among ours.
    #[error("invalid signature, no keys found")]
    NoKey,
    /// The signature does not fit the key.
    #[error("error in cryptographic primitive")]
    Signature,
    /// Its time is over.
    #[error("service account token has expired")]
    Expired,
    /// Its time has not come.
    #[error("service account token is not valid yet")]
    NotYet,
    /// It claims to come from the future.
    #[error("service account token is issued in the future")]
    Future,
    /// It is meant for others.
    #[error(
        "token audiences {} is invalid for the target audiences {}",
        go_list(token),
        go_list(wanted)
    )]
    Audience {
        /// The token's audiences.
        token: Vec<String>,
        /// Those of whom one was wanted.
        wanted: Vec<String>,
    },
    /// The service account is gone.
    #[error("serviceaccounts {0:?} not found")]
    AccountNotFound(String),
    /// Another service account has its name now.
    #[error("service account UID ({now}) does not match claim ({claim})")]
    AccountReplaced {
        /// The UID of the present one.
        now: String,
        /// The UID in the token.
        claim: String,
    },
    /// The service account is being deleted.
    #[error("service account {0} has been deleted")]
    AccountDeleted(String),
    /// The object that the token was bound to is gone.
    #[error("service account token has been invalidated")]
    Invalidated,
    /// Another object has the name of the one that the token was bound to.
    #[error("{kind} UID ({now}) does not match service account {word} ref claim ({claim})")]
    BoundReplaced {
        /// What it was bound to, in upstream's spelling.
        kind: &'static str,
        /// The same in lower case.
        word: &'static str,
        /// The UID of the present one.
        now: String,
        /// The UID in the token.
        claim: String,
    },
    /// The store could not be asked; try again.
    #[error("the object behind the token could not be read: {0}")]
    Unavailable(String),
    /// This server has no key to sign with.
    #[error("no service account signing key is configured")]
    CannotSign,
}
