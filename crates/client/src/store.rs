//! What an informer has seen: objects by namespace and name, with optional indexes.
//!
//! Readers get shared objects; only the informer writes. It is a cache: it may lag behind the server, and whoever
//! acts on it must be corrected by the server's preconditions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::ResourceExt;
use parking_lot::RwLock;
use tokio::sync::watch;

/// The place of an object: its namespace (empty for cluster-scoped kinds) and its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Empty for cluster-scoped kinds.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Key {
    /// A key of its parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The key of an object.
    pub fn of<K: kube::Resource>(object: &K) -> Self {
        Self::new(object.namespace().unwrap_or_default(), object.name_any())
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

type IndexFn<K> = Arc<dyn Fn(&K) -> Vec<String> + Send + Sync>;

struct Index<K> {
    keys_of: IndexFn<K>,
    entries: BTreeMap<String, BTreeSet<Key>>,
}

struct Inner<K> {
    objects: BTreeMap<String, BTreeMap<String, Arc<K>>>,
    indexes: BTreeMap<&'static str, Index<K>>,
}

impl<K> Default for Inner<K> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            indexes: BTreeMap::new(),
        }
    }
}

/// A shared, indexed view of one kind.
pub struct Store<K> {
    inner: Arc<RwLock<Inner<K>>>,
    synced: Arc<watch::Sender<bool>>,
}

impl<K> Clone for Store<K> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            synced: self.synced.clone(),
        }
    }
}

impl<K> Default for Store<K> {
    fn default() -> Self {
        Self {
            inner: Arc::default(),
            synced: Arc::new(watch::Sender::new(false)),
        }
    }
}

impl<K> std::fmt::Debug for Store<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("synced", &self.is_synced())
            .finish_non_exhaustive()
    }
}

impl<K> Store<K> {
    /// One object.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.inner.read().objects.get(namespace)?.get(name).cloned()
    }

    /// One object by key.
    pub fn at(&self, key: &Key) -> Option<Arc<K>> {
        self.get(&key.namespace, &key.name)
    }

    /// Every object, in order of namespace and name.
    pub fn list(&self) -> Vec<Arc<K>> {
        self.inner
            .read()
            .objects
            .values()
            .flat_map(BTreeMap::values)
            .cloned()
            .collect()
    }

    /// Every object of a namespace, in order of name.
    pub fn list_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        let inner = self.inner.read();
        inner
            .objects
            .get(namespace)
            .map(|all| all.values().cloned().collect())
            .unwrap_or_default()
    }

    /// The objects that the index `name` files under `value`. Empty where there is no such index.
    pub fn by_index(&self, name: &str, value: &str) -> Vec<Arc<K>> {
        let inner = self.inner.read();
        let Some(keys) = inner
            .indexes
            .get(name)
            .and_then(|index| index.entries.get(value))
        else {
            return Vec::new();
        };
        keys.iter()
            .filter_map(|key| inner.objects.get(&key.namespace)?.get(&key.name).cloned())
            .collect()
    }

    /// The number of objects.
    pub fn len(&self) -> usize {
        self.inner.read().objects.values().map(BTreeMap::len).sum()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.inner.read().objects.is_empty()
    }

    /// Whether the first complete list has come.
    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// Returns once the first complete list has come.
    ///
    /// Cancel-safe: it only waits.
    pub async fn synced(&self) {
        let mut seen = self.synced.subscribe();
        // The sender lives as long as this store, so the wait ends only with the value.
        let _ = seen.wait_for(|synced| *synced).await;
    }

    pub(crate) fn mark_synced(&self) {
        self.synced.send_replace(true);
    }

    pub(crate) fn add_index(&self, name: &'static str, keys_of: IndexFn<K>) {
        let index = Index {
            keys_of,
            entries: BTreeMap::new(),
        };
        self.inner.write().indexes.insert(name, index);
    }

    pub(crate) fn insert(&self, key: Key, object: Arc<K>) -> Option<Arc<K>> {
        let mut inner = self.inner.write();
        let old = inner
            .objects
            .entry(key.namespace.clone())
            .or_default()
            .insert(key.name.clone(), object.clone());
        for index in inner.indexes.values_mut() {
            if let Some(old) = &old {
                index.forget(&key, old);
            }
            for value in (index.keys_of)(&object) {
                index.entries.entry(value).or_default().insert(key.clone());
            }
        }
        old
    }

    pub(crate) fn remove(&self, key: &Key) -> Option<Arc<K>> {
        let mut inner = self.inner.write();
        let all = inner.objects.get_mut(&key.namespace)?;
        let old = all.remove(&key.name)?;
        if all.is_empty() {
            inner.objects.remove(&key.namespace);
        }
        for index in inner.indexes.values_mut() {
            index.forget(key, &old);
        }
        Some(old)
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        let inner = self.inner.read();
        let of = |(namespace, all): (&String, &BTreeMap<String, Arc<K>>)| -> Vec<Key> {
            all.keys().map(|name| Key::new(namespace, name)).collect()
        };
        inner.objects.iter().flat_map(of).collect()
    }
}

impl<K> Index<K> {
    fn forget(&mut self, key: &Key, old: &K) {
        for value in (self.keys_of)(old) {
            if let Some(keys) = self.entries.get_mut(&value) {
                keys.remove(key);
                if keys.is_empty() {
                    self.entries.remove(&value);
                }
            }
        }
    }
}

impl<K: kube::Resource> Store<K> {
    /// A store filled with `objects` and synced, for tests of code that reads stores.
    pub fn of(objects: impl IntoIterator<Item = K>) -> Self {
        let store = Self::default();
        for object in objects {
            store.insert(Key::of(&object), Arc::new(object));
        }
        store.mark_synced();
        store
    }
}
