//! Deletes pods from nodes with NoExecute taints that they do not tolerate, or no longer.
//!
//! How long a toleration has lasted follows from times in the objects, so that a change of leader loses and prolongs
//! nothing. What they do not tell (a taint without a time, or swapped for another) is remembered as long as this leads.

mod plan;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use client::events::{Recorder, Type};
use client::store::Key;
use client::{Client, Queue, Store};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::Patch;
use kube::{Api, ResourceExt};
use parking_lot::Mutex;
use serde_json::json;

use self::plan::{Clock, Verdict};
use crate::act;
use crate::driver::{After, Builder, Part, Reconciler, all_of, enqueue};
use crate::error::{Result, is_conflict, is_not_found};
use crate::informers::BY_NODE;
use crate::pods;

struct Controller {
    client: Client,
    recorder: Recorder,
    nodes: Store<Node>,
    pods: Store<Pod>,
    clocks: Mutex<Clocks>,
}

/// The clocks of pods under taints, with the pod's uid.
type Clocks = HashMap<Key, (Option<String>, Vec<Clock>)>;

/// Adds the controller.
pub(crate) fn build(builder: &mut Builder) {
    let recorder = builder.recorder("taint-eviction-controller");
    let queue = Queue::new();
    let pods = builder.informers.pods();
    pods.add_handler(enqueue(&queue));
    let pods = pods.store();
    let (wake, of) = (queue.clone(), pods.clone());
    let nodes = builder.informers.nodes();
    nodes.add_handler(move |delta| {
        let node = delta.object();
        let is_same = delta
            .old()
            .is_some_and(|old| plan::taints(old) == plan::taints(node));
        if !is_same && !plan::taints(node).is_empty() {
            let pods = of.by_index(BY_NODE, &node.name_any());
            pods.iter().for_each(|pod| wake.add(Key::of(pod.as_ref())));
        }
    });
    let nodes = nodes.store();
    builder.part(Part {
        name: "taint-eviction-controller",
        queue,
        workers: 8,
        all: all_of(&pods),
        reconciler: Arc::new(Controller {
            client: builder.client.clone(),
            recorder,
            nodes,
            pods,
            clocks: Mutex::default(),
        }),
    });
}

#[async_trait]
impl Reconciler for Controller {
    async fn reconcile(&self, key: &Key) -> Result<After> {
        let pod = self.pods.at(key);
        let node = pod
            .as_deref()
            .and_then(|pod| self.nodes.get("", pods::node(pod)));
        let (Some(pod), Some(node)) = (pod, node) else {
            self.clocks.lock().remove(key);
            return Ok(After::Done);
        };
        match self.verdict(key, &pod, &node) {
            Verdict::Stay => Ok(After::Done),
            Verdict::Wait(rest) => Ok(After::Again(rest)),
            Verdict::Evict => self.evict(key, &pod).await,
        }
    }
}

impl Controller {
    /// The verdict, with the clocks of the pod kept for the next one.
    fn verdict(&self, key: &Key, pod: &Pod, node: &Node) -> Verdict {
        let mut all = self.clocks.lock();
        let known = all.get(key).filter(|(uid, _)| *uid == pod.metadata.uid);
        let known = known.map_or(&[][..], |(_, clocks)| clocks.as_slice());
        let (verdict, clocks) = plan::verdict(pod, node, known, Timestamp::now());
        if clocks.is_empty() {
            all.remove(key);
        } else {
            all.insert(key.clone(), (pod.metadata.uid.clone(), clocks));
        }
        verdict
    }

    async fn evict(&self, key: &Key, pod: &Pod) -> Result<After> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let text = format!("Marking for deletion Pod {key}");
        self.recorder
            .event(pod, Type::Normal, "TaintManagerEviction", text);
        let patch = json!({
            "metadata": { "uid": pod.metadata.uid },
            "status": { "conditions": [{
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "DeletionByTaintManager",
                "message": "Taint manager: deleting due to NoExecute taint",
                "lastTransitionTime": client::times::now(),
            }] },
        });
        let patched = api
            .patch_status(&key.name, &act::patch(), &Patch::Strategic(patch))
            .await;
        match patched {
            Ok(_) => {}
            Err(error) if is_not_found(&error) => return Ok(After::Done),
            Err(error) => return Err(error.into()),
        }
        match api
            .delete(&key.name, &act::delete_exactly(pod.metadata.uid.as_deref()))
            .await
        {
            Ok(_) => Ok(After::Done),
            Err(error) if is_not_found(&error) || is_conflict(&error) => Ok(After::Done),
            Err(error) => Err(error.into()),
        }
    }
}
