//! Keeps as many pods as a ReplicaSet asks for. `plan` decides, `act` writes; here are the watches.
//!
//! It never creates or deletes while its view lacks pods that it created or deletions that it asked for (expectations).

mod act;
mod plan;

use std::sync::Arc;

use client::expectations::Expectations;
use client::store::Key;
use client::{Delta, Queue, Store};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::ResourceExt;

use self::act::Controller;
use crate::driver::{Builder, Part, all_of};
use crate::owners::controller_of;
use crate::pods;

/// Adds the controller.
pub(crate) fn build(builder: &mut Builder) {
    let recorder = builder.recorder("replicaset-controller");
    let queue = Queue::new();
    let expectations = Arc::new(Expectations::new());
    let (wake, forget) = (queue.clone(), expectations.clone());
    let sets = builder.informers.replica_sets();
    sets.add_handler(move |delta| {
        let key = Key::of(delta.object().as_ref());
        if delta.is_deleted() {
            forget.forget(&key);
        }
        wake.add(key);
    });
    let sets = sets.store();
    let watcher = Watcher {
        queue: queue.clone(),
        sets: sets.clone(),
        expectations: expectations.clone(),
    };
    let pods = builder.informers.pods();
    pods.add_handler(move |delta| watcher.pod(delta));
    let pods = pods.store();
    let client = builder.client.clone();
    builder.part(Part {
        name: "replicaset-controller",
        queue,
        workers: 5,
        all: all_of(&sets),
        reconciler: Arc::new(Controller {
            client,
            recorder,
            sets,
            pods,
            expectations,
        }),
    });
}

/// Wakes the owners of changed pods, and notes what was expected.
struct Watcher {
    queue: Queue<Key>,
    sets: Store<ReplicaSet>,
    expectations: Arc<Expectations>,
}

impl Watcher {
    fn pod(&self, delta: &Delta<'_, Pod>) {
        let new = delta.object().as_ref();
        match delta {
            Delta::Deleted(pod) => self.gone(pod),
            _ if pods::is_terminating(new) => self.gone(new),
            Delta::Added(_) => match self.owner_of(&new.metadata) {
                Some(key) => {
                    self.expectations.saw_creation(&key);
                    self.queue.add(key);
                }
                None => self.orphan(&new.metadata),
            },
            Delta::Updated { old, .. } => self.changed(old, new),
        }
    }

    fn changed(&self, old: &Pod, new: &Pod) {
        let is_same_owner = controller_of(&old.metadata) == controller_of(&new.metadata);
        if !is_same_owner && let Some(key) = self.owner_of(&old.metadata) {
            self.queue.add(key);
        }
        if let Some(key) = self.owner_of(&new.metadata) {
            self.queue.add(key);
        } else if !is_same_owner || old.metadata.labels != new.metadata.labels {
            self.orphan(&new.metadata);
        }
    }

    fn gone(&self, pod: &Pod) {
        if let Some(key) = self.owner_of(&pod.metadata) {
            self.expectations
                .saw_deletion(&key, pod.metadata.uid.as_deref().unwrap_or_default());
            self.queue.add(key);
        }
    }

    fn owner_of(&self, meta: &ObjectMeta) -> Option<Key> {
        let namespace = meta.namespace.as_deref()?;
        resolve(&self.sets, namespace, controller_of(meta)?).map(|set| Key::of(set.as_ref()))
    }

    /// A pod without a controller wakes whoever might adopt it.
    fn orphan(&self, meta: &ObjectMeta) {
        if controller_of(meta).is_some() {
            return;
        }
        let labels = meta.labels.clone().unwrap_or_default();
        for set in self
            .sets
            .list_namespace(meta.namespace.as_deref().unwrap_or_default())
        {
            if plan::selects(&set, &labels) {
                self.queue.add(Key::of(set.as_ref()));
            }
        }
    }
}

/// The ReplicaSet that a reference names, if it is still the same object.
pub(crate) fn resolve(
    sets: &Store<ReplicaSet>,
    namespace: &str,
    reference: &OwnerReference,
) -> Option<Arc<ReplicaSet>> {
    if reference.kind != "ReplicaSet" {
        return None;
    }
    sets.get(namespace, &reference.name)
        .filter(|set| set.uid().as_ref() == Some(&reference.uid))
}
