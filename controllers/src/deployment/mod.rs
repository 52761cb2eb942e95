//! Rolls a Deployment's template out through ReplicaSets. `plan` decides over working copies, `act` writes the differences.
//!
//! It never touches pods: it only sizes, makes and removes ReplicaSets. Rollback is `kubectl rollout undo`'s way, by
//! the template; the rollback annotation of long gone API versions is not served.

mod act;
mod plan;

use std::sync::Arc;

use client::store::Key;
use client::{Delta, Queue, Store};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use self::act::Controller;
use crate::driver::{Builder, Part, all_of, enqueue};
use crate::informers::BY_OWNER;
use crate::owners::controller_of;
use crate::replicaset::resolve;

/// Adds the controller.
pub(crate) fn build(builder: &mut Builder) {
    let recorder = builder.recorder("deployment-controller");
    let queue = Queue::new();
    let deployments = builder.informers.deployments();
    deployments.add_handler(enqueue(&queue));
    let deployments = deployments.store();
    let sets = builder.informers.replica_sets().store();
    let pods = builder.informers.pods().store();
    let watcher = Arc::new(Watcher {
        queue: queue.clone(),
        deployments: deployments.clone(),
        sets: sets.clone(),
        pods: pods.clone(),
    });
    let on_set = watcher.clone();
    builder
        .informers
        .replica_sets()
        .add_handler(move |delta| on_set.set(delta));
    builder
        .informers
        .pods()
        .add_handler(move |delta| watcher.pod(delta));
    let client = builder.client.clone();
    builder.part(Part {
        name: "deployment-controller",
        queue,
        workers: 5,
        all: all_of(&deployments),
        reconciler: Arc::new(Controller {
            client,
            recorder,
            deployments,
            sets,
            pods,
        }),
    });
}

/// Wakes Deployments when something of theirs changes.
struct Watcher {
    queue: Queue<Key>,
    deployments: Store<Deployment>,
    sets: Store<ReplicaSet>,
    pods: Store<Pod>,
}

impl Watcher {
    fn set(&self, delta: &Delta<'_, ReplicaSet>) {
        let new = &delta.object().metadata;
        let old = delta.old().map(|old| &old.metadata);
        for meta in std::iter::once(new).chain(old) {
            if let Some(deployment) = self.owner_of(meta) {
                self.queue.add(Key::of(deployment.as_ref()));
            }
        }
        if controller_of(new).is_none() && !delta.is_deleted() {
            let labels = new.labels.clone().unwrap_or_default();
            for deployment in self
                .deployments
                .list_namespace(new.namespace.as_deref().unwrap_or_default())
            {
                if plan::selects(&deployment, &labels) {
                    self.queue.add(Key::of(deployment.as_ref()));
                }
            }
        }
    }

    /// Only Recreate waits for pods: for the last old one to be gone.
    fn pod(&self, delta: &Delta<'_, Pod>) {
        let pod = delta.object();
        let is_over = delta.is_deleted() || crate::pods::is_finished(pod);
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let Some(reference) = controller_of(&pod.metadata).filter(|_| is_over) else {
            return;
        };
        let Some(set) = resolve(&self.sets, namespace, reference) else {
            return;
        };
        let Some(deployment) = self.owner_of(&set.metadata) else {
            return;
        };
        let sets = self
            .sets
            .by_index(BY_OWNER, &deployment.uid().unwrap_or_default());
        let is_last = sets.iter().all(|set| {
            let pods = self.pods.by_index(BY_OWNER, &set.uid().unwrap_or_default());
            pods.iter().all(|pod| crate::pods::is_finished(pod))
        });
        if plan::is_recreate(&deployment) && is_last {
            self.queue.add(Key::of(deployment.as_ref()));
        }
    }

    fn owner_of(&self, meta: &ObjectMeta) -> Option<Arc<Deployment>> {
        let reference = controller_of(meta).filter(|owner| owner.kind == "Deployment")?;
        let namespace = meta.namespace.as_deref()?;
        let found = self.deployments.get(namespace, &reference.name)?;
        (found.uid().as_ref() == Some(&reference.uid)).then_some(found)
    }
}
