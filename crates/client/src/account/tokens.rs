//! What the one that gets tokens and the requests that carry them share: the newest token, and which one was refused.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::watch;

/// How long a request waits for a token. Some tries fit in; a request's own limit is longer.
const WAIT_TIME_MAX: Duration = Duration::from_secs(10);

/// A token as requests carry it.
#[derive(Clone, Debug)]
pub(super) struct Token {
    /// Counts the account's tokens from 1.
    pub(super) serial: u64,
    /// The value of `Authorization`.
    pub(super) header: HeaderValue,
}

/// Why a request was not sent. Worth a retry with the next look at the world.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoToken {
    /// None came in time; the log says why.
    #[error("no token for {account} within {WAIT_TIME_MAX:?}")]
    Late {
        /// The user that it is for.
        account: String,
    },
    /// Nobody gets tokens any more: the process, or its term as a leader, is ending. No retry will help.
    #[error("tokens for {account} are no longer renewed")]
    Ended {
        /// The user that they are for.
        account: String,
    },
}

/// The end of the requests. Clones share it.
#[derive(Clone)]
pub(super) struct Tokens {
    account: Arc<str>,
    newest: watch::Receiver<Option<Token>>,
    refused: watch::Sender<u64>,
}

/// The end of the one that gets tokens.
pub(super) struct Source {
    pub(super) account: Arc<str>,
    pub(super) newest: watch::Sender<Option<Token>>,
    /// The serial of the newest token that a server refused. Closed once no client is left.
    pub(super) refused: watch::Receiver<u64>,
}

/// Both ends, without a token yet. `account` names the user in logs and errors.
pub(super) fn channel(account: &str) -> (Tokens, Source) {
    let account: Arc<str> = account.into();
    let (publish, newest) = watch::channel(None);
    let (refuse, refused) = watch::channel(0);
    let tokens = Tokens {
        account: account.clone(),
        newest,
        refused: refuse,
    };
    let source = Source {
        account,
        newest: publish,
        refused,
    };
    (tokens, source)
}

impl Tokens {
    /// The newest token, old or not: whether it still is good is the server's word.
    // Cancel-safe: waiting changes nothing.
    pub(super) async fn current(&self) -> Result<Token, NoToken> {
        self.later_than(0).await
    }

    /// A token that came after this one.
    // Cancel-safe: waiting changes nothing.
    pub(super) async fn after(&self, token: &Token) -> Result<Token, NoToken> {
        self.later_than(token.serial).await
    }

    /// Says that a server did not believe a token.
    pub(super) fn refuse(&self, token: &Token) {
        self.refused.send_if_modified(|newest| {
            let is_news = token.serial > *newest;
            if is_news {
                *newest = token.serial;
            }
            is_news
        });
    }

    async fn later_than(&self, serial: u64) -> Result<Token, NoToken> {
        let mut newest = self.newest.clone();
        let is_later =
            |token: &Option<Token>| token.as_ref().is_some_and(|one| one.serial > serial);
        let found = tokio::time::timeout(WAIT_TIME_MAX, newest.wait_for(is_later)).await;
        let account = || self.account.as_ref().to_owned();
        match found {
            Ok(Ok(token)) => token
                .clone()
                .ok_or_else(|| NoToken::Late { account: account() }),
            Ok(Err(_)) => Err(NoToken::Ended { account: account() }),
            Err(_) => Err(NoToken::Late { account: account() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::{NoToken, Token, channel};

    fn token(serial: u64) -> Token {
        Token {
            serial,
            header: HeaderValue::from_static("Bearer t"),
        }
    }

    #[tokio::test]
    async fn requests_wait_for_a_later_token_than_the_refused_one() {
        let (tokens, source) = channel("a");
        let first = async {
            source.newest.send_replace(Some(token(1)));
        };
        let (got, ()) = tokio::join!(tokens.current(), first);
        let got = got.unwrap();
        assert_eq!(got.serial, 1);
        tokens.refuse(&got);
        tokens.refuse(&token(0));
        assert_eq!(*source.refused.borrow(), 1, "an older refusal is no news");
        let second = async {
            source.newest.send_replace(Some(token(2)));
        };
        let (got, ()) = tokio::join!(tokens.after(&got), second);
        assert_eq!(got.unwrap().serial, 2);
    }

    #[tokio::test]
    async fn a_request_after_the_end_does_not_wait() {
        let (tokens, source) = channel("a");
        drop(source);
        let ended = NoToken::Ended {
            account: "a".to_owned(),
        };
        assert_eq!(tokens.current().await.unwrap_err(), ended);
    }
}
