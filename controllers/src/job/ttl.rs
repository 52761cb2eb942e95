//! Deletes Jobs that have finished longer ago than their `ttlSecondsAfterFinished`, and with them their pods.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use client::store::Key;
use client::{Client, Queue, Store};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::api::{DeleteParams, PropagationPolicy};

use super::plan;
use crate::act;
use crate::driver::{After, Builder, Part, Reconciler, all_of, enqueue};
use crate::error::{Result, is_conflict, is_not_found};

struct Controller {
    client: Client,
    jobs: Store<Job>,
}

/// Adds the controller.
pub(crate) fn build(builder: &mut Builder) {
    let queue = Queue::new();
    let jobs = builder.informers.jobs();
    jobs.add_handler(enqueue(&queue));
    let jobs = jobs.store();
    builder.part(Part {
        name: "ttl-after-finished-controller",
        queue,
        workers: 2,
        all: all_of(&jobs),
        reconciler: Arc::new(Controller {
            client: builder.client.clone(),
            jobs,
        }),
    });
}

/// How much longer the job stays; None if it stays for good.
fn rest(job: &Job, now: Timestamp) -> Option<Duration> {
    let ttl = job.spec.as_ref()?.ttl_seconds_after_finished?;
    let finished = plan::finished(job)?.last_transition_time.as_ref()?;
    if job.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let ttl = Duration::from_secs(u64::try_from(ttl).unwrap_or(0));
    Some(ttl.saturating_sub(client::times::between(finished.0, now)))
}

#[async_trait]
impl Reconciler for Controller {
    async fn reconcile(&self, key: &Key) -> Result<After> {
        let Some(job) = self.jobs.at(key) else {
            return Ok(After::Done);
        };
        match rest(&job, Timestamp::now()) {
            None => return Ok(After::Done),
            Some(rest) if !rest.is_zero() => return Ok(After::Again(rest)),
            Some(_) => {}
        }
        // The cache may show a time to live that has been prolonged since.
        let api: Api<Job> = Api::namespaced(self.client.clone(), &key.namespace);
        let Some(fresh) = api.get_opt(&key.name).await? else {
            return Ok(After::Done);
        };
        if rest(&fresh, Timestamp::now()).is_none_or(|rest| !rest.is_zero()) {
            return Ok(After::Done);
        }
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Foreground),
            ..act::delete_exactly(fresh.metadata.uid.as_deref())
        };
        match api.delete(&key.name, &params).await {
            Ok(_) => Ok(After::Done),
            Err(error) if is_not_found(&error) || is_conflict(&error) => Ok(After::Done),
            Err(error) => Err(error.into()),
        }
    }
}
