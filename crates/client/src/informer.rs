//! Lists and watches one kind, keeps a [`Store`] true to it, and tells handlers of each change.
//!
//! Handlers run on the informer's own task: they must only take notes (put keys into a queue), never wait.
//! After any failure it resumes or relists by itself, and a relist reports the differences as changes.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use base::backoff::Backoff;
use futures::StreamExt;
use futures::stream::BoxStream;
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::store::{Key, Store};

/// Between tries of a failed list or watch.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// One change of an object, as seen by the informer.
#[derive(Debug)]
pub enum Delta<'a, K> {
    /// The object is new to this informer.
    Added(&'a Arc<K>),
    /// The object has another resourceVersion than before.
    Updated {
        /// Before.
        old: &'a Arc<K>,
        /// Now.
        new: &'a Arc<K>,
    },
    /// The object is gone; its last known state.
    Deleted(&'a Arc<K>),
}

impl<'a, K> Delta<'a, K> {
    /// The newest state that is known.
    pub fn object(&self) -> &'a Arc<K> {
        match self {
            Self::Added(object) | Self::Deleted(object) | Self::Updated { new: object, .. } => {
                object
            }
        }
    }

    /// The state before, where there was one and the object still is.
    pub fn old(&self) -> Option<&'a Arc<K>> {
        match self {
            Self::Updated { old, .. } => Some(old),
            Self::Added(_) | Self::Deleted(_) => None,
        }
    }

    /// Whether the object is gone.
    pub fn is_deleted(&self) -> bool {
        matches!(self, Self::Deleted(_))
    }
}

type Handler<K> = Box<dyn Fn(&Delta<'_, K>) + Send + Sync>;
type Transform<K> = Box<dyn Fn(&mut K) + Send + Sync>;
type Events<K> = BoxStream<'static, Result<Event<K>, watcher::Error>>;

/// The task behind a [`Store`].
pub struct Informer<K> {
    name: String,
    events: Events<K>,
    store: Store<K>,
    handlers: Vec<Handler<K>>,
    transform: Option<Transform<K>>,
}

impl<K> Debug for Informer<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Informer")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The selection of a watch. Lists ask for the newest state, unpaged: servers answer that from their cache.
pub fn selection() -> watcher::Config {
    watcher::Config {
        page_size: None,
        ..watcher::Config::default()
    }
}

impl<K> Informer<K>
where
    K: kube::Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    /// Objects of `api`; with `PartialObjectMeta` as the kind, their metadata only.
    pub fn new(api: Api<K>) -> Self {
        Self::with(api, selection())
    }

    /// Whole objects of `api` that match `config`.
    pub fn with(api: Api<K>, config: watcher::Config) -> Self {
        let name = api.resource_url().to_owned();
        Self::from_events(name, watcher::watcher(api, config).boxed())
    }
}

impl<K: kube::Resource> Informer<K> {
    /// An informer over any source of events.
    pub fn from_events(name: String, events: Events<K>) -> Self {
        Self {
            name,
            events,
            store: Store::default(),
            handlers: Vec::new(),
            transform: None,
        }
    }

    /// Files objects in the store under the values of `keys_of`, for [`Store::by_index`].
    #[must_use]
    pub fn index(
        self,
        name: &'static str,
        keys_of: impl Fn(&K) -> Vec<String> + Send + Sync + 'static,
    ) -> Self {
        self.store.add_index(name, Arc::new(keys_of));
        self
    }

    /// Adds a handler. The store shows the change already when it is called.
    #[must_use]
    pub fn on(mut self, handler: impl Fn(&Delta<'_, K>) + Send + Sync + 'static) -> Self {
        self.add_handler(handler);
        self
    }

    /// Changes each object before it is kept, to drop what nobody reads.
    #[must_use]
    pub fn transform(mut self, transform: impl Fn(&mut K) + Send + Sync + 'static) -> Self {
        self.transform = Some(Box::new(transform));
        self
    }

    /// As [`Informer::on`], for an informer that several parts share.
    pub fn add_handler(&mut self, handler: impl Fn(&Delta<'_, K>) + Send + Sync + 'static) {
        self.handlers.push(Box::new(handler));
    }

    /// The view that this informer keeps.
    pub fn store(&self) -> Store<K> {
        self.store.clone()
    }

    /// Runs until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
        // The names of a list that is coming in; what is not among them at its end is gone.
        let mut listed: Option<BTreeSet<Key>> = None;
        loop {
            // Shutdown first: a stream of changes must not delay it.
            let event = tokio::select! { biased;
                () = stop.cancelled() => return,
                event = self.events.next() => event,
            };
            match event {
                Some(Ok(event)) => {
                    if !matches!(event, Event::Init) {
                        backoff.reset();
                    }
                    self.apply(event, &mut listed);
                }
                Some(Err(error)) => {
                    let wait = backoff.next_wait();
                    self.complain(&error);
                    tokio::select! { biased;
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(wait) => {}
                    }
                }
                None => {
                    tracing::error!(informer = %self.name, "the source of events ended");
                    return;
                }
            }
        }
    }

    fn complain(&self, error: &watcher::Error) {
        // The server keeps a short history; after a pause the list is simply made again.
        let is_expired = matches!(error, watcher::Error::WatchError(status) if status.code == 410);
        let error = base::report(error);
        if is_expired {
            tracing::info!(informer = %self.name, %error, "watch expired, listing again");
        } else {
            tracing::warn!(informer = %self.name, %error, "list or watch failed, trying again");
        }
    }

    fn apply(&self, event: Event<K>, listed: &mut Option<BTreeSet<Key>>) {
        match event {
            Event::Init => *listed = Some(BTreeSet::new()),
            Event::InitApply(object) => {
                if let Some(listed) = listed {
                    listed.insert(Key::of(&object));
                }
                self.upsert(object);
            }
            Event::InitDone => {
                if let Some(listed) = listed.take() {
                    for key in self.store.keys() {
                        if !listed.contains(&key) {
                            self.delete(&key, None);
                        }
                    }
                }
                self.store.mark_synced();
            }
            Event::Apply(object) => self.upsert(object),
            Event::Delete(object) => self.delete(&Key::of(&object), Some(object)),
        }
    }

    fn upsert(&self, mut object: K) {
        // Nobody here reads them, and they are half of many objects' size.
        object.meta_mut().managed_fields = None;
        if let Some(transform) = &self.transform {
            transform(&mut object);
        }
        let new = Arc::new(object);
        let old = self.store.insert(Key::of(new.as_ref()), new.clone());
        match &old {
            None => self.tell(&Delta::Added(&new)),
            Some(old) if old.meta().uid != new.meta().uid => {
                // The deletion of the former holder of the name was missed.
                self.tell(&Delta::Deleted(old));
                self.tell(&Delta::Added(&new));
            }
            Some(old) if old.resource_version() != new.resource_version() => {
                self.tell(&Delta::Updated { old, new: &new });
            }
            Some(_) => {}
        }
    }

    fn delete(&self, key: &Key, last: Option<K>) {
        let Some(old) = self.store.remove(key) else {
            return;
        };
        let last = last.map_or(old, Arc::new);
        self.tell(&Delta::Deleted(&last));
    }

    fn tell(&self, delta: &Delta<'_, K>) {
        for handler in &self.handlers {
            handler(delta);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::{StreamExt, stream};
    use http::{Request, Response, header};
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::Api;
    use kube::client::Body;
    use kube::core::PartialObjectMeta;
    use kube::runtime::watcher::Event;
    use parking_lot::Mutex;
    use tokio_util::sync::CancellationToken;

    use super::{Delta, Informer};

    fn object(name: &str, version: &str, uid: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.namespace = Some("ns".into());
        object.metadata.name = Some(name.into());
        object.metadata.uid = Some(uid.into());
        object.metadata.resource_version = Some(version.into());
        object
    }

    fn text(delta: &Delta<'_, ConfigMap>) -> String {
        let of = |o: &Arc<ConfigMap>| {
            format!(
                "{}@{}",
                o.metadata.name.clone().unwrap(),
                o.metadata.resource_version.clone().unwrap()
            )
        };
        match delta {
            Delta::Added(new) => format!("+{}", of(new)),
            Delta::Updated { old, new } => format!("{}>{}", of(old), of(new)),
            Delta::Deleted(old) => format!("-{}", of(old)),
        }
    }

    #[tokio::test]
    async fn a_relist_reports_the_differences() {
        let events = vec![
            Event::Init,
            Event::InitApply(object("a", "1", "ua")),
            Event::InitApply(object("b", "2", "ub")),
            Event::InitApply(object("c", "3", "uc")),
            Event::InitDone,
            Event::Apply(object("a", "4", "ua")),
            Event::Init,
            Event::InitApply(object("a", "4", "ua")),
            Event::InitApply(object("c", "7", "uc2")),
            Event::InitDone,
            Event::Delete(object("a", "8", "ua")),
        ];
        let seen = Arc::new(Mutex::new(Vec::new()));
        let notes = seen.clone();
        let informer = Informer::from_events("test".into(), stream::iter(events).map(Ok).boxed())
            .index("version", |o: &ConfigMap| {
                vec![o.metadata.resource_version.clone().unwrap()]
            })
            .on(move |delta| notes.lock().push(text(delta)));
        let store = informer.store();
        assert!(!store.is_synced());
        informer.run(CancellationToken::new()).await;
        store.synced().await;
        let expected = [
            "+a@1", "+b@2", "+c@3", "a@1>a@4", "-c@3", "+c@7", "-b@2", "-a@8",
        ];
        assert_eq!(*seen.lock(), expected);
        assert_eq!(store.len(), 1);
        assert_eq!(store.by_index("version", "7").len(), 1);
        assert!(store.by_index("version", "3").is_empty());
        assert!(store.get("ns", "c").is_some());
        assert!(store.list_namespace("other").is_empty());
    }

    /// The kind alone asks for metadata: whole objects of every kind would neither fit on the wire nor into memory.
    #[tokio::test]
    async fn of_a_partial_kind_only_the_metadata_is_asked_for() {
        const LIST: &str = r#"{"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
            "metadata": {"resourceVersion": "1"}, "items": []}"#;
        let (asked, stop) = (Arc::new(Mutex::new(Vec::new())), CancellationToken::new());
        let (notes, enough) = (asked.clone(), stop.clone());
        let server = tower::service_fn(move |request: Request<Body>| {
            let is_watch = request.uri().query().unwrap_or_default().contains("watch");
            let accept = request.headers()[header::ACCEPT].to_str().unwrap();
            notes.lock().push((is_watch, accept.to_owned()));
            if is_watch {
                enough.cancel();
            }
            let body = Body::from(Vec::from(if is_watch { "" } else { LIST }));
            async { Ok::<_, std::io::Error>(Response::new(body)) }
        });
        let api: Api<PartialObjectMeta<ConfigMap>> = Api::all(kube::Client::new(server, "ns"));
        Informer::new(api).run(stop).await;
        let asked = asked.lock();
        let of = |watch: bool| asked.iter().filter(move |(is_watch, _)| *is_watch == watch);
        assert!(of(false).count() > 0 && of(true).count() > 0, "{asked:?}");
        for (_, accept) in of(false) {
            assert!(accept.contains("as=PartialObjectMetadataList"), "{accept}");
        }
        for (_, accept) in of(true) {
            assert!(accept.contains("as=PartialObjectMetadata"), "{accept}");
        }
    }
}
