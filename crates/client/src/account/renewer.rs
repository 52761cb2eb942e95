//! Gets an account's tokens through the process's own client, whenever `schedule` says so, and makes the account if it is
//! missing. It never gives up: requests with the last token go on as long as servers believe it.

use std::time::Duration;

use base::backoff::Backoff;
use http::HeaderValue;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, Error};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::schedule::{Life, Next, Schedule};
use super::tokens::{Source, Token};

/// How long a token shall live, as in upstream's controllers. The server may say less.
const LIFETIME_SECONDS: i64 = 3600;
/// One try, with the creation of the account where that is needed.
const ASK_TIME_MAX: Duration = Duration::from_secs(10);
/// The distance between tries, as upstream's to begin with.
const DISTANCE_FIRST: Duration = Duration::from_millis(500);
/// No longer than a request waits for a token: one that comes after an outage meets a try.
const DISTANCE_MAX: Duration = Duration::from_secs(10);

/// Why a try brought no token. Each is tried again.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("ask for a token")]
    Ask(#[source] Error),
    #[error("create the service account")]
    Create(#[source] Error),
    #[error("no answer within {ASK_TIME_MAX:?}")]
    Late,
    #[error("the answer lacks {0}")]
    Lacks(&'static str),
}

/// The task behind an account's client.
pub struct Renewer {
    api: Api<ServiceAccount>,
    name: String,
    source: Source,
    schedule: Schedule,
    distance: Backoff,
}

impl std::fmt::Debug for Renewer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renewer")
            .field("account", &self.source.account)
            .finish_non_exhaustive()
    }
}

impl Renewer {
    pub(super) fn new(own: Client, namespace: &str, name: &str, source: Source) -> Self {
        Self {
            api: Api::namespaced(own, namespace),
            name: name.to_owned(),
            source,
            schedule: Schedule::new(),
            distance: Backoff::new(DISTANCE_FIRST, DISTANCE_MAX),
        }
    }

    /// Runs until `stop`, or until no client of the account is left.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            // Shutdown first: a server that does not answer must not delay it.
            let is_used = tokio::select! { biased;
                () = stop.cancelled() => return,
                is_used = self.step() => is_used,
            };
            if !is_used {
                return;
            }
        }
    }

    /// Asks, or waits for a reason to ask. False once no client is left.
    async fn step(&mut self) -> bool {
        let until = match self.schedule.next(Instant::now()) {
            Next::Ask => {
                self.renew().await;
                return true;
            }
            Next::Wait(until) => until,
        };
        // Refusals first: they can only bring the next try forward.
        tokio::select! { biased;
            changed = self.source.refused.changed() => {
                let serial = *self.source.refused.borrow_and_update();
                self.schedule.refused(serial);
                if self.schedule.is_refused() {
                    let account = &self.source.account;
                    tracing::warn!(%account, serial, "a server refused the token, asking for another");
                }
                changed.is_ok()
            }
            () = tokio::time::sleep_until(until) => true,
        }
    }

    async fn renew(&mut self) {
        let since = Instant::now();
        let answer = tokio::time::timeout(ASK_TIME_MAX, self.ask()).await;
        let answer = answer.unwrap_or(Err(AskError::Late));
        let (now, account) = (Instant::now(), &self.source.account);
        match answer {
            Ok((header, length)) => {
                if !self.schedule.is_refused() {
                    self.distance.reset();
                }
                let (life, distance) = (Life { since, length }, self.distance.next_wait());
                let serial = self.schedule.got(life, now, distance);
                tracing::debug!(%account, serial, ?length, "new token");
                self.source
                    .newest
                    .send_replace(Some(Token { serial, header }));
            }
            Err(error) => {
                self.schedule.failed(now, self.distance.next_wait());
                tracing::warn!(%account, error = %base::report(&error), "no new token, trying again");
            }
        }
    }

    async fn ask(&self) -> Result<(HeaderValue, Duration), AskError> {
        let answer = match self.request().await {
            Err(Error::Api(status)) if status.is_not_found() => {
                self.create().await?;
                self.request().await
            }
            answer => answer,
        };
        read(&answer.map_err(AskError::Ask)?)
    }

    async fn request(&self) -> Result<TokenRequest, Error> {
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                expiration_seconds: Some(LIFETIME_SECONDS),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let params = PostParams::default();
        self.api
            .create_token_request(&self.name, &params, &request)
            .await
    }

    async fn create(&self) -> Result<(), AskError> {
        let account = ServiceAccount {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                ..ObjectMeta::default()
            },
            ..ServiceAccount::default()
        };
        match self.api.create(&PostParams::default(), &account).await {
            Ok(_) => tracing::info!(account = %self.source.account, "made the service account"),
            // Another replica was faster.
            Err(Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => return Err(AskError::Create(error)),
        }
        Ok(())
    }
}

/// The value of `Authorization`, and how long the token lives. The server's seconds, unlike its date, do not depend on
/// whether its clock and ours agree.
fn read(answer: &TokenRequest) -> Result<(HeaderValue, Duration), AskError> {
    let seconds = answer
        .spec
        .as_ref()
        .and_then(|spec| spec.expiration_seconds);
    let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
    let seconds = seconds.ok_or(AskError::Lacks("spec.expirationSeconds"))?;
    let token = answer
        .status
        .as_ref()
        .and_then(|status| status.token.as_deref());
    let token = token.filter(|token| !token.is_empty());
    let header = token.and_then(|token| HeaderValue::try_from(format!("Bearer {token}")).ok());
    let mut header = header.ok_or(AskError::Lacks("a token"))?;
    header.set_sensitive(true);
    Ok((header, Duration::from_secs(seconds)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use k8s_openapi::api::authentication::v1::{
        TokenRequest, TokenRequestSpec, TokenRequestStatus,
    };

    use super::read;

    #[test]
    fn an_answer_is_read_or_named_wrong() {
        let answer = |seconds: Option<i64>, token: Option<&str>| {
            let answer = TokenRequest {
                spec: Some(TokenRequestSpec {
                    expiration_seconds: seconds,
                    ..TokenRequestSpec::default()
                }),
                status: token.map(|token| TokenRequestStatus {
                    token: Some(token.to_owned()),
                    ..TokenRequestStatus::default()
                }),
                ..TokenRequest::default()
            };
            read(&answer).map_err(|error| error.to_string())
        };
        let (header, length) = answer(Some(600), Some("t")).unwrap();
        assert_eq!(header, "Bearer t");
        assert!(header.is_sensitive());
        assert_eq!(length, Duration::from_secs(600));
        let no_seconds = "the answer lacks spec.expirationSeconds";
        assert_eq!(answer(None, Some("t")).unwrap_err(), no_seconds);
        assert_eq!(answer(Some(-1), Some("t")).unwrap_err(), no_seconds);
        for token in [None, Some(""), Some("a\nb")] {
            let error = answer(Some(600), token).unwrap_err();
            assert_eq!(error, "the answer lacks a token", "{token:?}");
        }
    }
}
