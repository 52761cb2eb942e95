//! The running etcd that data comes from, a real one or ours: a client that only reads.
//!
//! Asks one endpoint until it fails, then the next. Every question has a deadline, and is asked again
//! for a while where another try may help: none of them changes anything there.

mod access;
mod ask;
mod save;

use std::sync::Arc;
use std::time::{Duration, Instant};

use base::backoff::Backoff;
use proto_etcd::etcdserverpb::AuthenticateRequest;
use proto_etcd::etcdserverpb::auth_client::AuthClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

pub(crate) use self::access::Access;
use self::access::Address;
pub(crate) use self::ask::Alarm;
pub(crate) use self::save::{SaveError, save};
use crate::config::TlsPolicy;
use crate::limits::{GRPC_OVERHEAD_BYTES, REQUEST_BYTES_MAX};
use crate::tls::{ClientTls, TlsError};

/// The first and the longest pause between two tries.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// How often an idle connection is probed, and how long it may stay silent then. etcd refuses probes
/// that come more often than every 5 seconds.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(10));

/// How long the source may be away: longer than an election takes, and than a member's restart.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// How long until a source that has never answered counts as the wrong one.
const FIRST_PATIENCE: Duration = Duration::from_secs(10);

/// The largest message that is taken. A single change has to fit.
pub(super) const MESSAGE_BYTES_MAX: usize = REQUEST_BYTES_MAX + GRPC_OVERHEAD_BYTES;

/// Why the source cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// A flag cannot be read.
    #[error("{0}")]
    Flags(String),
    /// The files of TLS.
    #[error("TLS of the source")]
    Tls(#[source] TlsError),
    /// It refuses, or has not answered for a while.
    #[error("ask {endpoint} for {what}: {} ({:?})", status.message(), status.code())]
    Asked {
        /// Which endpoint.
        endpoint: String,
        /// What was asked for.
        what: &'static str,
        /// Its last answer.
        status: Box<Status>,
    },
}

/// See the module.
pub(crate) struct Source {
    doors: Vec<(String, Channel)>,
    /// Which of them is used.
    current: usize,
    user: Option<(String, String)>,
    token: Option<MetadataValue<Ascii>>,
    /// The source has said that it takes requests from everybody.
    is_open: bool,
    has_answered: bool,
    limit: Duration,
}

/// One connection, and who speaks on it.
#[derive(Clone)]
pub(crate) struct Line {
    pub(super) channel: Channel,
    token: Option<MetadataValue<Ascii>>,
}

impl Line {
    /// A message with what shows who sends it.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("token", token.clone());
        }
        request
    }
}

impl Source {
    /// Reads the flags and the files they name. Connects when it is first asked something. Needs a
    /// runtime.
    pub(crate) fn open(endpoints: &str, access: &Access) -> Result<Self, SourceError> {
        let addresses = access.addresses(endpoints).map_err(SourceError::Flags)?;
        let tls = ClientTls::open(&access.tls_files(&addresses), &TlsPolicy::default());
        let tls = Arc::new(tls.map_err(SourceError::Tls)?);
        let door = |Address { host_port, is_tls }: Address| {
            // The connector speaks TLS below the transport, which must not do so again.
            let endpoint = Endpoint::from_shared(format!("http://{host_port}"))
                .map_err(|error| SourceError::Flags(format!("endpoint {host_port}: {error}")))?
                .connect_timeout(access.dial_timeout)
                .tcp_nodelay(true)
                .http2_keep_alive_interval(KEEP_ALIVE.0)
                .keep_alive_timeout(KEEP_ALIVE.1);
            let channel = match is_tls {
                true => endpoint.connect_with_connector_lazy(tls.connector()),
                false => endpoint.connect_lazy(),
            };
            Ok((host_port, channel))
        };
        Ok(Self {
            doors: addresses.into_iter().map(door).collect::<Result<_, _>>()?,
            current: 0,
            user: access.user().map_err(SourceError::Flags)?,
            token: None,
            is_open: false,
            has_answered: false,
            limit: access.command_timeout,
        })
    }

    /// The endpoint that is used.
    pub(super) fn endpoint(&self) -> &str {
        self.doors
            .get(self.current)
            .map_or("", |(host_port, _)| host_port)
    }

    /// Asks until there is an answer, as long as one may still come.
    pub(super) async fn ask<T>(
        &mut self,
        what: &'static str,
        ask: impl AsyncFn(Line) -> Result<T, Status>,
    ) -> Result<T, SourceError> {
        self.ask_within(what, self.limit, ask).await
    }

    /// The same, with a deadline of its own for each try.
    // Cancel-safe: a question that nobody waits for any more changes nothing.
    pub(super) async fn ask_within<T>(
        &mut self,
        what: &'static str,
        limit: Duration,
        ask: impl AsyncFn(Line) -> Result<T, Status>,
    ) -> Result<T, SourceError> {
        let since = Instant::now();
        let mut pause = Backoff::new(PAUSE.0, PAUSE.1);
        loop {
            let status = match self.try_once(limit, &ask).await {
                Ok(answer) => {
                    self.has_answered = true;
                    return Ok(answer);
                }
                Err(status) => status,
            };
            let patience = match self.has_answered {
                true => PATIENCE,
                false => FIRST_PATIENCE,
            };
            if !self.turn(&status) || since.elapsed() > patience {
                return Err(self.failed(what, status));
            }
            tracing::debug!(what, error = status.message(), "asks the source again");
            tokio::time::sleep(pause.next_wait()).await;
        }
    }

    pub(super) fn failed(&self, what: &'static str, status: Status) -> SourceError {
        SourceError::Asked {
            endpoint: self.endpoint().to_owned(),
            what,
            status: Box::new(status),
        }
    }

    /// Goes to the next endpoint, and to a new token, after a failure. False if another try cannot
    /// help.
    pub(super) fn turn(&mut self, status: &Status) -> bool {
        match status.code() {
            // Perhaps it was the token: the next try gets a new one.
            Code::Unauthenticated => self.token.take().is_some(),
            Code::InvalidArgument => {
                let words = status.message();
                let is_of_auth = [
                    "auth store is old",
                    "invalid auth token",
                    "user name is empty",
                ];
                self.is_open = false;
                let had = self.token.take().is_some();
                is_of_auth.iter().any(|found| words.contains(found))
                    && (had || self.user.is_some() && words.contains("user name is empty"))
            }
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Unknown
            | Code::Cancelled
            | Code::Aborted
            | Code::Internal
            | Code::ResourceExhausted => {
                self.current = (self.current + 1) % self.doors.len().max(1);
                true
            }
            _ => false,
        }
    }

    async fn try_once<T>(
        &mut self,
        limit: Duration,
        ask: &impl AsyncFn(Line) -> Result<T, Status>,
    ) -> Result<T, Status> {
        let late = |_| Status::deadline_exceeded(format!("no answer within {limit:?}"));
        let line = tokio::time::timeout(self.limit, self.line()).await;
        let line = line.map_err(late)??;
        tokio::time::timeout(limit, ask(line)).await.map_err(late)?
    }

    /// The connection, with a token where a user was given.
    async fn line(&mut self) -> Result<Line, Status> {
        let door = self.doors.get(self.current);
        let (_, channel) = door.ok_or_else(|| Status::unavailable("no endpoint"))?;
        let channel = channel.clone();
        if let (Some((name, password)), None, false) = (&self.user, &self.token, self.is_open) {
            let request = AuthenticateRequest {
                name: name.clone(),
                password: password.clone(),
            };
            match AuthClient::new(channel.clone()).authenticate(request).await {
                Ok(answer) => self.token = answer.into_inner().token.parse().ok(),
                // As etcd's own client: who need not say who it is does not.
                Err(status) if status.message().contains("authentication is not enabled") => {
                    self.is_open = true;
                }
                Err(status) => return Err(status),
            }
        }
        Ok(Line {
            channel,
            token: self.token.clone(),
        })
    }
}
