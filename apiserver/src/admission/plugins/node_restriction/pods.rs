//! What a node may do with pods: show the ones that it runs on its own, and report, evict and delete
//! those that are bound to it.

use api_meta::object;
use api_meta::status::Status;
use serde_json::Value;

use super::super::super::{Operation, Request};
use super::super::service_account_secrets as secrets;
use super::NodeRestriction;

const MIRROR: &str = "kubernetes.io/config.mirror";
/// Volumes that need nothing of the API.
const OWN_VOLUMES: [&str; 22] = [
    "awsElasticBlockStore",
    "azureDisk",
    "cephfs",
    "cinder",
    "downwardAPI",
    "emptyDir",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "hostPath",
    "image",
    "iscsi",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
];
/// Volumes that need something of the API, and what.
const API_VOLUMES: [(&str, &str); 7] = [
    ("configMap", "configmaps (via configmap volumes)"),
    ("secret", "secrets (via secret volumes)"),
    ("csi", "csidrivers (via CSI volumes)"),
    ("glusterfs", "endpoints (via glusterFS volumes)"),
    ("persistentVolumeClaim", "persistentvolumeclaims"),
    (
        "ephemeral",
        "persistentvolumeclaims (via ephemeral volumes)",
    ),
    ("azureFile", "secrets (via azureFile volumes)"),
];
/// The same for what is projected into a volume.
const API_SOURCES: [(&str, &str); 5] = [
    ("configMap", "configmaps (via projected volumes)"),
    ("secret", "secrets (via projected volumes)"),
    (
        "serviceAccountToken",
        "serviceaccounts (via projected volumes)",
    ),
    ("clusterTrustBundle", "clustertrustbundles"),
    ("podCertificate", "podcertificates"),
];

impl NodeRestriction {
    pub(super) async fn pod(&self, request: &Request<'_>, node: &str) -> Result<(), Status> {
        match (request.operation, &request.object, &request.old) {
            (Operation::Create, Some(pod), _) => self.mirror(request, pod, node).await,
            (Operation::Delete, _, Some(pod)) if bound_to(pod) == node => Ok(()),
            (Operation::Delete, _, _) => Err(request.forbidden(&format!(
                "node {node:?} can only delete pods with spec.nodeName set to itself"
            ))),
            (operation, _, _) => {
                let operation = format!("{operation:?}").to_uppercase();
                Err(request.forbidden(&format!(
                    "unexpected operation {operation:?}, node {node:?} can only create and delete mirror pods"
                )))
            }
        }
    }

    async fn mirror(&self, request: &Request<'_>, pod: &Value, node: &str) -> Result<(), Status> {
        let refuse = |why: String| Err(request.forbidden(&format!("node {node:?} {why}")));
        if object::annotation(pod, MIRROR).is_none() {
            return Err(request.forbidden(&format!(
                "pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods"
            )));
        }
        if bound_to(pod) != node {
            return refuse("can only create pods with spec.nodeName set to itself".to_owned());
        }
        let owner = match object::owner_references(pod) {
            [owner] => owner,
            [] => {
                return refuse(
                    "can only create pods with an owner reference set to itself".to_owned(),
                );
            }
            _ => {
                return refuse(
                    "can only create pods with a single owner reference set to itself".to_owned(),
                );
            }
        };
        let text = |field| object::str_at(owner, &[field]).unwrap_or_default();
        if (text("apiVersion"), text("kind"), text("name")) != ("v1", "Node", node) {
            return refuse("can only create pods with an owner reference set to itself".to_owned());
        }
        if !object::bool_at(owner, &["controller"]) {
            return refuse(
                "can only create pods with a controller owner reference set to itself".to_owned(),
            );
        }
        if object::bool_at(owner, &["blockOwnerDeletion"]) {
            return refuse("must not set blockOwnerDeletion on an owner reference".to_owned());
        }
        let (asked, found) = (text("uid"), self.find("nodes", "", node).await?);
        let uid = object::uid(&found);
        if asked != uid {
            return Err(request.forbidden(&format!(
                "node {node} UID mismatch: expected {asked} got {uid}"
            )));
        }
        match reference(pod) {
            Ok(None) => Ok(()),
            Ok(Some(what)) => refuse(format!("can not create pods that reference {what}")),
            Err(why) => Err(request.forbidden(&format!(
                "error checking mirror pod for API references: {why}"
            ))),
        }
    }

    pub(super) async fn eviction(&self, request: &Request<'_>, node: &str) -> Result<(), Status> {
        if request.operation != Operation::Create {
            let operation = format!("{:?}", request.operation).to_uppercase();
            return Err(request.forbidden(&format!("unexpected operation {operation}")));
        }
        let name = match (request.name, &request.object) {
            ("", Some(eviction)) => object::name(eviction),
            (name, _) => name,
        };
        if name.is_empty() {
            return Err(request.forbidden("could not determine pod from request data"));
        }
        let pod = self.find("pods", request.namespace, name).await?;
        if bound_to(&pod) == node {
            return Ok(());
        }
        Err(request.forbidden(&format!(
            "node {node} can only evict pods with spec.nodeName set to itself"
        )))
    }
}

/// The node that a pod is bound to, or nothing.
pub(super) fn bound_to(pod: &Value) -> &str {
    object::str_at(pod, &["spec", "nodeName"]).unwrap_or_default()
}

/// A node reports on its pods, but may neither label them nor say which devices they were given.
pub(super) fn status(request: &Request<'_>, node: &str) -> Result<(), Status> {
    let (Operation::Update, Some(new), Some(old)) =
        (request.operation, &request.object, &request.old)
    else {
        let operation = format!("{:?}", request.operation).to_uppercase();
        return Err(request.forbidden(&format!("unexpected operation {operation:?}")));
    };
    let why = if bound_to(old) != node {
        "can only update pod status for pods with spec.nodeName set to itself"
    } else if !object::labels(new).eq(object::labels(old)) {
        "cannot update labels through pod status"
    } else if !is_same(new, old, "resourceClaimStatuses") {
        "cannot update resource claim statues"
    } else if !is_same(new, old, "extendedResourceClaimStatus") {
        "cannot update extended resource claim status"
    } else {
        return Ok(());
    };
    Err(request.forbidden(&format!("node {node:?} {why}")))
}

fn is_same(new: &Value, old: &Value, field: &str) -> bool {
    let path = ["status", field];
    object::at(new, &path) == object::at(old, &path)
}

/// What of the API a pod needs. An error names what nobody knows.
fn reference(pod: &Value) -> Result<Option<&'static str>, String> {
    let account = object::str_at(pod, &["spec", "serviceAccountName"]).unwrap_or_default();
    if !account.is_empty() {
        return Ok(Some("serviceaccounts"));
    }
    if secrets::any(pod) {
        return Ok(Some("secrets"));
    }
    if names_config_map(pod) {
        return Ok(Some("configmaps"));
    }
    if !object::list_at(pod, &["spec", "resourceClaims"]).is_empty() {
        return Ok(Some("resourceclaims"));
    }
    for volume in object::list_at(pod, &["spec", "volumes"]) {
        let found = of_volume(volume)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn names_config_map(pod: &Value) -> bool {
    ["containers", "initContainers", "ephemeralContainers"]
        .iter()
        .flat_map(|list| object::list_at(pod, &["spec", list]))
        .any(|container| {
            let variables = object::list_at(container, &["env"]).iter();
            let sources = object::list_at(container, &["envFrom"]).iter();
            variables
                .filter_map(|one| object::at(one, &["valueFrom", "configMapKeyRef"]))
                .chain(sources.filter_map(|one| object::at(one, &["configMapRef"])))
                .next()
                .is_some()
        })
}

fn of_volume(volume: &Value) -> Result<Option<&'static str>, String> {
    let has = |value: &Value, field: &str| object::at(value, &[field]).is_some();
    if OWN_VOLUMES.iter().any(|own| has(volume, own)) {
        return Ok(None);
    }
    let name = object::str_at(volume, &["name"]).unwrap_or_default();
    if !has(volume, "projected") {
        let known = API_VOLUMES.iter().find(|(field, _)| has(volume, field));
        return match known {
            Some((_, what)) => Ok(Some(what)),
            None => Err(format!("unknown volume type for volume  {name:?}")),
        };
    }
    for source in object::list_at(volume, &["projected", "sources"]) {
        let known = API_SOURCES.iter().find(|(field, _)| has(source, field));
        match known {
            Some((_, what)) => return Ok(Some(what)),
            None if has(source, "downwardAPI") => {}
            None => return Err(format!("unknown source for projected volume {name:?}")),
        }
    }
    Ok(None)
}
