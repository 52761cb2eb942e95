//! Takes the tracking finalizer off pods that have lost their Job: nobody will count them, and it would keep them for ever.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use client::store::Key;
use client::{Client, Queue, Store};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::Patch;
use serde_json::json;

use super::plan::{self, Fate};
use crate::act;
use crate::driver::{After, Builder, Part, Reconciler};
use crate::error::{Result, is_not_found};

/// A Job that is about to adopt a pod may itself be gone before it does.
const ADOPTION_WAIT: Duration = Duration::from_secs(30);

struct Controller {
    client: Client,
    jobs: Store<Job>,
    pods: Store<Pod>,
}

/// Adds the workers. The keys of `queue` are those of pods.
pub(super) fn build(builder: &mut Builder, queue: Queue<Key>, jobs: Store<Job>, pods: Store<Pod>) {
    let (all, client) = (pods.clone(), builder.client.clone());
    builder.part(Part {
        name: "job-orphan-pods",
        queue,
        workers: 1,
        all: Box::new(move || {
            let lost = |pod: &&Arc<Pod>| plan::fate(pod, &[]) == Fate::Lost;
            let all = all.list();
            let lost = all.iter().filter(lost);
            lost.map(|pod| Key::of(pod.as_ref())).collect()
        }),
        reconciler: Arc::new(Controller { client, jobs, pods }),
    });
}

#[async_trait]
impl Reconciler for Controller {
    async fn reconcile(&self, key: &Key) -> Result<After> {
        let Some(pod) = self.pods.at(key) else {
            return Ok(After::Done);
        };
        match plan::fate(&pod, &self.jobs.list_namespace(&key.namespace)) {
            Fate::Settled => return Ok(After::Done),
            Fate::Claimed => return Ok(After::Again(ADOPTION_WAIT)),
            Fate::Lost => {}
        }
        let mut patch = plan::uncount(&pod);
        // Only as it was seen: a Job may have taken it since, and counts on the finalizer.
        patch["metadata"]["resourceVersion"] = json!(pod.metadata.resource_version);
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        match api
            .patch(&key.name, &act::patch(), &Patch::Strategic(patch))
            .await
        {
            Ok(_) => Ok(After::Done),
            Err(error) if is_not_found(&error) => Ok(After::Done),
            Err(error) => Err(error.into()),
        }
    }
}
