//! DefaultBinder: assigns a pod to its node by writing a Binding.

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Binding, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, PostParams};

use crate::framework::points::{Bind, Plugin};
use crate::framework::{PodInfo, Status};

/// See the module.
pub struct DefaultBinder {
    client: kube::Client,
}

impl DefaultBinder {
    /// Binds through `client`.
    pub fn new(client: kube::Client) -> Self {
        Self { client }
    }
}

impl Plugin for DefaultBinder {
    fn name(&self) -> &'static str {
        "DefaultBinder"
    }
}

#[async_trait]
impl Bind for DefaultBinder {
    async fn bind(&self, pod: &PodInfo, node: &str) -> Status {
        let binding = Binding {
            metadata: ObjectMeta {
                name: Some(pod.name.clone()),
                namespace: Some(pod.namespace.clone()),
                // The api-server refuses the binding if a pod of the same name took this one's place.
                uid: Some(pod.uid.clone()),
                ..ObjectMeta::default()
            },
            target: ObjectReference {
                kind: Some("Node".to_owned()),
                name: Some(node.to_owned()),
                ..ObjectReference::default()
            },
        };
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace);
        let written: Result<serde_json::Value, _> = pods
            .create_subresource("binding", &pod.name, &PostParams::default(), &binding)
            .await;
        match written {
            Ok(_) => Status::SUCCESS,
            Err(error) => Status::error(format!("binding rejected: {}", base::report(&error))),
        }
    }
}
