//! What the cloud controllers ask of a provider.

use std::collections::BTreeMap;
use std::net::IpAddr;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Node, Service};

/// Why a provider cannot do something. Worth a retry: the pool may grow, the cloud may answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// The provider gives no addresses.
    #[error("no address pool is configured (--load-balancer-pool)")]
    NoPool,
    /// Every address is in use.
    #[error("every address of the pool is in use")]
    Exhausted,
    /// The address that the Service asks for is not to be had.
    #[error("the address {0} is not free in the pool")]
    Unavailable(String),
}

/// What a provider knows about a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NodeMetadata {
    /// `spec.providerID`.
    pub(crate) provider_id: String,
    /// Labels that the node gets: zone, region, instance type.
    pub(crate) labels: BTreeMap<String, String>,
}

/// A cloud. Every method may be called again for what is done already.
#[async_trait]
pub(crate) trait Provider: Send + Sync {
    /// Makes or keeps a load balancer; its addresses. `taken` are the addresses of other Services.
    async fn ensure(&self, service: &Service, taken: &[IpAddr]) -> Result<Vec<IpAddr>, Error>;

    /// Takes the Service's load balancer away.
    async fn delete(&self, service: &Service) -> Result<(), Error>;

    /// The Service is gone, whoever saw to it: what was kept for it is free. It is called from an informer's handler, and
    /// must not wait.
    fn forget(&self, service: &Service);

    /// What is known of a node.
    async fn node(&self, node: &Node) -> Result<NodeMetadata, Error>;
}
