//! The provider without a cloud: addresses of Services come from a pool, and nodes are what they say they are.
//!
//! That the addresses lead to the cluster is the work of kube-proxy on the nodes and of the network's routes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use async_trait::async_trait;
use ipnet::IpNet;
use k8s_openapi::api::core::v1::{Node, Service};
use kube::ResourceExt;
use parking_lot::Mutex;

use super::provider::{Error, NodeMetadata, Provider};

/// Addresses of one pool that are tried; a larger pool is used from its beginning.
const TRIES_MAX: usize = 65_536;

/// The provider.
pub(crate) struct Local {
    pool: Vec<IpNet>,
    /// Addresses given away by this process, by the Service's uid: the cache may not show them yet.
    given: Mutex<BTreeMap<IpAddr, String>>,
}

impl Local {
    pub(crate) fn new(pool: Vec<IpNet>) -> Self {
        Self {
            pool,
            given: Mutex::default(),
        }
    }

    fn choose(&self, service: &Service, taken: &[IpAddr]) -> Result<IpAddr, Error> {
        let uid = service.uid().unwrap_or_default();
        let mut given = self.given.lock();
        let is_free =
            |ip: &IpAddr| !taken.contains(ip) && given.get(ip).is_none_or(|owner| *owner == uid);
        let is_ours = |ip: &IpAddr| self.pool.iter().any(|net| net.contains(ip));
        let wish = service
            .spec
            .as_ref()
            .and_then(|spec| spec.load_balancer_ip.as_deref());
        let chosen = if let Some(wish) = wish.filter(|text| !text.is_empty()) {
            let ip = wish.parse().ok().filter(|ip| is_ours(ip) && is_free(ip));
            ip.ok_or_else(|| Error::Unavailable(wish.to_owned()))?
        } else if let Some(kept) = current(service)
            .into_iter()
            .find(|ip| is_ours(ip) && is_free(ip))
        {
            kept
        } else {
            let families = service
                .spec
                .as_ref()
                .and_then(|spec| spec.ip_families.clone());
            let is_six = families
                .iter()
                .flatten()
                .next()
                .is_some_and(|family| family == "IPv6");
            let nets = self
                .pool
                .iter()
                .filter(|net| net.addr().is_ipv6() == is_six);
            let mut hosts = nets.flat_map(IpNet::hosts).take(TRIES_MAX);
            hosts.find(is_free).ok_or(Error::Exhausted)?
        };
        given.retain(|_, owner| *owner != uid);
        given.insert(chosen, uid);
        Ok(chosen)
    }
}

/// The addresses that the Service has.
pub(super) fn current(service: &Service) -> Vec<IpAddr> {
    let status = service
        .status
        .as_ref()
        .and_then(|status| status.load_balancer.as_ref());
    let ingress = status.iter().flat_map(|one| one.ingress.iter().flatten());
    ingress
        .filter_map(|one| one.ip.as_deref()?.parse().ok())
        .collect()
}

#[async_trait]
impl Provider for Local {
    async fn ensure(&self, service: &Service, taken: &[IpAddr]) -> Result<Vec<IpAddr>, Error> {
        if self.pool.is_empty() {
            return Err(Error::NoPool);
        }
        Ok(vec![self.choose(service, taken)?])
    }

    async fn delete(&self, service: &Service) -> Result<(), Error> {
        self.forget(service);
        Ok(())
    }

    fn forget(&self, service: &Service) {
        let uid = service.uid().unwrap_or_default();
        self.given.lock().retain(|_, owner| *owner != uid);
    }

    async fn node(&self, node: &Node) -> Result<NodeMetadata, Error> {
        let provider_id = format!("local://{}", node.name_any());
        Ok(NodeMetadata {
            provider_id,
            labels: BTreeMap::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use k8s_openapi::api::core::v1::{
        LoadBalancerIngress, LoadBalancerStatus, Service, ServiceSpec, ServiceStatus,
    };

    use super::super::provider::{Error, Provider};
    use super::Local;

    fn service(uid: &str, wish: Option<&str>, has: Option<&str>) -> Service {
        let ingress = has.map(|ip| {
            vec![LoadBalancerIngress {
                ip: Some(ip.into()),
                ..LoadBalancerIngress::default()
            }]
        });
        let mut service = Service {
            spec: Some(ServiceSpec {
                load_balancer_ip: wish.map(str::to_owned),
                ..ServiceSpec::default()
            }),
            status: Some(ServiceStatus {
                load_balancer: Some(LoadBalancerStatus { ingress }),
                conditions: None,
            }),
            ..Service::default()
        };
        service.metadata.uid = Some(uid.into());
        service
    }

    #[tokio::test]
    async fn addresses_are_given_once_and_kept() {
        let local = Local::new(vec!["10.9.0.0/30".parse().unwrap()]);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let ensure = async |service: &Service, taken: &[IpAddr]| {
            local.ensure(service, taken).await.map(|all| all[0])
        };
        let first = service("a", None, None);
        assert_eq!(ensure(&first, &[]).await, Ok(ip("10.9.0.1")));
        assert_eq!(ensure(&first, &[]).await, Ok(ip("10.9.0.1")));
        assert_eq!(
            ensure(&service("b", None, None), &[]).await,
            Ok(ip("10.9.0.2"))
        );
        assert_eq!(
            ensure(&service("c", None, None), &[]).await,
            Err(Error::Exhausted)
        );
        local.delete(&first).await.unwrap();
        let kept = service("c", None, Some("10.9.0.1"));
        assert_eq!(ensure(&kept, &[]).await, Ok(ip("10.9.0.1")));
        assert_eq!(
            ensure(&service("d", Some("10.9.0.1"), None), &[]).await,
            Err(Error::Unavailable("10.9.0.1".into()))
        );
        assert_eq!(
            ensure(&service("e", Some("192.0.2.1"), None), &[]).await,
            Err(Error::Unavailable("192.0.2.1".into()))
        );
        assert_eq!(
            Local::new(Vec::new()).ensure(&first, &[]).await,
            Err(Error::NoPool)
        );
        // Gone without a word to the provider: somebody took the finalizer off.
        local.forget(&kept);
        let next = service("f", None, None);
        assert_eq!(ensure(&next, &[]).await, Ok(ip("10.9.0.1")));
    }
}
