//! Carries out the plans of the Deployment controller.

use std::sync::Arc;

use async_trait::async_trait;
use client::events::{Recorder, Type};
use client::store::Key;
use client::{Client, Store};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::Patch;
use kube::core::labels::SelectorExt;
use kube::{Api, ResourceExt};

use super::plan::{self, Plan, Set, Snapshot};
use crate::act;
use crate::driver::{After, Reconciler};
use crate::error::{
    Error, Result, is_already_exists, is_namespace_terminating, is_not_found, message,
};
use crate::informers::{BY_OWNER, orphans};
use crate::owners::{self, Claim, adoption, controller_reference, release};
use crate::pods::is_finished;

pub(super) struct Controller {
    pub(super) client: Client,
    pub(super) recorder: Recorder,
    pub(super) deployments: Store<Deployment>,
    pub(super) sets: Store<ReplicaSet>,
    pub(super) pods: Store<Pod>,
}

#[async_trait]
impl Reconciler for Controller {
    async fn reconcile(&self, key: &Key) -> Result<After> {
        let Some(deployment) = self.deployments.at(key) else {
            return Ok(After::Done);
        };
        if plan::selector(&deployment)?.selects_all() {
            let text = "This deployment is selecting all pods. A non-empty selector is required.";
            self.recorder
                .event(deployment.as_ref(), Type::Warning, "SelectingAll", text);
            return Ok(After::Done);
        }
        let sets = self.claim(key, &deployment).await?;
        let running = self.running(&deployment, &sets);
        let snapshot = Snapshot {
            deployment,
            sets,
            running,
            now: Timestamp::now(),
        };
        let plan = plan::plan(&snapshot);
        self.carry_out(key, &snapshot.deployment, plan).await
    }
}

impl Controller {
    fn deployments_api(&self, key: &Key) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), &key.namespace)
    }

    fn sets_api(&self, key: &Key) -> Api<ReplicaSet> {
        Api::namespaced(self.client.clone(), &key.namespace)
    }

    /// The Deployment's sets, after adopting and letting go.
    async fn claim(&self, key: &Key, deployment: &Deployment) -> Result<Vec<Arc<ReplicaSet>>> {
        let selector = plan::selector(deployment)?;
        let uid = deployment.uid().unwrap_or_default();
        let mut candidates = self.sets.by_index(BY_OWNER, &uid);
        candidates.extend(self.sets.by_index(BY_OWNER, &orphans(&key.namespace)));
        let (mut own, mut is_checked) = (Vec::new(), false);
        for set in candidates {
            let is_selected = selector.matches(&set.metadata.labels.clone().unwrap_or_default());
            match owners::claim(&deployment.metadata, &set.metadata, is_selected) {
                Claim::Keep => own.push(set),
                Claim::Adopt => {
                    if !is_checked {
                        self.check_alive(key, deployment).await?;
                        is_checked = true;
                    }
                    let owner = controller_reference("apps/v1", "Deployment", &deployment.metadata);
                    own.push(Arc::new(
                        self.patch_set(key, &set, adoption(&owner, set.metadata.uid.as_deref()))
                            .await?,
                    ));
                }
                Claim::Release => {
                    let patch = release(&uid, set.metadata.uid.as_deref());
                    match self.patch_set(key, &set, patch).await {
                        Ok(_) => {}
                        Err(kube::Error::Api(s)) if s.is_not_found() || s.is_invalid() => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                Claim::Ignore => {}
            }
        }
        Ok(own)
    }

    async fn patch_set(
        &self,
        key: &Key,
        set: &ReplicaSet,
        patch: serde_json::Value,
    ) -> Result<ReplicaSet, kube::Error> {
        self.sets_api(key)
            .patch(&set.name_any(), &act::patch(), &Patch::Strategic(patch))
            .await
    }

    /// The cache may not know yet that the Deployment is going away; an adopted set would be deleted with it.
    async fn check_alive(&self, key: &Key, deployment: &Deployment) -> Result<()> {
        let fresh = self.deployments_api(key).get(&key.name).await?;
        if !owners::is_alive(&deployment.metadata, &fresh.metadata) {
            return Err(Error::Unready(format!("Deployment {key} is going away")));
        }
        Ok(())
    }

    /// The sets of which a pod still is, for Recreate.
    fn running(&self, deployment: &Deployment, sets: &[Arc<ReplicaSet>]) -> Vec<String> {
        if !plan::is_recreate(deployment) {
            return Vec::new();
        }
        let uids = sets.iter().filter_map(|set| set.uid());
        uids.filter(|uid| {
            self.pods
                .by_index(BY_OWNER, uid)
                .iter()
                .any(|pod| !is_finished(pod))
        })
        .collect()
    }

    async fn carry_out(&self, key: &Key, deployment: &Deployment, plan: Plan) -> Result<After> {
        let (created, others): (Vec<Set>, Vec<Set>) =
            plan.sets.into_iter().partition(|set| set.old.is_none());
        for set in created {
            if let Some(status) = self.create(key, deployment, &set).await? {
                self.write_status(key, deployment, status, None).await?;
                return Err(Error::Unready(format!(
                    "the name of the new replica set of {key} is taken, choosing another"
                )));
            }
        }
        for set in others
            .iter()
            .filter(|set| !set.is_surplus && set.is_changed())
        {
            self.sets_api(key)
                .replace(&set.new.name_any(), &act::write(), &set.new)
                .await?;
            if let Some((old, new)) = set.resized() {
                self.tell_scaled(deployment, &set.new.name_any(), old, new);
            }
        }
        for set in others.iter().filter(|set| set.is_surplus) {
            let params = act::delete_exactly(set.new.metadata.uid.as_deref());
            match self
                .sets_api(key)
                .delete(&set.new.name_any(), &params)
                .await
            {
                Ok(_) => {}
                Err(error) if is_not_found(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let is_same = deployment.status.as_ref() == Some(&plan.status);
        if !is_same || plan.revision.is_some() {
            self.write_status(key, deployment, plan.status, plan.revision)
                .await?;
        }
        Ok(plan.again.map_or(After::Done, After::Again))
    }

    /// Creates the newest set. On a collision of names, the status that counts it.
    async fn create(
        &self,
        key: &Key,
        deployment: &Deployment,
        set: &Set,
    ) -> Result<Option<DeploymentStatus>> {
        let name = set.new.name_any();
        let error = match self.sets_api(key).create(&act::write(), &set.new).await {
            Ok(_) => {
                if let Some((old, new)) = set.resized() {
                    self.tell_scaled(deployment, &name, old, new);
                }
                return Ok(None);
            }
            Err(error) => error,
        };
        let mut status = deployment.status.clone().unwrap_or_default();
        if is_already_exists(&error) {
            let other = self.sets_api(key).get(&name).await?;
            let is_ours = owners::is_controlled_by(
                &other.metadata,
                deployment.metadata.uid.as_deref().unwrap_or_default(),
            );
            let template = other.spec.as_ref().and_then(|spec| spec.template.clone());
            let wanted = deployment.spec.as_ref().map(|spec| &spec.template);
            let is_same = wanted
                .zip(template.as_ref())
                .is_some_and(|(a, b)| plan::is_same_template(a, b));
            if is_ours && is_same {
                // Ours, and not in the cache yet.
                return Ok(None);
            }
            status.collision_count = Some(status.collision_count.unwrap_or(0).saturating_add(1));
            return Ok(Some(status));
        }
        if !is_namespace_terminating(&error) {
            let text = format!(
                "Failed to create new replica set {name:?}: {}",
                message(&error)
            );
            let status = plan::not_created(deployment, text.clone(), Timestamp::now());
            self.recorder
                .event(deployment, Type::Warning, "ReplicaSetCreateError", text);
            if let Some(status) = status
                && let Err(error) = self.write_status(key, deployment, status, None).await
            {
                // The failed creation is the greater news, and is tried again anyway.
                tracing::debug!(%key, error = %base::report(&error), "failure not noted");
            }
        }
        Err(error.into())
    }

    async fn write_status(
        &self,
        key: &Key,
        deployment: &Deployment,
        status: DeploymentStatus,
        revision: Option<String>,
    ) -> Result<()> {
        let mut deployment = deployment.clone();
        deployment.status = Some(status);
        if let Some(revision) = revision {
            let annotations = deployment.metadata.annotations.get_or_insert_default();
            annotations.insert("deployment.kubernetes.io/revision".to_owned(), revision);
        }
        self.deployments_api(key)
            .replace_status(&key.name, &act::write(), &deployment)
            .await?;
        Ok(())
    }

    fn tell_scaled(&self, deployment: &Deployment, name: &str, old: i32, new: i32) {
        let direction = if old < new { "up" } else { "down" };
        let text = format!("Scaled {direction} replica set {name} from {old} to {new}");
        self.recorder
            .event(deployment, Type::Normal, "ScalingReplicaSet", text);
    }
}
