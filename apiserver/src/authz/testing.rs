//! What the tests of these rooms share: a reader over fixed objects, and requests.

use std::sync::Arc;

use api_meta::kinds::{Kind, Kinds};
use api_meta::object;
use api_meta::status::Status;
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::Value;

use super::builtin_kind;
use crate::admission::{Operation, Request};
use crate::authn::UserInfo;
use crate::cache::{Object, ObjectReader};

type Entry = (String, Arc<Object>);

/// Objects in a cache, and objects that only the store knows yet.
#[derive(Default)]
pub(crate) struct Objects {
    cached: Mutex<Vec<Entry>>,
    stored: Mutex<Vec<Entry>>,
    revision: Mutex<u64>,
}

impl Objects {
    /// A reader whose cache knows everything.
    pub(crate) fn shared(objects: &[Value]) -> Arc<Self> {
        Self::shared_with_store(objects, &[])
    }

    /// A reader whose store also knows `late`.
    pub(crate) fn shared_with_store(objects: &[Value], late: &[Value]) -> Arc<Self> {
        let made = Arc::new(Self::default());
        made.replace(objects);
        *made.stored.lock() = late.iter().map(|value| entry(value, 1)).collect();
        made
    }

    /// Changes the cache to hold just these.
    pub(crate) fn replace(&self, objects: &[Value]) {
        let mut revision = self.revision.lock();
        *revision += 1;
        let mut entries: Vec<Entry> = objects
            .iter()
            .map(|value| entry(value, *revision))
            .collect();
        entries.sort_by(|a, b| (&a.0, &a.1.key).cmp(&(&b.0, &b.1.key)));
        *self.cached.lock() = entries;
    }
}

fn entry(value: &Value, revision: u64) -> Entry {
    let (group, version) = api_meta::gvk::split_api_version(object::api_version(value));
    let kind = Kinds::builtin()
        .by_kind(group, version, object::kind(value))
        .unwrap();
    let key = match object::namespace(value) {
        "" => object::name(value).to_owned(),
        namespace => format!("{namespace}/{}", object::name(value)),
    };
    let bytes = Bytes::from(serde_json::to_vec(value).unwrap());
    (
        kind.storage_prefix.clone(),
        Object::from_stored(&key, &bytes, revision),
    )
}

fn find(entries: &[Entry], kind: &Kind, namespace: &str, name: &str) -> Option<Arc<Object>> {
    let key = if namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}/{name}")
    };
    let same = |entry: &&Entry| entry.0 == kind.storage_prefix && *entry.1.key == *key;
    entries.iter().find(same).map(|entry| entry.1.clone())
}

#[async_trait]
impl ObjectReader for Objects {
    fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Option<Arc<Object>> {
        find(&self.cached.lock(), kind, namespace, name)
    }

    fn list(&self, kind: &Kind, namespace: Option<&str>) -> Vec<Arc<Object>> {
        let prefix = namespace
            .map(|namespace| format!("{namespace}/"))
            .unwrap_or_default();
        let entries = self.cached.lock();
        let fits =
            |entry: &&Entry| entry.0 == kind.storage_prefix && entry.1.key.starts_with(&prefix);
        entries
            .iter()
            .filter(fits)
            .map(|entry| entry.1.clone())
            .collect()
    }

    fn revision_of(&self, _kind: &Kind) -> u64 {
        *self.revision.lock()
    }

    async fn get_consistent(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Object>>, Status> {
        let stored = find(&self.stored.lock(), kind, namespace, name);
        Ok(stored.or_else(|| self.get(kind, namespace, name)))
    }
}

/// A user without any rights.
pub(crate) fn someone() -> UserInfo {
    UserInfo {
        name: "someone".to_owned(),
        ..UserInfo::default()
    }
}

/// A request of someone for the pod `p` in the namespace `ns`.
pub(crate) fn pod_request(
    operation: Operation,
    pod: Value,
    old: Option<Value>,
) -> Request<'static> {
    static SOMEONE: std::sync::LazyLock<UserInfo> = std::sync::LazyLock::new(someone);
    Request {
        operation,
        kind: builtin_kind("", "v1", "pods"),
        subresource: None,
        namespace: "ns",
        name: "p",
        user: &SOMEONE,
        object: Some(pod),
        old,
        dry_run: false,
    }
}
