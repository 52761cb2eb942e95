//! Gives every pod a service account, checks that it exists, and mounts its token.

use std::sync::Arc;
use std::time::Duration;

use api_meta::object;
use api_meta::status::Status;
use async_trait::async_trait;
use rand::Rng;
use serde_json::{Map, Value, json};

use super::super::{Operation, Plugin, Request};
use super::service_account_secrets::{self as secrets, ENFORCE_ANNOTATION};
use crate::authz::builtin_kind;
use crate::cache::ObjectReader;

const DEFAULT: &str = "default";
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME_PREFIX: &str = "kube-api-access-";
const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";
/// The default account of a new namespace is made by a controller, so it is waited for a little.
const DEFAULT_TRIES: u32 = 10;
/// What upstream draws generated suffixes from: no vowels, no look-alikes.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// See the module.
pub struct ServiceAccount {
    reader: Arc<dyn ObjectReader>,
}

impl ServiceAccount {
    /// `reader` knows the accounts.
    pub fn new(reader: Arc<dyn ObjectReader>) -> Self {
        Self { reader }
    }

    /// The account, or the 403 that says why not.
    async fn account(&self, request: &Request<'_>, name: &str) -> Result<Value, Status> {
        let kind = builtin_kind("", "v1", "serviceaccounts");
        let namespace = request.namespace;
        if let Some(found) = self.reader.get(kind, namespace, name) {
            return found.value();
        }
        let tries = if name == DEFAULT { DEFAULT_TRIES } else { 1 };
        let wait = Duration::from_millis(rand::rng().random_range(100..200));
        for round in 0..tries {
            if round > 0 {
                tokio::time::sleep(wait).await;
            }
            match self.reader.get_consistent(kind, namespace, name).await {
                Ok(Some(found)) => return found.value(),
                Ok(None) => {}
                Err(status) => return Err(lookup_failed(request, name, &status.message)),
            }
        }
        Err(lookup_failed(
            request,
            name,
            &format!("serviceaccount {name:?} not found"),
        ))
    }

    async fn admit(&self, request: &mut Request<'_>) -> Result<(), Status> {
        let Some(pod) = &mut request.object else {
            return Ok(());
        };
        if is_mirror(pod) {
            return Ok(());
        }
        let name = account_name(pod).unwrap_or(DEFAULT).to_owned();
        // The deprecated field is kept equal, as upstream's conversion does.
        object::set(pod, &["spec", "serviceAccountName"], json!(name));
        object::set(pod, &["spec", "serviceAccount"], json!(name));
        let account = self.account(request, &name).await?;
        let Some(pod) = &mut request.object else {
            return Ok(());
        };
        if wants_token(&account, pod) {
            mount_token(pod);
        }
        if object::list_at(pod, &["spec", "imagePullSecrets"]).is_empty() {
            let pull: Vec<Value> = object::list_at(&account, &["imagePullSecrets"])
                .iter()
                .map(
                    |secret| json!({"name": object::str_at(secret, &["name"]).unwrap_or_default()}),
                )
                .collect();
            if !pull.is_empty() {
                object::set(pod, &["spec", "imagePullSecrets"], Value::Array(pull));
            }
        }
        Ok(())
    }

    async fn check(&self, request: &Request<'_>, pod: &Value) -> Result<(), Status> {
        if request.operation == Operation::Create && is_mirror(pod) {
            return check_mirror(request, pod);
        }
        let Some(name) = account_name(pod) else {
            let pod = object::name(pod);
            return Err(request.forbidden(&format!(
                "no service account specified for pod {}/{pod}",
                request.namespace
            )));
        };
        let account = self.account(request, name).await?;
        let enforced = object::annotation(&account, ENFORCE_ANNOTATION)
            .is_some_and(|value| matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True"));
        if !enforced {
            return Ok(());
        }
        let fault = if request.operation == Operation::Create {
            secrets::fault(&account, pod)
        } else {
            secrets::ephemeral_fault(&account, pod)
        };
        fault.map_or(Ok(()), |why| Err(request.forbidden(&why)))
    }
}

fn lookup_failed(request: &Request<'_>, name: &str, why: &str) -> Status {
    request.forbidden(&format!(
        "error looking up service account {}/{name}: {why}",
        request.namespace
    ))
}

fn is_mirror(pod: &Value) -> bool {
    object::annotation(pod, MIRROR_ANNOTATION).is_some()
}

fn account_name(pod: &Value) -> Option<&str> {
    ["serviceAccountName", "serviceAccount"]
        .into_iter()
        .filter_map(|field| object::str_at(pod, &["spec", field]))
        .find(|name| !name.is_empty())
}

/// Mirror pods show what runs already, so they may not reach for anything.
fn check_mirror(request: &Request<'_>, pod: &Value) -> Result<(), Status> {
    if account_name(pod).is_some() {
        return Err(request.forbidden("a mirror pod may not reference service accounts"));
    }
    if secrets::any(pod) {
        return Err(request.forbidden("a mirror pod may not reference secrets"));
    }
    let projects_token = object::list_at(pod, &["spec", "volumes"])
        .iter()
        .flat_map(|volume| object::list_at(volume, &["projected", "sources"]))
        .any(|source| object::at(source, &["serviceAccountToken"]).is_some());
    if projects_token {
        return Err(
            request.forbidden("a mirror pod may not use ServiceAccountToken volume projections")
        );
    }
    Ok(())
}

/// The pod's wish wins over the account's; without either the token is mounted.
fn wants_token(account: &Value, pod: &Value) -> bool {
    let of_pod = object::at(pod, &["spec", "automountServiceAccountToken"]);
    let of_account = object::at(account, &["automountServiceAccountToken"]);
    of_pod
        .or(of_account)
        .and_then(Value::as_bool)
        .unwrap_or(true)
}

fn mount_token(pod: &mut Value) {
    let existing = object::list_at(pod, &["spec", "volumes"])
        .iter()
        .filter_map(|volume| object::str_at(volume, &["name"]))
        .find(|name| name.starts_with(VOLUME_PREFIX))
        .map(str::to_owned);
    let volume = existing.clone().unwrap_or_else(volume_name);
    let mount = json!({"name": volume, "mountPath": MOUNT_PATH, "readOnly": true});
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        let containers = pod
            .pointer_mut(&format!("/spec/{list}"))
            .and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let mounts = object::list_at(container, &["volumeMounts"]);
            let taken = mounts
                .iter()
                .any(|one| object::str_at(one, &["mountPath"]) == Some(MOUNT_PATH));
            if !taken {
                push(container, "volumeMounts", mount.clone());
                mounted = true;
            }
        }
    }
    if mounted
        && existing.is_none()
        && let Some(spec) = pod.get_mut("spec")
    {
        push(
            spec,
            "volumes",
            json!({"name": volume, "projected": token_sources()}),
        );
    }
}

fn token_sources() -> Value {
    let reference = json!({"apiVersion": "v1", "fieldPath": "metadata.namespace"});
    json!({
        "defaultMode": 420,
        "sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": reference}]}},
        ],
    })
}

fn volume_name() -> String {
    let mut rng = rand::rng();
    let suffix: String = (0..5)
        .map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]))
        .collect();
    format!("{VOLUME_PREFIX}{suffix}")
}

/// Adds to a list that may be missing or null.
fn push(parent: &mut Value, field: &str, item: Value) {
    let Some(parent) = parent.as_object_mut() else {
        return;
    };
    push_into(parent, field, item);
}

fn push_into(parent: &mut Map<String, Value>, field: &str, item: Value) {
    let slot = parent.entry(field).or_insert(Value::Null);
    if slot.is_null() {
        *slot = Value::Array(Vec::new());
    }
    if let Some(list) = slot.as_array_mut() {
        list.push(item);
    }
}

#[async_trait]
impl Plugin for ServiceAccount {
    fn name(&self) -> &'static str {
        "ServiceAccount"
    }

    async fn mutate(&self, request: &mut Request<'_>) -> Result<(), Status> {
        if request.operation == Operation::Create && request.is_for("", "pods") {
            self.admit(request).await?;
        }
        Ok(())
    }

    async fn validate(&self, request: &Request<'_>) -> Result<(), Status> {
        let Some(pod) = &request.object else {
            return Ok(());
        };
        let creates = request.operation == Operation::Create && request.is_for("", "pods");
        let adds_ephemeral = request.operation == Operation::Update
            && request.is_for_any_of("", "pods")
            && request.subresource == Some("ephemeralcontainers");
        if creates || adds_ephemeral {
            self.check(request, pod).await
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
