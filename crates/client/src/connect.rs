//! Builds the client of a component from a kubeconfig (or a pod's service account) and a list of servers.
//!
//! It reads credentials only from the files that it is given; it never talks to a server. Clients that act as service
//! accounts are made in `account`.

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderValue, Uri, header};
use kube::Client;
use kube::client::{ClientBuilder, ConfigExt};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use tower::ServiceBuilder;

use crate::servers::Failover;
use crate::transport::Transport;

/// A TCP and TLS handshake that takes longer counts as a dead server.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(4);

/// Where the api-servers are and who we are to them.
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    /// The kubeconfig file. None means in-cluster: the pod's service account.
    pub kubeconfig: Option<PathBuf>,
    /// URLs of api-server replicas that replace the kubeconfig's one server. Empty keeps it.
    pub servers: Vec<String>,
    /// The `User-Agent` header, also the default field manager as the server derives it.
    pub user_agent: String,
}

/// Why no client could be built. None of these is worth a retry without a change of configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig cannot be read or used.
    #[error("load kubeconfig {path}")]
    Kubeconfig {
        /// The file.
        path: String,
        /// What is wrong with it.
        #[source]
        source: kube::config::KubeconfigError,
    },
    /// Not in a pod, and no kubeconfig was given.
    #[error("no kubeconfig was given and this is not a pod of the cluster")]
    InCluster(#[source] kube::config::InClusterError),
    /// A server URL is not a URL.
    #[error("invalid server URL {url:?}")]
    Url {
        /// The text.
        url: String,
        /// The parser's word.
        #[source]
        source: http::uri::InvalidUri,
    },
    /// A server URL lacks a scheme or a host.
    #[error("server URL {0:?} needs a scheme and a host, as in https://10.0.0.1:6443")]
    UrlIncomplete(String),
    /// The user agent is not a header value.
    #[error("invalid user agent")]
    UserAgent(#[source] header::InvalidHeaderValue),
    /// TLS or credentials cannot be set up.
    #[error("set up TLS and credentials")]
    Setup(#[source] kube::Error),
}

/// Builds a client. Nothing is sent yet.
pub async fn connect(options: &ConnectOptions) -> Result<Client, ConnectError> {
    let config = load(options).await?;
    let service = ServiceBuilder::new()
        .option_layer(config.auth_layer().map_err(ConnectError::Setup)?)
        .layer(config.extra_headers_layer().map_err(ConnectError::Setup)?)
        .service(failover(&config, options)?);
    Ok(ClientBuilder::new(service, config.default_namespace.clone()).build())
}

/// The servers of `options`, trusted as it says and without its credentials: for clients that bring their own.
pub(crate) async fn anonymous(options: &ConnectOptions) -> Result<Failover, ConnectError> {
    failover(&without_credentials(load(options).await?), options)
}

fn failover(config: &kube::Config, options: &ConnectOptions) -> Result<Failover, ConnectError> {
    let servers = server_urls(&options.servers, &config.cluster_url)?;
    let user_agent = HeaderValue::from_str(&options.user_agent).map_err(ConnectError::UserAgent)?;
    let transport = Transport::new(config, HANDSHAKE_TIME_MAX).map_err(ConnectError::Setup)?;
    Ok(Failover::new(transport, servers, user_agent))
}

/// Certificates, tokens, passwords, plugins and impersonation are all of them in the one place.
fn without_credentials(mut config: kube::Config) -> kube::Config {
    config.auth_info = AuthInfo::default();
    config
}

async fn load(options: &ConnectOptions) -> Result<kube::Config, ConnectError> {
    // The one provider of the whole graph; a second installation is refused and harmless.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let Some(path) = &options.kubeconfig else {
        return kube::Config::incluster().map_err(ConnectError::InCluster);
    };
    let named = |source| ConnectError::Kubeconfig {
        path: path.display().to_string(),
        source,
    };
    let file = Kubeconfig::read_from(path).map_err(named)?;
    kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .map_err(named)
}

fn server_urls(given: &[String], own: &Uri) -> Result<Vec<Uri>, ConnectError> {
    let mut urls = Vec::new();
    for url in given.iter().filter(|url| !url.is_empty()) {
        let uri: Uri = url.parse().map_err(|source| ConnectError::Url {
            url: url.clone(),
            source,
        })?;
        if uri.scheme().is_none() || uri.authority().is_none() {
            return Err(ConnectError::UrlIncomplete(url.clone()));
        }
        urls.push(uri);
    }
    if urls.is_empty() {
        urls.push(own.clone());
    }
    Ok(urls)
}

#[cfg(test)]
mod tests {
    use kube::client::ConfigExt;

    use super::{ConnectError, ConnectOptions, connect, server_urls, without_credentials};

    #[test]
    fn a_list_of_servers_replaces_the_kubeconfigs() {
        let own = "https://127.0.0.1:6443".parse().unwrap();
        assert_eq!(server_urls(&[], &own).unwrap(), vec![own.clone()]);
        let two = ["https://a:1".to_owned(), "https://b:2".to_owned()];
        assert_eq!(server_urls(&two, &own).unwrap().len(), 2);
        assert!(matches!(
            server_urls(&["a:1".to_owned()], &own),
            Err(ConnectError::UrlIncomplete(_))
        ));
        assert!(matches!(
            server_urls(&["https://a b".to_owned()], &own),
            Err(ConnectError::Url { .. })
        ));
    }

    #[tokio::test]
    async fn a_missing_kubeconfig_is_named() {
        let options = ConnectOptions {
            kubeconfig: Some("/nonexistent/kubeconfig".into()),
            ..ConnectOptions::default()
        };
        let Err(error) = connect(&options).await else {
            panic!("must fail")
        };
        assert_eq!(error.to_string(), "load kubeconfig /nonexistent/kubeconfig");
    }

    #[test]
    fn nothing_of_the_processs_identity_is_left() {
        let mut config = kube::Config::new("https://127.0.0.1:6443".parse().unwrap());
        config.auth_info.token = Some("t".to_owned().into());
        config.auth_info.client_certificate = Some("/nonexistent/crt".into());
        config.auth_info.client_key = Some("/nonexistent/key".into());
        config.auth_info.impersonate = Some("somebody".into());
        assert!(config.auth_layer().unwrap().is_some());
        let config = without_credentials(config);
        assert!(config.auth_layer().unwrap().is_none());
        let left = serde_json::to_value(&config.auth_info).unwrap();
        assert_eq!(left, serde_json::json!({}));
    }
}
