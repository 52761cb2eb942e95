//! A TLS handshake on a listener: within its time, with the files as they are now, and only for those
//! that may come in. Who may not is logged as etcd logs it.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::server::Acceptor;
use tokio_rustls::server::TlsStream;

use super::serve::Remote;
use crate::limits;
use crate::tls::{self, Rejection, ServerTls};

/// Shakes hands, or says why not.
pub(super) async fn shake<S>(
    stream: S,
    remote: &Remote,
    tls: &Arc<ServerTls>,
) -> Result<TlsStream<S>, Rejection>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let all = async {
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await;
        let hello = hello.map_err(|error| tls::of_handshake(String::new(), &error))?;
        let server_name = hello
            .client_hello()
            .server_name()
            .unwrap_or_default()
            .to_owned();
        let failed = |error: String| Rejection::of_certificate(server_name.clone(), None, error);
        let source = tls.clone();
        let config = tokio::task::spawn_blocking(move || source.config()).await;
        let config = config
            .map_err(|error| failed(error.to_string()))?
            .map_err(|error| failed(base::report(&error).to_string()))?;
        let stream = hello.into_stream(config).await;
        let stream = stream.map_err(|error| tls::of_handshake(server_name.clone(), &error))?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let address = remote.map(|remote| remote.ip());
        match tls.admit(chain, address).await {
            Ok(()) => Ok(stream),
            Err(error) => Err(Rejection::of_certificate(server_name, chain.first(), error)),
        }
    };
    match tokio::time::timeout(limits::HANDSHAKE_TIMEOUT, all).await {
        Ok(result) => result,
        Err(_) => Err(Rejection {
            error: "i/o timeout: the TLS handshake took too long".into(),
            ..Rejection::default()
        }),
    }
}

/// Tells the operator, in etcd's words. One that just went away is told to those who look closely.
pub(super) fn log(side: &'static str, remote: &Remote, rejection: &Rejection) {
    let remote = remote.map_or_else(|| "@".into(), |remote| remote.to_string());
    let Rejection {
        server_name, error, ..
    } = rejection;
    if rejection.is_quiet {
        tracing::debug!(
            remote_addr = remote,
            server_name,
            error,
            "rejected connection on {side} endpoint"
        );
    } else if rejection.addresses.is_empty() && rejection.dns.is_empty() {
        tracing::warn!(
            remote_addr = remote,
            server_name,
            error,
            "rejected connection on {side} endpoint"
        );
    } else {
        tracing::warn!(
            remote_addr = remote,
            server_name,
            ip_addresses = ?rejection.addresses,
            dns_names = ?rejection.dns,
            error,
            "rejected connection on {side} endpoint"
        );
    }
}
