//! One worker for each pod: started when the pod is first seen, ended when nothing of it is left.

use std::collections::HashMap;
use std::sync::Arc;

use base::Tasks;
use client::Delta;
use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::context::Context;
use super::spec::PodId;
use super::worker::{Desired, Worker};

/// The workers. Bounded by the pods that the api-server assigns to the node.
#[derive(Clone)]
pub(super) struct Workers {
    context: Arc<Context>,
    tasks: Tasks,
    by_uid: Arc<Mutex<HashMap<String, Handle>>>,
}

struct Handle {
    desired: watch::Sender<Desired>,
    poke: Arc<Notify>,
}

impl Workers {
    pub(super) fn new(context: Arc<Context>, tasks: Tasks) -> Self {
        Self {
            context,
            tasks,
            by_uid: Arc::default(),
        }
    }

    /// Takes a change of the pods of this node. Never waits.
    pub(super) fn take(&self, delta: &Delta<'_, Pod>) {
        let pod = delta.object();
        let desired = if delta.is_deleted() {
            Desired::Gone
        } else {
            Desired::Pod((*pod).clone())
        };
        self.set(PodId::of(pod), desired);
    }

    /// Something of the pod changed on the node. False if no worker knows the pod.
    pub(super) fn poke(&self, uid: &str) -> bool {
        let workers = self.by_uid.lock();
        let Some(handle) = workers.get(uid) else {
            return false;
        };
        handle.poke.notify_one();
        true
    }

    /// Removes what the runtime holds of a pod that the api-server does not know.
    pub(super) fn remove_orphan(&self, id: PodId) {
        tracing::info!(pod = %id, uid = %id.uid, "removing a pod that is not assigned to this node");
        self.set(id, Desired::Gone);
    }

    /// The pods that have a worker.
    pub(super) fn pods(&self) -> Vec<Arc<Pod>> {
        let workers = self.by_uid.lock();
        let pod = |handle: &Handle| match &*handle.desired.borrow() {
            Desired::Pod(pod) => Some(pod.clone()),
            Desired::Gone => None,
        };
        workers.values().filter_map(pod).collect()
    }

    /// The pod of that name.
    pub(super) fn pod(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        let is_it = |pod: &Arc<Pod>| {
            pod.metadata.namespace.as_deref() == Some(namespace)
                && pod.metadata.name.as_deref() == Some(name)
        };
        // Of two with one name, the one that is not on its way out.
        self.pods()
            .into_iter()
            .filter(is_it)
            .min_by_key(|pod| pod.metadata.deletion_timestamp.is_some())
    }

    fn set(&self, id: PodId, desired: Desired) {
        let mut workers = self.by_uid.lock();
        // A worker that died of a fault of ours is replaced.
        if let Some(handle) = workers.get(&id.uid).filter(|h| !h.desired.is_closed()) {
            handle.desired.send_replace(desired);
            return;
        }
        let (sender, receiver) = watch::channel(desired);
        let poke = Arc::new(Notify::new());
        let uid = id.uid.clone();
        workers.insert(
            uid.clone(),
            Handle {
                desired: sender,
                poke: poke.clone(),
            },
        );
        let worker = Worker::new(self.context.clone(), id, receiver, poke);
        let (all, stop) = (self.clone(), self.tasks.stop().clone());
        self.tasks.spawn("pod", base::OnError::Log, async move {
            if worker.run(stop).await {
                all.by_uid.lock().remove(&uid);
            }
            Ok::<(), std::convert::Infallible>(())
        });
    }
}
