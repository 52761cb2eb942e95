//! Tokens that a node asks for: bound to one of its pods, for an audience that the pod names.

use api_meta::object;
use api_meta::status::Status;
use serde_json::Value;

use super::super::super::Request;
use super::NodeRestriction;
use super::pods::bound_to;
use crate::authz::{Attributes, builtin_kind};

impl NodeRestriction {
    pub(super) async fn token(&self, request: &Request<'_>, node: &str) -> Result<(), Status> {
        let Some(asked) = &request.object else {
            return Ok(());
        };
        let text = |field| {
            let path = ["spec", "boundObjectRef", field];
            object::str_at(asked, &path).unwrap_or_default()
        };
        let name = text("name");
        if (text("apiVersion"), text("kind")) != ("v1", "Pod") || name.is_empty() {
            return Err(request.forbidden("node requested token not bound to a pod"));
        }
        let uid = text("uid");
        if uid.is_empty() {
            return Err(request.forbidden("node requested token with a pod binding without a uid"));
        }
        let pod = self.find("pods", request.namespace, name).await?;
        if object::uid(&pod) != uid {
            return Err(request.forbidden(&format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
            )));
        }
        if bound_to(&pod) != node {
            return Err(request
                .forbidden("node requested token bound to a pod scheduled on a different node"));
        }
        self.audience(request, asked, &pod)
            .await
            .map_err(|why| request.forbidden(&why))
    }

    async fn audience(
        &self,
        request: &Request<'_>,
        asked: &Value,
        pod: &Value,
    ) -> Result<(), String> {
        let audience = match object::list_at(asked, &["spec", "audiences"]) {
            [] => "",
            [one] => one.as_str().unwrap_or_default(),
            _ => return Err("node may only request 0 or 1 audiences".to_owned()),
        };
        if self.is_named(request.namespace, pod, audience).await {
            return Ok(());
        }
        let user = request.user;
        let attributes = Attributes {
            user,
            verb: "request-serviceaccounts-token-audience",
            group: "",
            version: "v1",
            resource: audience,
            subresource: "",
            namespace: request.namespace,
            name: request.name,
            path: "",
            is_resource: true,
        };
        let authorizer = self.authorizer.as_ref();
        if authorizer.is_some_and(|one| one.authorize(&attributes).is_allowed()) {
            return Ok(());
        }
        Err(format!(
            "audience {audience:?} not found in pod spec volume, {} is not authorized to request tokens for this audience",
            user.name
        ))
    }

    /// Whether a volume of the pod has tokens for the audience, itself or by its driver.
    async fn is_named(&self, namespace: &str, pod: &Value, audience: &str) -> bool {
        for volume in object::list_at(pod, &["spec", "volumes"]) {
            let sources = object::list_at(volume, &["projected", "sources"]);
            let is_projected = sources.iter().any(|source| {
                object::at(source, &["serviceAccountToken"]).is_some_and(|token| {
                    object::str_at(token, &["audience"]).unwrap_or_default() == audience
                })
            });
            if is_projected {
                return true;
            }
            let Some(driver) = self.driver(namespace, pod, volume).await else {
                continue;
            };
            let kind = builtin_kind("storage.k8s.io", "v1", "csidrivers");
            let found = self.reader.get(kind, "", &driver);
            let driver = found.and_then(|driver| driver.value().ok());
            let requests = driver.as_ref().map_or(&[][..], |one| {
                object::list_at(one, &["spec", "tokenRequests"])
            });
            let names_it =
                |one: &Value| object::str_at(one, &["audience"]).unwrap_or_default() == audience;
            if requests.iter().any(names_it) {
                return true;
            }
        }
        false
    }

    /// The driver behind a volume: named by it, or by what its claim is bound to.
    async fn driver(&self, namespace: &str, pod: &Value, volume: &Value) -> Option<String> {
        let text = |value: &Value, path: &[&str]| object::str_at(value, path).map(str::to_owned);
        if let Some(driver) = text(volume, &["csi", "driver"]) {
            return Some(driver);
        }
        let claim = if object::at(volume, &["ephemeral", "volumeClaimTemplate"]).is_some() {
            // The name that the controller of ephemeral volumes gives.
            let volume = object::str_at(volume, &["name"])?;
            format!("{}-{volume}", object::name(pod))
        } else {
            text(volume, &["persistentVolumeClaim", "claimName"])?
        };
        let claim = self.find("persistentvolumeclaims", namespace, &claim).await;
        let bound = text(&claim.ok()?, &["spec", "volumeName"])?;
        let bound = self.find("persistentvolumes", "", &bound).await;
        text(&bound.ok()?, &["spec", "csi", "driver"])
    }
}
