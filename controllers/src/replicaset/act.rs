//! Carries out the plans of the ReplicaSet controller.

use std::sync::Arc;

use async_trait::async_trait;
use client::events::{Recorder, Type};
use client::expectations::Expectations;
use client::store::Key;
use client::{Client, Store};
use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::Patch;
use kube::{Api, ResourceExt};

use super::plan::{self, Claims, Failure, Scale};
use crate::act;
use crate::driver::{After, Reconciler};
use crate::error::{Error, Result, is_namespace_terminating, is_not_found, message};
use crate::informers::{BY_OWNER, orphans};
use crate::owners::{adoption, controller_of, controller_reference, is_alive, release};

/// The first batch of creations; each batch that succeeds doubles the next, so that creations that would all fail (a
/// quota, a webhook) fail once and not five hundred times.
const FIRST_BATCH: usize = 1;

pub(super) struct Controller {
    pub(super) client: Client,
    pub(super) recorder: Recorder,
    pub(super) sets: Store<ReplicaSet>,
    pub(super) pods: Store<Pod>,
    pub(super) expectations: Arc<Expectations>,
}

#[async_trait]
impl Reconciler for Controller {
    async fn reconcile(&self, key: &Key) -> Result<After> {
        let Some(set) = self.sets.at(key) else {
            self.expectations.forget(key);
            return Ok(After::Done);
        };
        let is_current = self.expectations.met(key);
        let uid = set.uid().unwrap_or_default();
        let mut candidates = self.pods.by_index(BY_OWNER, &uid);
        candidates.extend(self.pods.by_index(BY_OWNER, &orphans(&key.namespace)));
        let claims = plan::claim(&set, &plan::selector(&set)?, candidates);
        self.adopt(&set, &claims).await?;
        let now = Timestamp::now();
        let mut failure = None;
        if is_current && set.metadata.deletion_timestamp.is_none() {
            failure = match plan::scale(&set, &claims.active, &self.related(&set), now) {
                Scale::Keep => None,
                Scale::Create(count) => self.create(key, &set, count).await,
                Scale::Delete(pods) => self.delete(key, &set, pods).await,
            };
        }
        let now = Timestamp::now();
        let noted = failure.as_ref().map(|(failure, _)| failure);
        let status = plan::status(&set, &claims, noted, now);
        if !plan::is_same(&set.status.clone().unwrap_or_default(), &status) {
            let mut set = set.as_ref().clone();
            set.status = Some(status);
            self.sets_api(key)
                .replace_status(&key.name, &act::write(), &set)
                .await?;
        }
        if let Some((_, error)) = failure {
            return Err(Error::Api(error));
        }
        Ok(plan::next_available(&set, &claims, now).map_or(After::Done, After::Again))
    }
}

impl Controller {
    fn sets_api(&self, key: &Key) -> Api<ReplicaSet> {
        Api::namespaced(self.client.clone(), &key.namespace)
    }

    fn pods_api(&self, key: &Key) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &key.namespace)
    }

    /// All pods of the sets with the same controller.
    fn related(&self, set: &ReplicaSet) -> Vec<Arc<Pod>> {
        let sets = match controller_of(&set.metadata) {
            Some(owner) => self.sets.by_index(BY_OWNER, &owner.uid),
            None => Vec::new(),
        };
        let uids = sets.iter().filter_map(|set| set.uid());
        let uids = uids.chain(set.uid().filter(|_| sets.is_empty()));
        uids.flat_map(|uid| self.pods.by_index(BY_OWNER, &uid))
            .collect()
    }

    async fn adopt(&self, set: &ReplicaSet, claims: &Claims) -> Result<()> {
        let key = Key::of(set);
        let owner_uid = set.uid().unwrap_or_default();
        if !claims.adopt.is_empty() {
            // The cache may not know yet that the set is going away; an adopted pod would be deleted with it.
            let fresh = self.sets_api(&key).get(&key.name).await?;
            if !is_alive(&set.metadata, &fresh.metadata) {
                return Err(Error::Unready(format!("ReplicaSet {key} is going away")));
            }
        }
        let api = self.pods_api(&key);
        let owner = controller_reference("apps/v1", "ReplicaSet", &set.metadata);
        for pod in &claims.adopt {
            let patch = adoption(&owner, pod.metadata.uid.as_deref());
            api.patch(&pod.name_any(), &act::patch(), &Patch::Strategic(patch))
                .await?;
        }
        for pod in &claims.release {
            let patch = release(&owner_uid, pod.metadata.uid.as_deref());
            match api
                .patch(&pod.name_any(), &act::patch(), &Patch::Strategic(patch))
                .await
            {
                Ok(_) => {}
                // Gone, or another pod of the name by now.
                Err(kube::Error::Api(status)) if status.is_not_found() || status.is_invalid() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn create(
        &self,
        key: &Key,
        set: &ReplicaSet,
        count: usize,
    ) -> Option<(Failure, kube::Error)> {
        self.expectations.expect(key, count, []);
        let (api, pod) = (self.pods_api(key), plan::pod(set));
        let (mut left, mut batch, mut failed) = (count, FIRST_BATCH, None);
        while left > 0 && failed.is_none() {
            let size = batch.min(left);
            let made = join_all((0..size).map(|_| self.create_one(set, &api, &pod))).await;
            for result in made {
                if let Err(error) = result {
                    self.expectations.saw_creation(key);
                    failed.get_or_insert(error);
                }
            }
            left -= size;
            batch *= 2;
        }
        // Those that were not tried will not be seen.
        for _ in 0..left {
            self.expectations.saw_creation(key);
        }
        let error = failed.filter(|error| !is_namespace_terminating(error))?;
        Some((
            Failure {
                reason: "FailedCreate",
                message: message(&error),
            },
            error,
        ))
    }

    async fn create_one(
        &self,
        set: &ReplicaSet,
        api: &Api<Pod>,
        pod: &Pod,
    ) -> Result<(), kube::Error> {
        match api.create(&act::write(), pod).await {
            Ok(pod) => {
                let text = format!("Created pod: {}", pod.name_any());
                self.recorder
                    .event(set, Type::Normal, "SuccessfulCreate", text);
                Ok(())
            }
            Err(error) => {
                if !is_namespace_terminating(&error) {
                    let text = format!("Error creating: {}", message(&error));
                    self.recorder
                        .event(set, Type::Warning, "FailedCreate", text);
                }
                Err(error)
            }
        }
    }

    async fn delete(
        &self,
        key: &Key,
        set: &ReplicaSet,
        pods: Vec<Arc<Pod>>,
    ) -> Option<(Failure, kube::Error)> {
        self.expectations
            .expect(key, 0, pods.iter().filter_map(|pod| pod.uid()));
        let api = self.pods_api(key);
        let deletions = pods.iter().map(|pod| async {
            let uid = pod.uid().unwrap_or_default();
            match api
                .delete(&pod.name_any(), &act::delete_exactly(Some(&uid)))
                .await
            {
                Ok(_) => {
                    let text = format!("Deleted pod: {}", pod.name_any());
                    self.recorder
                        .event(set, Type::Normal, "SuccessfulDelete", text);
                    None
                }
                Err(error) => {
                    self.expectations.saw_deletion(key, &uid);
                    if is_not_found(&error) || crate::error::is_conflict(&error) {
                        return None;
                    }
                    let text = format!("Error deleting: {}", message(&error));
                    self.recorder
                        .event(set, Type::Warning, "FailedDelete", text);
                    Some(error)
                }
            }
        });
        let error = join_all(deletions).await.into_iter().flatten().next()?;
        Some((
            Failure {
                reason: "FailedDelete",
                message: message(&error),
            },
            error,
        ))
    }
}
