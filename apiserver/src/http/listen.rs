//! Accepts connections and serves HTTP/1.1 and HTTP/2 on one port.
//!
//! Connections are bounded: beyond the limit the listener waits, and the kernel's queue and then the
//! clients' timeouts hold the rest back. At the end it stops accepting, lets requests finish, and
//! cuts what is late.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::Tasks;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::body::Body;
use super::stack::Stack;
use crate::authn::PeerChain;

/// Connections at one time.
const CONNECTIONS_MAX: usize = 20_000;
/// A handshake must not take longer.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Streams of one HTTP/2 connection. A kubelet watches each of its pods' Secrets on a stream.
const STREAMS_MAX: u32 = 1000;
/// Request line and headers together, as upstream's.
const HEADERS_BYTES_MAX: u32 = 1024 * 1024;

/// The answer to plain HTTP.
const PLAIN_REFUSED: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// A bound port.
pub struct Listener {
    tcp: TcpListener,
    tls: TlsAcceptor,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener")
            .field("tcp", &self.tcp)
            .finish_non_exhaustive()
    }
}

impl Listener {
    /// Binds the port.
    pub async fn bind(address: SocketAddr, tls: ServerConfig) -> std::io::Result<Self> {
        let tcp = TcpListener::bind(address).await?;
        Ok(Self {
            tcp,
            tls: TlsAcceptor::from(Arc::new(tls)),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Serves until `stop`; each connection is a task of `tasks`.
    pub async fn run(self, stack: Arc<Stack>, tasks: Tasks, stop: CancellationToken) {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(permit) = room.clone().acquire_owned().await else {
                return;
            };
            let accepted = tokio::select! { biased;
                () = stop.cancelled() => return,
                accepted = self.tcp.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: serving goes on when some are closed.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (stack, tls, stop) = (stack.clone(), self.tls.clone(), stop.clone());
            tasks.spawn("connection", base::OnError::Log, async move {
                let _permit = permit;
                if let Err(error) = connection(stream, tls, stack, stop).await {
                    tracing::debug!(%peer, %error, "connection ended");
                }
                Ok::<(), std::convert::Infallible>(())
            });
        }
    }
}

type ConnectionError = Box<dyn std::error::Error + Send + Sync>;

async fn connection(
    stream: TcpStream,
    tls: TlsAcceptor,
    stack: Arc<Stack>,
    stop: CancellationToken,
) -> Result<(), ConnectionError> {
    stream.set_nodelay(true)?;
    let Some(stream) = timeout(HANDSHAKE_MAX, refuse_plain(stream)).await?? else {
        return Ok(());
    };
    let stream = timeout(HANDSHAKE_MAX, tls.accept(stream)).await??;
    let chain = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(PeerChain::new);
    let service = service_fn(move |request: Request<Incoming>| {
        let (stack, chain) = (stack.clone(), chain.clone());
        async move { Ok::<Response<Body>, std::convert::Infallible>(stack.serve(chain, request).await) }
    });
    let builder = builder();
    let serving = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(serving);
    tokio::select! { biased;
        served = serving.as_mut() => return served,
        () = stop.cancelled() => {}
    }
    // No new requests; those under way end, watches among them by the same token.
    serving.as_mut().graceful_shutdown();
    serving.await
}

/// Who speaks plain HTTP is told so in plain HTTP, as by Go's servers; everyone else is let through.
async fn refuse_plain(mut stream: TcpStream) -> std::io::Result<Option<TcpStream>> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    // A method begins with a letter, and a TLS record never does.
    if !first[0].is_ascii_uppercase() {
        return Ok(Some(stream));
    }
    stream.write_all(PLAIN_REFUSED).await?;
    stream.shutdown().await?;
    // Closing over unread bytes would reset the connection, and the words with it.
    let mut request = (&mut stream).take(u64::from(HEADERS_BYTES_MAX));
    tokio::io::copy(&mut request, &mut tokio::io::sink()).await?;
    Ok(None)
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(30))
        .max_buf_size(HEADERS_BYTES_MAX as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADERS_BYTES_MAX)
        // Large bodies must not wait for the window, small ones must not hold much memory.
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(256 * 1024 * 8)
        .max_send_buf_size(1024 * 1024)
        // A client that vanished without a word is noticed after the sum of the two.
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(15));
    builder
}
