//! Carries out the plans of the EndpointSlice controller.

use std::sync::Arc;

use async_trait::async_trait;
use client::events::{Recorder, Type};
use client::expectations::Expectations;
use client::store::Key;
use client::{Client, Store};
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, ResourceExt};

use super::plan::{self, Plan, Snapshot};
use crate::act;
use crate::driver::{After, Reconciler};
use crate::error::{Error, Result, is_conflict, is_namespace_terminating, is_not_found, message};
use crate::informers::BY_SERVICE;
use crate::services::{is_served, selects};

pub(super) struct Controller {
    pub(super) client: Client,
    pub(super) recorder: Recorder,
    pub(super) services: Store<Service>,
    pub(super) pods: Store<Pod>,
    pub(super) slices: Store<EndpointSlice>,
    pub(super) nodes: Store<Node>,
    pub(super) expectations: Arc<Expectations>,
}

#[async_trait]
impl Reconciler for Controller {
    async fn reconcile(&self, key: &Key) -> Result<After> {
        let Some(service) = self.services.at(key) else {
            // Its slices have it as their owner; the garbage collector takes them.
            self.expectations.forget(key);
            return Ok(After::Done);
        };
        if !is_served(&service) || !self.expectations.met(key) {
            return Ok(After::Done);
        }
        let mut pods = self.pods.list_namespace(&key.namespace);
        pods.retain(|pod| selects(&service, pod.metadata.labels.as_ref()));
        let slices = self.slices.by_index(BY_SERVICE, &key.to_string());
        let slices = slices
            .into_iter()
            .filter(|slice| plan::is_managed(slice) && slice.metadata.deletion_timestamp.is_none());
        let zone = |node: &Arc<Node>| (node.name_any(), plan::zone(node).map(str::to_owned));
        let snapshot = Snapshot {
            service,
            pods,
            zones: self.nodes.list().iter().map(zone).collect(),
            slices: slices.collect(),
        };
        let plan = plan::plan(&snapshot);
        match self.carry_out(key, plan, &snapshot.service).await {
            Ok(()) => Ok(After::Done),
            Err(error) if is_conflict(&error) => Err(error.into()),
            Err(error) => {
                let text = format!(
                    "Error updating Endpoint Slices for Service {key}: {}",
                    message(&error)
                );
                let kind = Type::Warning;
                self.recorder.event(
                    snapshot.service.as_ref(),
                    kind,
                    "FailedToUpdateEndpointSlices",
                    text,
                );
                Err(Error::Api(error))
            }
        }
    }
}

impl Controller {
    async fn carry_out(&self, key: &Key, plan: Plan, service: &Service) -> Result<(), kube::Error> {
        let api: Api<EndpointSlice> = Api::namespaced(self.client.clone(), &key.namespace);
        let is_going = service.metadata.deletion_timestamp.is_some();
        let create = if is_going { Vec::new() } else { plan.create };
        let deletions = plan
            .delete
            .iter()
            .filter_map(|slice| slice.metadata.uid.clone());
        if !create.is_empty() || !plan.delete.is_empty() {
            self.expectations.expect(key, create.len(), deletions);
        }
        let mut failed = None;
        for slice in create {
            match api.create(&act::write(), &slice).await {
                Ok(_) => {}
                Err(error) => {
                    self.expectations.saw_creation(key);
                    if !is_namespace_terminating(&error) {
                        failed.get_or_insert(error);
                    }
                }
            }
        }
        for slice in plan.update {
            if let Err(error) = api.replace(&slice.name_any(), &act::write(), &slice).await {
                failed.get_or_insert(error);
            }
        }
        for slice in plan.delete {
            let uid = slice.metadata.uid.as_deref();
            match api
                .delete(&slice.name_any(), &act::delete_exactly(uid))
                .await
            {
                Ok(_) => {}
                Err(error) => {
                    self.expectations.saw_deletion(key, uid.unwrap_or_default());
                    if !is_not_found(&error) {
                        failed.get_or_insert(error);
                    }
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }
}
