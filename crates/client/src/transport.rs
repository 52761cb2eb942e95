//! HTTPS connections: HTTP/2 with keep-alive pings, so that a dead or frozen server is noticed within seconds
//! on idle watches too, and HTTP/1.1 for requests that upgrade.
//!
//! A server admits about a hundred streams on a connection, and a waiting stream would starve behind watches;
//! therefore streams are counted and spread over as many connections as needed. It never retries.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri, header};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ConfigExt};
use parking_lot::Mutex;
use tower::{BoxError, Service};

/// Streams on one connection; servers commonly stop at 100 or 250.
const STREAMS_MAX: usize = 80;
/// Connections to one server; past it streams pile up on the emptiest one.
const CONNECTIONS_MAX: usize = 32;
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

type Http = Client<Bounded, Body>;

/// Connections to all servers of a client.
#[derive(Clone)]
pub(crate) struct Transport {
    shards: Arc<Mutex<Vec<Shard>>>,
    upgrading: Http,
    connector: Bounded,
}

#[derive(Clone)]
struct Shard {
    http: Http,
    streams: Arc<AtomicUsize>,
}

impl Transport {
    pub(crate) fn new(config: &kube::Config, handshake: Duration) -> Result<Self, kube::Error> {
        let tls = config.rustls_client_config()?;
        let connector = |version_two: bool| {
            let mut tcp = HttpConnector::new();
            tcp.enforce_http(false);
            tcp.set_nodelay(true);
            let mut builder = HttpsConnectorBuilder::new()
                .with_tls_config(tls.clone())
                .https_or_http();
            if let Some(name) = config.tls_server_name.clone()
                && let Ok(name) = rustls_pki_types::ServerName::try_from(name)
            {
                builder = builder
                    .with_server_name_resolver(hyper_rustls::FixedServerNameResolver::new(name));
            }
            let inner = match version_two {
                true => builder.enable_all_versions().wrap_connector(tcp),
                false => builder.enable_http1().wrap_connector(tcp),
            };
            Bounded {
                inner,
                limit: handshake,
            }
        };
        let upgrading = Client::builder(TokioExecutor::new()).build(connector(false));
        let connector = connector(true);
        Ok(Self {
            shards: Arc::default(),
            upgrading,
            connector,
        })
    }

    /// Sends one request. The stream counts until the answer's body is dropped.
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Response<Counted>, Error> {
        if request.headers().contains_key(header::UPGRADE) {
            let response = self.upgrading.request(request).await?;
            return Ok(response.map(|body| Counted {
                body,
                _stream: None,
            }));
        }
        let (http, stream) = self.shard();
        let response = http.request(request).await?;
        Ok(response.map(|body| Counted {
            body,
            _stream: Some(stream),
        }))
    }

    fn shard(&self) -> (Http, Stream) {
        let mut shards = self.shards.lock();
        let load = |shard: &Shard| shard.streams.load(Ordering::Relaxed);
        let roomy = shards.iter().find(|shard| load(shard) < STREAMS_MAX);
        let shard = match roomy {
            Some(shard) => shard.clone(),
            None if shards.len() < CONNECTIONS_MAX => {
                let shard = self.connection();
                shards.push(shard.clone());
                shard
            }
            None => shards
                .iter()
                .min_by_key(|shard| load(shard))
                .cloned()
                .unwrap_or_else(|| self.connection()),
        };
        shard.streams.fetch_add(1, Ordering::Relaxed);
        (shard.http, Stream(shard.streams))
    }

    fn connection(&self) -> Shard {
        let http = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .http2_adaptive_window(true)
            .build(self.connector.clone());
        Shard {
            http,
            streams: Arc::default(),
        }
    }
}

/// One stream's place on its connection.
#[derive(Debug)]
struct Stream(Arc<AtomicUsize>);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A response body that holds its stream's place.
#[derive(Debug)]
pub(crate) struct Counted {
    body: Incoming,
    _stream: Option<Stream>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connector whose TCP and TLS handshakes together are bounded in time.
#[derive(Clone)]
struct Bounded {
    inner: HttpsConnector<HttpConnector>,
    limit: Duration,
}

impl Service<Uri> for Bounded {
    type Response = <HttpsConnector<HttpConnector> as Service<Uri>>::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, limit) = (self.inner.call(uri), self.limit);
        Box::pin(async move { tokio::time::timeout(limit, connecting).await? })
    }
}
