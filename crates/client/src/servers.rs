//! Sends each request to the current api-server, and moves on to the next one when it fails.
//!
//! A request whose connection could not be made was never sent, so any request may go to the next server.
//! One that failed later may have been executed: only reads are sent again. It never retries on a status code.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{HeaderValue, Method, Request, Response, Uri, header};
use kube::client::Body;
use tower::{BoxError, Service};

use crate::transport::{Counted, Transport};

/// The answer's head must arrive within this time. A server's own limit for a request is 60 s.
const HEAD_TIME_MAX: Duration = Duration::from_secs(65);
/// A caller that gives up after waiting at least this long for a head has met a dead server.
const PATIENCE: Duration = Duration::from_secs(2);

/// The list of servers, and which of them is in use.
#[derive(Clone, Debug)]
pub(crate) struct Servers {
    urls: Arc<[Uri]>,
    current: Arc<AtomicUsize>,
}

impl Servers {
    fn new(urls: Vec<Uri>) -> Self {
        assert!(!urls.is_empty(), "a client has at least one server");
        // A random start spreads the components over the replicas.
        let start = rand::random_range(0..urls.len());
        Self {
            urls: urls.into(),
            current: Arc::new(AtomicUsize::new(start)),
        }
    }

    fn current(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    /// Moves on, unless somebody else has already moved away from `index`.
    fn failed(&self, index: usize) {
        if self.urls.len() < 2 {
            return;
        }
        let next = (index + 1) % self.urls.len();
        let moved =
            self.current
                .compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
        if moved.is_ok() {
            tracing::warn!(from = %self.urls[index], to = %self.urls[next], "api-server failed, using the next");
        }
    }

    fn place(&self, index: usize, uri: &Uri) -> Result<Uri, http::Error> {
        let base = &self.urls[index];
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut builder = Uri::builder();
        if let (Some(scheme), Some(authority)) = (base.scheme(), base.authority()) {
            builder = builder.scheme(scheme.clone()).authority(authority.clone());
        }
        builder
            .path_and_query(format!("{}{path}", base.path().trim_end_matches('/')))
            .build()
    }
}

/// The service below a client's credentials.
#[derive(Clone)]
pub(crate) struct Failover {
    transport: Transport,
    servers: Servers,
    user_agent: HeaderValue,
}

impl Failover {
    pub(crate) fn new(transport: Transport, urls: Vec<Uri>, user_agent: HeaderValue) -> Self {
        Self {
            transport,
            servers: Servers::new(urls),
            user_agent,
        }
    }

    /// The `User-Agent` of this clone. Clones share connections, and the choice among the servers.
    pub(crate) fn set_user_agent(&mut self, user_agent: HeaderValue) {
        self.user_agent = user_agent;
    }

    pub(crate) async fn send(self, request: Request<Body>) -> Result<Response<Counted>, BoxError> {
        let (mut parts, mut body) = request.into_parts();
        parts
            .headers
            .entry(header::USER_AGENT)
            .or_insert(self.user_agent);
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        let mut tries_left = self.servers.urls.len();
        loop {
            tries_left -= 1;
            let again = if tries_left > 0 {
                body.try_clone()
            } else {
                None
            };
            let index = self.servers.current();
            let mut parts_now = parts.clone();
            parts_now.uri = self.servers.place(index, &parts.uri)?;
            let waiting = Waiting {
                servers: &self.servers,
                index,
                since: Instant::now(),
            };
            let sent = self.transport.send(Request::from_parts(parts_now, body));
            let outcome = tokio::time::timeout(HEAD_TIME_MAX, sent).await;
            std::mem::forget(waiting);
            let (error, was_sent) = match outcome {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => {
                    let was_sent = !error.is_connect();
                    (BoxError::from(error), was_sent)
                }
                Err(elapsed) => (BoxError::from(elapsed), true),
            };
            self.servers.failed(index);
            match again {
                Some(again) if is_read || !was_sent => body = again,
                _ => return Err(error),
            }
        }
    }
}

/// Dropped only where the caller gave up on a request whose head had not come.
struct Waiting<'a> {
    servers: &'a Servers,
    index: usize,
    since: Instant,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.since.elapsed() >= PATIENCE {
            self.servers.failed(self.index);
        }
    }
}

impl Service<Request<Body>> for Failover {
    type Response = Response<Counted>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}

#[cfg(test)]
mod tests {
    use super::Servers;

    #[test]
    fn many_failures_of_one_server_move_on_once() {
        let servers = Servers::new(vec![
            "https://a:1".parse().unwrap(),
            "https://b:2".parse().unwrap(),
            "https://c:3".parse().unwrap(),
        ]);
        let first = servers.current();
        servers.failed(first);
        servers.failed(first);
        assert_eq!(servers.current(), (first + 1) % 3);
    }

    #[test]
    fn the_base_path_is_kept() {
        let servers = Servers::new(vec!["https://a:1/base/".parse().unwrap()]);
        let uri = "/api/v1/pods?watch=true".parse().unwrap();
        assert_eq!(
            servers.place(0, &uri).unwrap().to_string(),
            "https://a:1/base/api/v1/pods?watch=true"
        );
    }
}
