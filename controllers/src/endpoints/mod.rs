//! Writes the pods of each Service into an Endpoints object, for clients from before EndpointSlices. `plan` decides.
//!
//! It never touches the Endpoints of Services without a selector.

mod plan;

use std::sync::Arc;

use async_trait::async_trait;
use client::store::Key;
use client::{Client, Queue, Store};
use k8s_openapi::api::core::v1::{Endpoints, Pod, Service};
use kube::{Api, ResourceExt};

use crate::act;
use crate::driver::{After, Builder, Part, Reconciler, all_of, enqueue};
use crate::error::{
    Result, is_already_exists, is_conflict, is_namespace_terminating, is_not_found,
};
use crate::services::{is_served, selects, wake_for_pod};

struct Controller {
    client: Client,
    services: Store<Service>,
    pods: Store<Pod>,
    endpoints: Store<Endpoints>,
}

/// Adds the controller.
pub(crate) fn build(builder: &mut Builder) {
    let queue = Queue::new();
    let services = builder.informers.services();
    services.add_handler(enqueue(&queue));
    let services = services.store();
    let (wake, of) = (queue.clone(), services.clone());
    let pods = builder.informers.pods();
    pods.add_handler(move |delta| wake_for_pod(&wake, &of, delta));
    let pods = pods.store();
    let endpoints = builder.informers.endpoints();
    endpoints.add_handler(enqueue(&queue));
    let endpoints = endpoints.store();
    builder.part(Part {
        name: "endpoints-controller",
        queue,
        workers: 5,
        all: all_of(&services),
        reconciler: Arc::new(Controller {
            client: builder.client.clone(),
            services,
            pods,
            endpoints,
        }),
    });
}

#[async_trait]
impl Reconciler for Controller {
    async fn reconcile(&self, key: &Key) -> Result<After> {
        let api: Api<Endpoints> = Api::namespaced(self.client.clone(), &key.namespace);
        let current = self.endpoints.at(key);
        let Some(service) = self.services.at(key) else {
            // They have no owner that the garbage collector could miss. Those of others stay.
            let Some(current) = current.filter(|one| plan::is_managed(one)) else {
                return Ok(After::Done);
            };
            return match api
                .delete(&key.name, &act::delete_exactly(current.uid().as_deref()))
                .await
            {
                Ok(_) => Ok(After::Done),
                Err(error) if is_not_found(&error) || is_conflict(&error) => Ok(After::Done),
                Err(error) => Err(error.into()),
            };
        };
        if !is_served(&service) || service.metadata.deletion_timestamp.is_some() {
            return Ok(After::Done);
        }
        let mut pods = self.pods.list_namespace(&key.namespace);
        pods.retain(|pod| selects(&service, pod.metadata.labels.as_ref()));
        let Some(wanted) = plan::plan(&service, &pods, current.as_deref()) else {
            return Ok(After::Done);
        };
        let done = match current {
            None => api.create(&act::write(), &wanted).await,
            Some(_) => api.replace(&key.name, &act::write(), &wanted).await,
        };
        match done {
            Ok(_) => Ok(After::Done),
            Err(error) if is_namespace_terminating(&error) || is_already_exists(&error) => {
                Ok(After::Done)
            }
            Err(error) => Err(error.into()),
        }
    }
}
