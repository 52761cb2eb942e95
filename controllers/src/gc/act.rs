//! Reads what is really there, asks `plan`, and deletes, cuts loose or lets go.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use client::store::Key;
use client::{Client, Queue};
use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, Patch, Preconditions, PropagationPolicy};
use kube::{Api, ResourceExt};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::graph::{FOREGROUND, Graph, Node, ORPHAN, Place, Task, Wake};
use super::monitors::Monitors;
use super::plan::{self, Owner, Verdict};
use super::{key, wake};
use crate::act;
use crate::discovery::Meta;
use crate::driver::{After, Reconciler};
use crate::error::{Error, Result, is_not_found};

/// While the watches are not in step.
const NOT_READY_WAIT: Duration = Duration::from_millis(250);
/// An owner that exists and that no watch shows is looked at again after this time.
const UNSEEN_WAIT: Duration = Duration::from_secs(30);
/// Dependents that are cut loose at one time.
const PARALLEL: usize = 10;

pub(super) struct Controller {
    pub(super) client: Client,
    pub(super) graph: Arc<Mutex<Graph>>,
    pub(super) queue: Queue<Key>,
    pub(super) monitors: Monitors,
}

#[async_trait]
impl Reconciler for Controller {
    async fn reconcile(&self, key: &Key) -> Result<After> {
        if !self.monitors.is_ready() {
            return Ok(After::Again(NOT_READY_WAIT));
        }
        let Wake { task, uid } = wake(key);
        let Some(node) = self.graph.lock().get(&uid).cloned() else {
            return Ok(After::Done);
        };
        match task {
            Task::Verify if node.is_virtual => self.verify(&uid, &node.place).await,
            Task::Verify => Ok(After::Done),
            Task::Orphan => self.orphan(&uid, &node).await,
            Task::Collect => self.collect(&uid, &node).await,
        }
    }
}

impl Controller {
    /// The objects of a place's resource, in the place's namespace where it has namespaces.
    fn api(&self, place: &Place) -> Result<Api<Meta>> {
        let resource = self.monitors.resource(&place.api_version, &place.kind);
        let resource = resource.ok_or_else(|| {
            let Place {
                api_version, kind, ..
            } = place;
            Error::Unready(format!(
                "no matches for kind {kind:?} in version {api_version:?}"
            ))
        })?;
        Ok(resource.metadata(&self.client, &place.namespace))
    }

    /// The object at a place, if it is the one with the uid.
    async fn live(&self, uid: &str, place: &Place) -> Result<Option<Meta>> {
        let found = self.api(place)?.get_opt(&place.name).await?;
        Ok(found.filter(|object| object.metadata.uid.as_deref() == Some(uid)))
    }

    fn gone(&self, uid: &str) {
        let wakes = self.graph.lock().remove(uid);
        for wake in wakes {
            self.queue.add(key(wake));
        }
    }

    async fn verify(&self, uid: &str, place: &Place) -> Result<After> {
        if self.live(uid, place).await?.is_some() {
            return Ok(After::Again(UNSEEN_WAIT));
        }
        self.gone(uid);
        Ok(After::Done)
    }

    async fn collect(&self, uid: &str, node: &Node) -> Result<After> {
        if node.is_virtual {
            return self.verify(uid, &node.place).await;
        }
        if node.is_deleting && !node.is_held {
            return Ok(After::Done);
        }
        let Some(object) = self.live(uid, &node.place).await? else {
            // The watch will say so as well, perhaps later; the dependents need not wait.
            self.gone(uid);
            return Ok(After::Done);
        };
        let dependents = self.graph.lock().dependents(uid);
        if node.is_held {
            return self.release(uid, node, &object, &dependents).await;
        }
        let mut owners = Vec::new();
        for owner in object.owner_references() {
            owners.push((owner.uid.clone(), self.owner(&node.place, owner).await?));
        }
        match plan::verdict(&object.metadata, &owners, &dependents) {
            Verdict::Keep => {}
            Verdict::Forget(uids) => {
                let left = object.owner_references().iter();
                let left: Vec<_> = left.filter(|owner| !uids.contains(&owner.uid)).collect();
                self.patch(&node.place, &object, json!({ "ownerReferences": left }))
                    .await?;
            }
            Verdict::Delete {
                propagation,
                must_unblock,
            } => {
                let object = if must_unblock {
                    self.unblock(&node.place, &object).await?
                } else {
                    object
                };
                self.delete(&node.place, &object, propagation).await?;
            }
        }
        Ok(After::Done)
    }

    /// What is true of an owner now.
    async fn owner(&self, dependent: &Place, owner: &OwnerReference) -> Result<Owner> {
        let resource = self.monitors.resource(&owner.api_version, &owner.kind);
        if dependent.namespace.is_empty() && resource.is_some_and(|resource| resource.is_namespaced)
        {
            // Nothing can be said about it: which namespace would it be in? Upstream leaves such objects alone.
            return Ok(Owner::Solid);
        }
        let place = Place {
            api_version: owner.api_version.clone(),
            kind: owner.kind.clone(),
            namespace: dependent.namespace.clone(),
            name: owner.name.clone(),
        };
        Ok(match self.live(&owner.uid, &place).await? {
            None => Owner::Absent,
            Some(object)
                if object.metadata.deletion_timestamp.is_some()
                    && object.finalizers().iter().any(|name| name == FOREGROUND) =>
            {
                Owner::Waiting
            }
            Some(_) => Owner::Solid,
        })
    }

    /// Ends a foreground deletion once nothing holds it; until then pushes those that do.
    async fn release(
        &self,
        uid: &str,
        node: &Node,
        object: &Meta,
        dependents: &[(String, Node)],
    ) -> Result<After> {
        let blocking = plan::blocking(uid, dependents);
        if blocking.is_empty() {
            self.remove_finalizer(&node.place, object, FOREGROUND)
                .await?;
        }
        for uid in blocking {
            let is_held = dependents
                .iter()
                .any(|(one, node)| one == uid && node.is_held);
            if !is_held {
                self.queue.add(key(Wake {
                    task: Task::Collect,
                    uid: uid.to_owned(),
                }));
            }
        }
        Ok(After::Done)
    }

    async fn orphan(&self, uid: &str, node: &Node) -> Result<After> {
        let Some(object) = self.live(uid, &node.place).await? else {
            return Ok(After::Done);
        };
        if !object.finalizers().iter().any(|name| name == ORPHAN) {
            return Ok(After::Done);
        }
        let dependents = self.graph.lock().dependents(uid);
        let cuts = dependents
            .into_iter()
            .map(|(dependent, node)| self.cut(uid, dependent, node));
        let mut cuts = futures::stream::iter(cuts).buffer_unordered(PARALLEL);
        while let Some(cut) = cuts.next().await {
            cut?;
        }
        self.remove_finalizer(&node.place, &object, ORPHAN).await?;
        Ok(After::Done)
    }

    /// Takes the owner off one dependent.
    async fn cut(&self, owner: &str, dependent: String, node: Node) -> Result<()> {
        let Some(object) = self.live(&dependent, &node.place).await? else {
            return Ok(());
        };
        let left: Vec<_> = object
            .owner_references()
            .iter()
            .filter(|one| one.uid != owner)
            .collect();
        if left.len() < object.owner_references().len() {
            self.patch(&node.place, &object, json!({ "ownerReferences": left }))
                .await?;
        }
        Ok(())
    }

    async fn remove_finalizer(&self, place: &Place, object: &Meta, name: &str) -> Result<()> {
        let left: Vec<&String> = object
            .finalizers()
            .iter()
            .filter(|one| *one != name)
            .collect();
        if left.len() < object.finalizers().len() {
            self.patch(place, object, json!({ "finalizers": left }))
                .await?;
        }
        Ok(())
    }

    async fn unblock(&self, place: &Place, object: &Meta) -> Result<Meta> {
        let unblocked = object.owner_references().iter().cloned().map(|mut owner| {
            owner.block_owner_deletion = Some(false);
            owner
        });
        let owners: Vec<OwnerReference> = unblocked.collect();
        let patched = self
            .patch(place, object, json!({ "ownerReferences": owners }))
            .await?;
        Ok(patched.unwrap_or_else(|| object.clone()))
    }

    /// Changes the metadata of exactly the object that was read; a change in between is a conflict. None if it is gone.
    async fn patch(
        &self,
        place: &Place,
        object: &Meta,
        mut metadata: Value,
    ) -> Result<Option<Meta>> {
        metadata["uid"] = json!(object.metadata.uid);
        metadata["resourceVersion"] = json!(object.metadata.resource_version);
        let patch = Patch::Merge(json!({ "metadata": metadata }));
        match self
            .api(place)?
            .patch(&place.name, &act::patch(), &patch)
            .await
        {
            Ok(patched) => Ok(Some(patched)),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn delete(
        &self,
        place: &Place,
        object: &Meta,
        propagation: PropagationPolicy,
    ) -> Result<()> {
        let params = DeleteParams {
            propagation_policy: Some(propagation),
            // The version too: owners may have been added since they were read.
            preconditions: Some(Preconditions {
                uid: object.metadata.uid.clone(),
                resource_version: object.metadata.resource_version.clone(),
            }),
            ..DeleteParams::default()
        };
        match self.api(place)?.delete(&place.name, &params).await {
            Ok(_) => {
                tracing::debug!(kind = %place.kind, namespace = %place.namespace, name = %place.name, "deleted garbage");
                Ok(())
            }
            Err(error) if is_not_found(&error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
