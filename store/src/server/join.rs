//! Asks running members who belongs to the cluster, by the plain HTTP that members speak to each
//! other. Every question has a deadline and every answer a size.

use std::sync::Arc;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::start::StartError;
use crate::config::{Config, Url};
use crate::limits;
use crate::rpc::{CLUSTER_ID_HEADER, PeerMember};
use crate::tls::ClientTls;

/// What a running member says.
pub(super) struct Cluster {
    pub(super) id: u64,
    pub(super) members: Vec<PeerMember>,
}

/// Asks the other members of `--initial-cluster` one after another until one answers.
pub(super) async fn ask_cluster(
    config: &Config,
    peers: Option<&Arc<ClientTls>>,
) -> Result<Cluster, StartError> {
    let mut last = "no other member is named".to_owned();
    for url in other_peers(config) {
        match tokio::time::timeout(limits::JOIN_TIMEOUT, ask(url, peers)).await {
            Ok(Ok(cluster)) => return Ok(cluster),
            Ok(Err(error)) => last = format!("{url}: {error:#}"),
            Err(_) => last = format!("{url}: no answer in time"),
        }
        tracing::warn!(url = %url, error = last, "failed to get cluster response");
    }
    Err(StartError::CannotFetchCluster(last))
}

/// Whether a running member knows `id` as one that has started before. Nobody answering means no.
pub(super) async fn has_started(config: &Config, peers: Option<&Arc<ClientTls>>, id: u64) -> bool {
    let questions = other_peers(config).map(|url| async move {
        let answer = tokio::time::timeout(std::time::Duration::from_secs(1), ask(url, peers)).await;
        let Ok(Ok(cluster)) = answer else {
            return false;
        };
        cluster
            .members
            .iter()
            .any(|member| member.id == id && !member.client_urls.is_empty())
    });
    futures::future::join_all(questions).await.contains(&true)
}

fn other_peers(config: &Config) -> impl Iterator<Item = &Url> {
    config
        .initial_cluster
        .iter()
        .filter(|(name, _)| *name != config.name)
        .flat_map(|(_, urls)| urls)
}

async fn ask(url: &Url, peers: Option<&Arc<ClientTls>>) -> anyhow::Result<Cluster> {
    let (host, port) = url
        .host_port()
        .ok_or_else(|| anyhow::anyhow!("not a TCP address"))?;
    let stream = TcpStream::connect((host, port.parse::<u16>()?)).await?;
    if url.is_tls() {
        let tls = peers.ok_or_else(|| anyhow::anyhow!("no certificates are configured"))?;
        let stream = tls.connect(host, stream, &[b"http/1.1"]).await?;
        get_members(stream, url).await
    } else {
        get_members(stream, url).await
    }
}

async fn get_members<S>(stream: S, url: &Url) -> anyhow::Result<Cluster>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get("/members")
        .header("host", url.address())
        .body(Empty::<bytes::Bytes>::new())?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        anyhow::ensure!(
            response.status().is_success(),
            "answered {}",
            response.status()
        );
        let id = response
            .headers()
            .get(CLUSTER_ID_HEADER)
            .and_then(|value| value.to_str().ok());
        let id = id.ok_or_else(|| anyhow::anyhow!("the answer names no cluster"))?;
        let id = u64::from_str_radix(id, 16)?;
        let body = Limited::new(response.into_body(), limits::JOIN_ANSWER_BYTES_MAX);
        let body = body
            .collect()
            .await
            .map_err(|error| anyhow::anyhow!("{error}"))?
            .to_bytes();
        Ok(Cluster {
            id,
            members: serde_json::from_slice(&body)?,
        })
    };
    tokio::pin!(exchange);
    // The connection only moves bytes while it is polled; the exchange decides when it is over.
    tokio::select! {
        result = &mut exchange => result,
        ended = connection => {
            ended?;
            exchange.await
        }
    }
}
