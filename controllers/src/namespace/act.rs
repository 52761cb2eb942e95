//! Deletes the content of a namespace and finalizes it.

use std::time::Duration;

use async_trait::async_trait;
use client::store::Key;
use client::{Client, Store};
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};

use super::plan::{self, Outcome, Remains};
use crate::act;
use crate::discovery::{Resource, discover};
use crate::driver::{After, Reconciler};
use crate::error::{Error, Result, is_conflict, is_method_not_allowed, is_not_found, message};

/// Between the beginning of a deletion and the first pass, as upstream's.
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// Resources that are emptied at one time.
const PARALLEL: usize = 8;

pub(super) struct Controller {
    pub(super) client: Client,
    pub(super) namespaces: Store<Namespace>,
}

#[async_trait]
impl Reconciler for Controller {
    async fn reconcile(&self, key: &Key) -> Result<After> {
        let Some(cached) = self.namespaces.get("", &key.name) else {
            return Ok(After::Done);
        };
        if cached.metadata.deletion_timestamp.is_none() {
            return Ok(After::Done);
        }
        let api: Api<Namespace> = Api::all(self.client.clone());
        let Some(mut namespace) = api.get_opt(&key.name).await? else {
            return Ok(After::Done);
        };
        let Some(deleted) = namespace.metadata.deletion_timestamp.clone() else {
            return Ok(After::Done);
        };
        if plan::without_ours(&namespace).is_none() {
            return Ok(After::Done);
        }
        if namespace.status.as_ref().and_then(|s| s.phase.as_deref()) != Some("Terminating") {
            namespace.status.get_or_insert_default().phase = Some("Terminating".to_owned());
            namespace = api
                .replace_status(&key.name, &act::write(), &namespace)
                .await?;
        }
        let mut outcome = self.empty(&key.name).await?;
        let since = Timestamp::now().duration_since(deleted.0).as_secs();
        let wait = plan::judge(&mut outcome, &key.name, since);
        if plan::note(&mut namespace, &outcome, Timestamp::now()) {
            match api
                .replace_status(&key.name, &act::write(), &namespace)
                .await
            {
                Ok(written) => namespace = written,
                Err(error) if is_not_found(&error) => return Ok(After::Done),
                // Only a report; the deletion goes on.
                Err(error) if is_conflict(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if !outcome.errors.is_empty() {
            return Err(Error::Unready(outcome.errors.join("; ")));
        }
        if !outcome.undiscovered.is_empty() {
            return Err(Error::Unready(format!(
                "unknown content: no discovery of {}",
                outcome.undiscovered.join(", ")
            )));
        }
        match wait {
            None => self.finalize(&api, namespace).await,
            // Half of the estimate, as upstream: it is the most that it may take.
            Some(wait) => Ok(After::Again(Duration::from_secs(
                u64::try_from(wait / 2).unwrap_or(0).saturating_add(1),
            ))),
        }
    }
}

impl Controller {
    /// One pass over everything; only over pods as long as there are any.
    async fn empty(&self, namespace: &str) -> Result<Outcome> {
        let found = discover(&self.client).await?;
        let mut outcome = Outcome {
            undiscovered: found.failed,
            ..Outcome::default()
        };
        let resources = found.resources.into_iter();
        let resources =
            resources.filter(|resource| resource.is_namespaced && resource.can(&["delete"]));
        let (pods, others): (Vec<Resource>, Vec<Resource>) = resources
            .partition(|resource| resource.api.group.is_empty() && resource.api.plural == "pods");
        if !pods.is_empty() {
            let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
            match api.list(&ListParams::default()).await {
                Ok(list) => outcome.grace_seconds = plan::grace_seconds(&list.items),
                Err(error) => outcome.errors.push(format!("pods.: {}", message(&error))),
            }
        }
        self.empty_all(namespace, pods, &mut outcome).await;
        if !outcome.remains.is_empty() || !outcome.errors.is_empty() {
            outcome.is_pods_only = true;
            return Ok(outcome);
        }
        self.empty_all(namespace, others, &mut outcome).await;
        Ok(outcome)
    }

    async fn empty_all(&self, namespace: &str, resources: Vec<Resource>, outcome: &mut Outcome) {
        let passes = resources.into_iter().map(|resource| async move {
            let result = self.empty_one(namespace, &resource).await;
            (resource, result)
        });
        let mut passes = futures::stream::iter(passes).buffer_unordered(PARALLEL);
        while let Some((resource, result)) = passes.next().await {
            let api = &resource.api;
            let name = format!("{}.{}", api.plural, api.group);
            match result {
                Ok(remains) if remains.count == 0 => {}
                Ok(remains) => outcome.remains.push(Remains {
                    resource: name,
                    versioned: format!("{}/{}, Resource={}", api.group, api.version, api.plural),
                    ..remains
                }),
                Err(error) => outcome.errors.push(format!("{name}: {}", message(&error))),
            }
        }
    }

    async fn empty_one(
        &self,
        namespace: &str,
        resource: &Resource,
    ) -> Result<Remains, kube::Error> {
        let api = resource.metadata(&self.client, namespace);
        let (delete, all) = (DeleteParams::background(), ListParams::default());
        let mut is_collected = false;
        if resource.can(&["deletecollection"]) {
            match api.delete_collection(&delete, &all).await {
                Ok(_) => is_collected = true,
                Err(error) if is_not_found(&error) || is_method_not_allowed(&error) => {}
                Err(error) => return Err(error),
            }
        }
        if !resource.can(&["list"]) {
            return Ok(Remains::default());
        }
        if !is_collected {
            for object in list(&api).await?.unwrap_or_default() {
                match api.delete(&object.name_any(), &delete).await {
                    Ok(_) => {}
                    Err(error) if is_not_found(&error) || is_method_not_allowed(&error) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let left = list(&api).await?.unwrap_or_default();
        let mut remains = Remains {
            count: left.len(),
            ..Remains::default()
        };
        for finalizer in left.iter().flat_map(|object| object.finalizers()) {
            *remains.finalizers.entry(finalizer.clone()).or_default() += 1;
        }
        Ok(remains)
    }

    async fn finalize(&self, api: &Api<Namespace>, mut namespace: Namespace) -> Result<After> {
        let Some(others) = plan::without_ours(&namespace) else {
            return Ok(After::Done);
        };
        let name = namespace.name_any();
        namespace.spec.get_or_insert_default().finalizers = Some(others);
        match api
            .replace_subresource("finalize", &name, &act::write(), &namespace)
            .await
        {
            Ok(_) => Ok(After::Done),
            Err(error) if is_not_found(&error) => Ok(After::Done),
            Err(error) => Err(error.into()),
        }
    }
}

/// The objects; None where the resource is gone or cannot be listed.
async fn list(
    api: &Api<crate::discovery::Meta>,
) -> Result<Option<Vec<crate::discovery::Meta>>, kube::Error> {
    match api.list(&ListParams::default()).await {
        Ok(list) => Ok(Some(list.items)),
        Err(error) if is_not_found(&error) || is_method_not_allowed(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
