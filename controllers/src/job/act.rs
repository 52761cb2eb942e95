//! Carries out the plans of the Job controller, in the order that makes counting exact: status, finalizers, pods.

use std::sync::Arc;

use async_trait::async_trait;
use client::events::{Recorder, Type};
use client::expectations::Expectations;
use client::store::Key;
use client::{Client, Store};
use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::Patch;
use kube::{Api, ResourceExt};
use serde_json::Value;

use super::plan::{self, FINALIZER, Plan};
use crate::act;
use crate::driver::{After, Reconciler};
use crate::error::{Error, Result, is_conflict, is_namespace_terminating, is_not_found, message};
use crate::informers::{BY_OWNER, orphans};
use crate::owners::{self, Claim, controller_of};

/// The first batch of creations; each batch that succeeds doubles the next.
const FIRST_BATCH: usize = 1;

pub(super) struct Controller {
    pub(super) client: Client,
    pub(super) recorder: Recorder,
    pub(super) jobs: Store<Job>,
    pub(super) pods: Store<Pod>,
    pub(super) expectations: Arc<Expectations>,
}

#[async_trait]
impl Reconciler for Controller {
    async fn reconcile(&self, key: &Key) -> Result<After> {
        let job = self.jobs.at(key);
        self.release_strays(key, job.as_deref()).await?;
        let Some(job) = job else {
            self.expectations.forget(key);
            return Ok(After::Done);
        };
        let manager = job
            .spec
            .as_ref()
            .and_then(|spec| spec.managed_by.as_deref());
        if manager.is_some_and(|manager| manager != "kubernetes.io/job-controller") {
            return Ok(After::Done);
        }
        if let Some(field) = plan::unsupported(&job) {
            let text =
                format!("This control plane does not support {field} yet; the Job is not run");
            self.recorder
                .event(job.as_ref(), Type::Warning, "Unsupported", text);
            return Ok(After::Done);
        }
        let pods = self.claim(key, &job).await?;
        let plan = plan::plan(&job, &pods, self.expectations.met(key), Timestamp::now());
        self.carry_out(key, &job, plan).await
    }
}

impl Controller {
    fn pods_api(&self, key: &Key) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &key.namespace)
    }

    /// Pods of a former Job of the name keep the finalizer that nobody would take off.
    async fn release_strays(&self, key: &Key, job: Option<&Job>) -> Result<()> {
        let uid = job.and_then(|job| job.metadata.uid.as_ref());
        let strays = self
            .pods
            .list_namespace(&key.namespace)
            .into_iter()
            .filter(|pod| {
                let owner = controller_of(&pod.metadata);
                owner.is_some_and(|owner| {
                    owner.kind == "Job" && owner.name == key.name && Some(&owner.uid) != uid
                })
            });
        for pod in strays {
            self.release(key, &pod).await?;
        }
        Ok(())
    }

    async fn claim(&self, key: &Key, job: &Job) -> Result<Vec<Arc<Pod>>> {
        let uid = job.uid().unwrap_or_default();
        let mut candidates = self.pods.by_index(BY_OWNER, &uid);
        candidates.extend(self.pods.by_index(BY_OWNER, &orphans(&key.namespace)));
        let (mut own, mut is_checked) = (Vec::new(), false);
        for pod in candidates {
            match plan::claim(job, &pod) {
                Claim::Keep => own.push(pod),
                Claim::Adopt => {
                    if !is_checked {
                        self.check_alive(key, job).await?;
                        is_checked = true;
                    }
                    let patched = self.patch(key, &pod, plan::adopt(job, &pod)).await?;
                    own.push(Arc::new(patched));
                }
                Claim::Release => self.try_patch(key, &pod, plan::release(job, &pod)).await?,
                Claim::Ignore => {}
            }
        }
        Ok(own)
    }

    /// The cache may not know yet that the Job is going away; an adopted pod would be deleted with it.
    async fn check_alive(&self, key: &Key, job: &Job) -> Result<()> {
        let api: Api<Job> = Api::namespaced(self.client.clone(), &key.namespace);
        let fresh = api.get(&key.name).await?;
        if !owners::is_alive(&job.metadata, &fresh.metadata) {
            return Err(Error::Unready(format!("Job {key} is going away")));
        }
        Ok(())
    }

    async fn patch(&self, key: &Key, pod: &Pod, patch: Value) -> Result<Pod, kube::Error> {
        let (name, patch) = (pod.name_any(), Patch::Strategic(patch));
        self.pods_api(key).patch(&name, &act::patch(), &patch).await
    }

    /// As [`Self::patch`], where a pod that is gone needs none.
    async fn try_patch(&self, key: &Key, pod: &Pod, patch: Value) -> Result<()> {
        match self.patch(key, pod, patch).await {
            Ok(_) => Ok(()),
            // Gone, or another pod of the name by now.
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_invalid() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn carry_out(&self, key: &Key, job: &Job, plan: Plan) -> Result<After> {
        if !is_same(job, &plan) {
            let api: Api<Job> = Api::namespaced(self.client.clone(), &key.namespace);
            let mut job = job.clone();
            job.status = Some(plan.status);
            api.replace_status(&key.name, &act::write(), &job).await?;
            for (kind, reason, text) in plan.events {
                self.recorder.event(&job, kind, &reason, text);
            }
        }
        let released = plan.release.iter().map(|pod| self.release(key, pod));
        for result in join_all(released).await {
            result?;
        }
        let deletions = plan.delete.iter().filter_map(|pod| pod.uid());
        if plan.is_expected && (!plan.delete.is_empty() || !plan.create.is_empty()) {
            self.expectations.expect(key, plan.create.len(), deletions);
        }
        let deleted = plan.delete.iter().map(|pod| self.delete(key, job, pod));
        let failed = join_all(deleted)
            .await
            .into_iter()
            .find_map(std::result::Result::err);
        let failed = self.create(key, job, plan.create).await.or(failed);
        if let Some(error) = failed {
            return Err(Error::Api(error));
        }
        Ok(plan.again.map_or(After::Done, After::Again))
    }

    /// Takes the finalizer off exactly this pod.
    async fn release(&self, key: &Key, pod: &Pod) -> Result<()> {
        if !pod.finalizers().iter().any(|name| name == FINALIZER) {
            return Ok(());
        }
        self.try_patch(key, pod, plan::uncount(pod)).await
    }

    async fn delete(&self, key: &Key, job: &Job, pod: &Pod) -> Result<(), kube::Error> {
        let (name, uid) = (pod.name_any(), pod.uid().unwrap_or_default());
        match self
            .pods_api(key)
            .delete(&name, &act::delete_exactly(Some(&uid)))
            .await
        {
            Ok(_) => {
                let text = format!("Deleted pod: {name}");
                self.recorder
                    .event(job, Type::Normal, "SuccessfulDelete", text);
                Ok(())
            }
            Err(error) => {
                self.expectations.saw_deletion(key, &uid);
                if is_not_found(&error) || is_conflict(&error) {
                    Ok(())
                } else {
                    Err(error)
                }
            }
        }
    }

    async fn create(&self, key: &Key, job: &Job, pods: Vec<Pod>) -> Option<kube::Error> {
        let (mut rest, mut batch, mut failed) = (pods.as_slice(), FIRST_BATCH, None);
        while !rest.is_empty() && failed.is_none() {
            let (now, later) = rest.split_at(batch.min(rest.len()));
            for result in join_all(now.iter().map(|pod| self.create_one(key, job, pod))).await {
                if let Err(error) = result {
                    self.expectations.saw_creation(key);
                    failed.get_or_insert(error);
                }
            }
            (rest, batch) = (later, batch * 2);
        }
        // Those that were not tried will not be seen.
        rest.iter()
            .for_each(|_| self.expectations.saw_creation(key));
        failed.filter(|error| !is_namespace_terminating(error))
    }

    async fn create_one(&self, key: &Key, job: &Job, pod: &Pod) -> Result<(), kube::Error> {
        match self.pods_api(key).create(&act::write(), pod).await {
            Ok(pod) => {
                let text = format!("Created pod: {}", pod.name_any());
                self.recorder
                    .event(job, Type::Normal, "SuccessfulCreate", text);
                Ok(())
            }
            Err(error) => {
                if !is_namespace_terminating(&error) {
                    let text = format!("Error creating: {}", message(&error));
                    self.recorder
                        .event(job, Type::Warning, "FailedCreate", text);
                }
                Err(error)
            }
        }
    }
}

/// Whether the server has the status already; zero and absent numbers are the same.
fn is_same(job: &Job, plan: &Plan) -> bool {
    let plain = |status: &k8s_openapi::api::batch::v1::JobStatus| {
        let mut status = status.clone();
        for number in [
            &mut status.active,
            &mut status.succeeded,
            &mut status.failed,
        ] {
            *number = Some(number.unwrap_or(0));
        }
        status
    };
    plain(&job.status.clone().unwrap_or_default()) == plain(&plan.status)
}
