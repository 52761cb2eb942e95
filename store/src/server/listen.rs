//! Binds the sockets that a member listens on, before it touches anything else.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;

use tokio::net::{TcpListener, TcpSocket, UnixListener};

use crate::config::{Config, Url};
use crate::words;

/// How many connections wait in the kernel.
const BACKLOG: u32 = 1024;

/// Why a socket is not bound; the words are those that etcd's users know. They hold the kernel's, so
/// there is no source behind them: a report would say the same twice.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// A TCP socket.
    #[error("listen tcp {address}: bind: {}", words::of_io(cause))]
    Tcp {
        /// What was asked for.
        address: String,
        /// Why not.
        cause: io::Error,
    },
    /// A Unix socket.
    #[error("listen unix {path}: bind: {}", words::of_io(cause))]
    Unix {
        /// What was asked for.
        path: String,
        /// Why not.
        cause: io::Error,
    },
    /// A number that no port has.
    #[error("listen tcp: address {0}: invalid port")]
    Port(String),
    /// A name that stands for no address.
    #[error("listen tcp {0}: lookup failed")]
    Lookup(String),
}

/// A bound socket.
#[derive(Debug)]
pub struct Bound {
    pub(super) url: Url,
    pub(super) socket: Socket,
}

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    /// The socket, and the file to remove at the end.
    Unix(UnixListener, String),
}

impl Bound {
    /// A socket that the caller has bound, to be announced as `url`.
    pub fn given(url: Url, listener: TcpListener) -> Self {
        Self {
            url,
            socket: Socket::Tcp(listener),
        }
    }

    /// Where it really listens; none for Unix sockets.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(listener) => listener.local_addr().ok(),
            Socket::Unix(..) => None,
        }
    }

    /// The same for a log: the address, or the socket's path.
    pub(super) fn shown(&self) -> String {
        match self.local_addr() {
            Some(address) => address.to_string(),
            None => self.url.address().to_owned(),
        }
    }

    async fn bind(url: &Url, reuse_port: bool) -> Result<Self, ListenError> {
        let socket = match url.host_port() {
            None => Socket::Unix(bind_unix(url.address())?, url.address().to_owned()),
            Some((host, port)) => Socket::Tcp(bind_tcp(host, port, reuse_port).await?),
        };
        Ok(Self {
            url: url.clone(),
            socket,
        })
    }
}

async fn bind_tcp(host: &str, port: &str, reuse_port: bool) -> Result<TcpListener, ListenError> {
    let text = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    if port.parse::<u16>().is_err() {
        return Err(ListenError::Port(port.to_owned()));
    }
    let failed = |address: String| move |cause| ListenError::Tcp { address, cause };
    let mut addresses: Vec<SocketAddr> = tokio::net::lookup_host(&text)
        .await
        .map_err(|_| ListenError::Lookup(text.clone()))?
        .collect();
    // "localhost" means IPv4 where there is a choice, as in etcd.
    addresses.sort_by_key(SocketAddr::is_ipv6);
    let address = *addresses
        .first()
        .ok_or_else(|| ListenError::Lookup(text.clone()))?;
    let open = || -> io::Result<TcpListener> {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        // A restarted member must get its port back while old connections linger.
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(reuse_port)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    open().map_err(failed(address.to_string()))
}

fn bind_unix(path: &str) -> Result<UnixListener, ListenError> {
    // A socket file outlives its process. One that nobody answers at is left over; what is no socket
    // belongs to somebody else.
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if is_socket && std::os::unix::net::UnixStream::connect(path).is_err() {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ListenError::Unix {
                    path: path.into(),
                    cause: error,
                });
            }
            _ => {}
        }
    }
    UnixListener::bind(path).map_err(|cause| ListenError::Unix {
        path: path.into(),
        cause,
    })
}

/// All sockets of a member.
#[derive(Debug, Default)]
pub struct Listeners {
    /// For members.
    pub peer: Vec<Bound>,
    /// For clients: gRPC, and HTTP unless it has sockets of its own.
    pub client: Vec<Bound>,
    /// For clients: HTTP alone.
    pub http: Vec<Bound>,
    /// For metrics and health.
    pub metrics: Vec<Bound>,
}

impl Listeners {
    /// Binds what the settings name: members first, then clients, as etcd does.
    pub async fn bind(config: &Config) -> Result<Self, ListenError> {
        let reuse_port = config.reuse_port;
        Ok(Self {
            peer: bind_all(&config.listen_peer_urls, reuse_port).await?,
            client: bind_all(&config.listen_client_urls, reuse_port).await?,
            http: bind_all(&config.listen_client_http_urls, reuse_port).await?,
            metrics: bind_all(&config.listen_metrics_urls, reuse_port).await?,
        })
    }
}

async fn bind_all(urls: &[Url], reuse_port: bool) -> Result<Vec<Bound>, ListenError> {
    let mut bound = Vec::with_capacity(urls.len());
    for url in urls {
        bound.push(Bound::bind(url, reuse_port).await?);
    }
    Ok(bound)
}
