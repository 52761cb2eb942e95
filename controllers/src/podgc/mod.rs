//! Deletes pods that nobody else will: those of nodes that are gone or switched off, those that were deleted before they
//! were bound, and the oldest finished ones beyond a limit.
//!
//! A pod that cannot be deleted holds up no other: it is told, and comes again in the next round.

mod plan;

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use client::store::Key;
use client::{Client, Queue, Store};
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, Patch};
use kube::{Api, ResourceExt};
use parking_lot::Mutex;
use tokio::time::Instant;

use self::plan::{Doomed, Why};
use crate::act;
use crate::driver::{After, Builder, Part, Reconciler};
use crate::error::{Error, Result, is_conflict, is_not_found};
use crate::options::Options;

/// Between two rounds, as upstream's.
const ROUND_EVERY: Duration = Duration::from_secs(20);
/// A node must have been missing for this long: its pods are not forced away over a hiccup.
const QUARANTINE: Duration = Duration::from_secs(40);
/// Pods that are removed at one time.
const PARALLEL: usize = 10;

struct Controller {
    client: Client,
    options: Arc<Options>,
    nodes: Store<Node>,
    pods: Store<Pod>,
    missing: Mutex<HashMap<String, Instant>>,
}

/// Adds the controller. It works in rounds: its queue holds one key.
pub(crate) fn build(builder: &mut Builder) {
    let queue = Queue::new();
    let round = Key::new("", "round");
    queue.add(round.clone());
    let nodes = builder.informers.nodes().store();
    let pods = builder.informers.pods().store();
    builder.part(Part {
        name: "pod-garbage-collector-controller",
        queue,
        workers: 1,
        all: Box::new(move || vec![round.clone()]),
        reconciler: Arc::new(Controller {
            client: builder.client.clone(),
            options: builder.options.clone(),
            nodes,
            pods,
            missing: Mutex::default(),
        }),
    });
}

#[async_trait]
impl Reconciler for Controller {
    async fn reconcile(&self, _: &Key) -> Result<After> {
        let all = self.pods.list();
        let node = |name: &str| self.nodes.get("", name);
        let mut doomed = plan::doomed(&all, self.options.terminated_pods_max, node);
        for (node, pods) in plan::orphans(&all, |name| node(name).is_some()) {
            match self.is_gone(&node).await {
                Ok(true) => doomed.extend(pods.into_iter().map(|pod| Doomed {
                    pod,
                    why: Why::NodeGone,
                })),
                Ok(false) => {}
                Err(error) => complain(&node, &error),
            }
        }
        let failed = each(doomed, |one| async move {
            let key = Key::of(one.pod.as_ref());
            self.remove(&one).await.map_err(|error| (key, error))
        });
        for (pod, error) in failed.await {
            complain(&pod, &error);
        }
        self.missing
            .lock()
            .retain(|node, _| self.nodes.get("", node).is_none());
        Ok(After::Again(ROUND_EVERY))
    }
}

/// Tries every one, a few at a time. What failed.
async fn each<T, E, F>(all: Vec<T>, act: impl Fn(T) -> F) -> Vec<E>
where
    F: Future<Output = Result<(), E>>,
{
    let acts = futures::stream::iter(all.into_iter().map(act)).buffer_unordered(PARALLEL);
    acts.filter_map(async |result| result.err()).collect().await
}

fn complain(what: &impl Display, error: &Error) {
    let error = base::report(error);
    tracing::warn!(%what, %error, "not collected, trying again in the next round");
}

impl Controller {
    /// Whether the node has been missing for long enough, and the server says so too.
    async fn is_gone(&self, node: &str) -> Result<bool> {
        let since = *self
            .missing
            .lock()
            .entry(node.to_owned())
            .or_insert_with(Instant::now);
        if since.elapsed() < QUARANTINE {
            return Ok(false);
        }
        let api: Api<Node> = Api::all(self.client.clone());
        Ok(api.get_metadata_opt(node).await?.is_none())
    }

    async fn remove(&self, doomed: &Doomed) -> Result<()> {
        let Some(patch) = plan::last_words(doomed, Timestamp::now()) else {
            return self.delete(&doomed.pod).await;
        };
        let namespace = doomed.pod.namespace().unwrap_or_default();
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        match api
            .patch_status(
                &doomed.pod.name_any(),
                &act::patch(),
                &Patch::Strategic(patch),
            )
            .await
        {
            Ok(_) => self.delete(&doomed.pod).await,
            // Gone, or another pod of the name by now.
            Err(kube::Error::Api(s)) if s.is_not_found() || s.is_conflict() || s.is_invalid() => {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn delete(&self, pod: &Pod) -> Result<()> {
        let api: Api<Pod> =
            Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        let params = DeleteParams {
            // No kubelet is there to confirm.
            grace_period_seconds: Some(0),
            ..act::delete_exactly(pod.metadata.uid.as_deref())
        };
        match api.delete(&pod.name_any(), &params).await {
            Ok(_) => Ok(()),
            Err(error) if is_not_found(&error) || is_conflict(&error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PARALLEL, each};

    #[tokio::test]
    async fn one_that_cannot_be_collected_holds_up_no_other() {
        // More than are tried at one time.
        let all: Vec<usize> = (0..PARALLEL * 3).collect();
        let mut failed = each(all.clone(), async |one| Err::<(), usize>(one)).await;
        failed.sort_unstable();
        assert_eq!(failed, all);
    }
}
