//! Serves connections: HTTP/1 and HTTP/2 on one socket, with or without TLS.
//!
//! Each listener takes so many connections at once; further ones wait in the kernel. A connection
//! that fails is logged and harms no other.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use base::{OnError, Tasks};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::handshake;
use super::listen::{Bound, Socket};
use super::pings::Policed;
use crate::config::KeepAlive;
use crate::limits;
use crate::rpc::{CommonName, LocalAddr};
use crate::tls::{self, ServerTls};

/// Streams that a client may cancel before they were looked at. Clients with short deadlines cancel
/// many at once without meaning harm.
const PENDING_RESETS_MAX: usize = 4_096;

/// What a listener serves, and how.
pub(super) struct Door {
    pub(super) side: &'static str,
    pub(super) router: Router,
    pub(super) tls: Option<Arc<ServerTls>>,
    pub(super) keep_alive: Option<KeepAlive>,
    /// How often clients may ping; none lets them.
    pub(super) ping_min: Option<Duration>,
    pub(super) max_streams: u32,
    /// Whether requests are to know the address that they came to, for their spans.
    pub(super) is_traced: bool,
    /// Ends connections that are not through when the member cannot wait any longer.
    pub(super) kill: CancellationToken,
}

/// Runs the tasks of connections under their owner.
#[derive(Clone)]
struct Owned(Tasks);

impl<F> Executor<F> for Owned
where
    F: Future + Send + 'static,
{
    fn execute(&self, future: F) {
        // A request that panics is a lost request, not a lost member.
        self.0.spawn("stream", OnError::Log, async move {
            let _ = future.await;
            Ok::<(), Infallible>(())
        });
    }
}

/// Accepts connections until the tasks are to end. Those that are open then finish the requests that
/// they have; `kill` ends them.
pub(super) async fn accept(bound: Bound, door: Arc<Door>, tasks: Tasks) {
    let draining = tasks.stop().clone();
    let slots = Arc::new(Semaphore::new(limits::CONNECTIONS_MAX));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else {
            break;
        };
        let accepted = tokio::select! { biased;
            () = draining.cancelled() => break,
            accepted = accept_one(&bound.socket) => accepted,
        };
        match accepted {
            Ok(Stream::Tcp(stream, remote)) => {
                let _ = stream.set_nodelay(true);
                let local = door.is_traced.then(|| stream.local_addr().ok());
                let ends = Ends {
                    remote: Some(remote),
                    local: local.flatten().map(LocalAddr),
                };
                connect(stream, ends, slot, &door, &tasks);
            }
            Ok(Stream::Unix(stream)) => connect(stream, Ends::default(), slot, &door, &tasks),
            Err(error) => {
                // Mostly the limit of open files: others will be closed.
                tracing::warn!(side = door.side, error = %error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    if let Socket::Unix(_, path) = &bound.socket {
        let _ = std::fs::remove_file(path);
    }
}

/// Where a client calls from; none over a Unix socket.
pub(super) type Remote = Option<SocketAddr>;

/// The two ends of a connection, as far as they are known.
#[derive(Default)]
struct Ends {
    remote: Remote,
    local: Option<LocalAddr>,
}

/// What each request of a connection is told of it.
struct Told {
    /// The name of the client.
    name: Option<CommonName>,
    local: Option<LocalAddr>,
}

enum Stream {
    Tcp(tokio::net::TcpStream, SocketAddr),
    Unix(tokio::net::UnixStream),
}

async fn accept_one(socket: &Socket) -> std::io::Result<Stream> {
    match socket {
        Socket::Tcp(listener) => {
            let (stream, remote) = listener.accept().await?;
            Ok(Stream::Tcp(stream, remote))
        }
        Socket::Unix(listener, _) => listener
            .accept()
            .await
            .map(|(stream, _)| Stream::Unix(stream)),
    }
}

fn connect<S>(stream: S, ends: Ends, slot: OwnedSemaphorePermit, door: &Arc<Door>, tasks: &Tasks)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (door, owned) = (door.clone(), tasks.clone());
    tasks.spawn("connection", OnError::Log, async move {
        let _slot = slot;
        let Ends { remote, local } = ends;
        match &door.tls {
            None => serve(stream, Told { name: None, local }, &door, owned).await,
            Some(tls) => match handshake::shake(stream, &remote, tls).await {
                Ok(stream) => {
                    let certificates = stream.get_ref().1.peer_certificates();
                    // Verified: the handshake lets no other through.
                    let leaf = certificates.and_then(|chain| chain.first());
                    let name = leaf.map(|leaf| CommonName(tls::common_name(leaf).into()));
                    serve(stream, Told { name, local }, &door, owned).await;
                }
                Err(rejection) => handshake::log(door.side, &remote, &rejection),
            },
        }
        Ok::<(), Infallible>(())
    });
}

async fn serve<S>(stream: S, told: Told, door: &Door, tasks: Tasks)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let draining = tasks.stop().clone();
    let mut builder = auto::Builder::new(Owned(tasks));
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HTTP1_HEADER_TIMEOUT);
    let mut http2 = builder.http2();
    http2
        .timer(TokioTimer::new())
        .max_concurrent_streams(door.max_streams)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX);
    if let Some(keep_alive) = &door.keep_alive {
        http2
            .keep_alive_interval(keep_alive.interval)
            .keep_alive_timeout(keep_alive.timeout);
    }
    let router = TowerToHyperService::new(door.router.clone());
    let service = hyper::service::service_fn(move |mut request: http::Request<Incoming>| {
        if let Some(name) = &told.name {
            request.extensions_mut().insert(name.clone());
        }
        if let Some(local) = told.local {
            request.extensions_mut().insert(local);
        }
        router.call(request)
    });
    // Upgrades are websockets of the JSON gateway.
    let stream = TokioIo::new(Policed::new(stream, door.ping_min));
    let connection = builder.serve_connection_with_upgrades(stream, service);
    tokio::pin!(connection);
    let mut is_draining = false;
    loop {
        // The end first, then the drain; a connection may have requests without end.
        tokio::select! { biased;
            () = door.kill.cancelled() => return,
            () = draining.cancelled(), if !is_draining => {
                is_draining = true;
                connection.as_mut().graceful_shutdown();
            }
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(side = door.side, error = %error, "connection ended");
                }
                return;
            }
        }
    }
}
