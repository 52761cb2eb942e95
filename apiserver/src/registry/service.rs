//! The registry: the parts that every verb works with.

use std::sync::Arc;
use std::time::Duration;

use api_meta::kinds::Kind;
use api_meta::status::Status;
use async_trait::async_trait;
use ipnet::IpNet;

use super::context::Target;
use super::refusals;
use crate::admission;
use crate::cache::consistent_read::Freshness;
use crate::cache::{Cache, KindCache, Object, ObjectReader};
use crate::storage::lease::SharedLease;
use crate::storage::{Etcd, keys};

/// Where Services get their addresses and ports from.
#[derive(Clone, Debug)]
pub struct ServiceSettings {
    /// One range for each address family; the first one is the cluster's own family.
    pub cidrs: Vec<IpNet>,
    /// First and last node port.
    pub node_ports: (u16, u16),
}

/// Reads and writes objects of every kind. A cheap handle.
#[derive(Clone, Debug)]
pub struct Registry {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    etcd: Etcd,
    cache: Arc<Cache>,
    freshness: Freshness,
    event_lease: SharedLease,
    admission: admission::Chain,
    services: ServiceSettings,
}

/// What a registry is made of.
#[derive(Debug)]
pub struct Parts {
    /// The store.
    pub etcd: Etcd,
    /// The cache that follows it.
    pub cache: Arc<Cache>,
    /// Admission.
    pub admission: admission::Chain,
    /// Where Services get their addresses from.
    pub services: ServiceSettings,
    /// How long events live.
    pub event_ttl: Duration,
}

impl Registry {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        let inner = Inner {
            freshness: Freshness::new(parts.etcd.clone()),
            event_lease: SharedLease::new(parts.etcd.clone(), parts.event_ttl),
            etcd: parts.etcd,
            cache: parts.cache,
            admission: parts.admission,
            services: parts.services,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The store.
    pub fn etcd(&self) -> &Etcd {
        &self.inner.etcd
    }

    /// The cache.
    pub fn cache(&self) -> &Arc<Cache> {
        &self.inner.cache
    }

    /// How reads prove that they are fresh.
    pub fn freshness(&self) -> &Freshness {
        &self.inner.freshness
    }

    pub(crate) fn admission(&self) -> &admission::Chain {
        &self.inner.admission
    }

    pub(crate) fn services(&self) -> &ServiceSettings {
        &self.inner.services
    }

    /// The cached state of a kind.
    pub(crate) fn kind_cache(&self, kind: &Kind) -> Result<&Arc<KindCache>, Status> {
        self.cache().kind(&kind.storage_prefix).ok_or_else(|| {
            Status::internal(format!("the kind {} has no place in the store", kind.kind))
        })
    }

    /// The lease for a new object of a kind; 0 for objects that stay.
    pub(crate) async fn lease(&self, kind: &Kind) -> Result<i64, Status> {
        if kind.storage_prefix != "events" {
            return Ok(0);
        }
        self.inner
            .event_lease
            .id()
            .await
            .map_err(|error| refusals::of_store(&error))
    }

    /// An object as it is in the store now.
    pub(crate) async fn read_store(
        &self,
        kind: &Kind,
        key: &str,
    ) -> Result<Option<Arc<Object>>, Status> {
        let read = self
            .etcd()
            .get(&keys::absolute(&kind.storage_prefix, key))
            .await
            .map_err(|error| refusals::of_store(&error))?;
        Ok(read.kv.map(|kv| {
            let revision = u64::try_from(kv.mod_revision).unwrap_or_default();
            Object::from_stored(key, &kv.value, revision)
        }))
    }

    /// The key of a target within its kind, once its parts are known to be single path segments.
    /// Without this a name with a slash in it would reach into another namespace.
    pub(crate) fn key(&self, target: &Target) -> Result<String, Status> {
        for part in [&target.namespace, &target.name] {
            if let Some(fault) = segment_fault(part) {
                return Err(Status::bad_request(format!(
                    "Name parameter invalid: {part:?}: {fault}"
                )));
            }
        }
        if target.name.is_empty() {
            return Err(Status::bad_request("Name parameter required."));
        }
        if target.kind.namespaced && target.namespace.is_empty() {
            return Err(Status::bad_request("Namespace parameter required."));
        }
        Ok(keys::relative(&target.namespace, &target.name))
    }
}

/// What makes a text no single part of a path.
pub(crate) fn segment_fault(part: &str) -> Option<&'static str> {
    match part {
        "." => Some("may not be '.'"),
        ".." => Some("may not be '..'"),
        _ if part.contains('/') => Some("may not contain '/'"),
        _ if part.contains('%') => Some("may not contain '%'"),
        _ if part.contains('\0') => Some("may not contain a zero byte"),
        _ => None,
    }
}

/// The registry as authentication, authorization and admission see it: read-only.
#[derive(Clone, Debug)]
pub struct CacheReader {
    etcd: Etcd,
    cache: Arc<Cache>,
}

impl CacheReader {
    /// Reads the cache, and the store where a read must be fresh.
    pub fn new(etcd: Etcd, cache: Arc<Cache>) -> Self {
        Self { etcd, cache }
    }
}

#[async_trait]
impl ObjectReader for CacheReader {
    fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Option<Arc<Object>> {
        self.cache
            .kind(&kind.storage_prefix)?
            .get(&keys::relative(namespace, name))
    }

    fn list(&self, kind: &Kind, namespace: Option<&str>) -> Vec<Arc<Object>> {
        let Some(cached) = self.cache.kind(&kind.storage_prefix) else {
            return Vec::new();
        };
        let prefix = keys::list_prefix(namespace.unwrap_or_default());
        let (snapshot, _) = cached.read();
        snapshot.range(&prefix, "").cloned().collect()
    }

    fn revision_of(&self, kind: &Kind) -> u64 {
        self.cache
            .kind(&kind.storage_prefix)
            .map_or(0, |cached| cached.changed_at())
    }

    async fn get_consistent(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Object>>, Status> {
        let key = keys::relative(namespace, name);
        let read = self
            .etcd
            .get(&keys::absolute(&kind.storage_prefix, &key))
            .await
            .map_err(|error| refusals::of_store(&error))?;
        Ok(read.kv.map(|kv| {
            let revision = u64::try_from(kv.mod_revision).unwrap_or_default();
            Object::from_stored(&key, &kv.value, revision)
        }))
    }
}
