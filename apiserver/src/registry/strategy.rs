//! What a kind does beyond being stored: the few kinds that do something, by name.

use api_meta::kinds::Kind;
use api_meta::status::Status;
use async_trait::async_trait;
use serde_json::{Value, json};

use super::context::RequestContext;
use super::kinds::{
    certificate_signing_request, event, job, namespace, node, pod, secret, service, workload,
};
use super::service::Registry;
use super::tree;
use crate::storage::Guarded;

/// The hooks of a kind. The defaults do what most kinds need.
#[async_trait]
pub(crate) trait Strategy: Send + Sync {
    /// Readies a new object, after mutating admission.
    fn prepare_create(&self, ctx: &RequestContext, kind: &Kind, object: &mut Value) {
        let _ = ctx;
        reset_status(kind, object);
    }

    /// Readies a changed object whose status is already that of the old one.
    fn prepare_update(&self, ctx: &RequestContext, new: &mut Value, old: &Value) {
        let _ = (ctx, new, old);
    }

    /// Readies a changed status: `new` is the old object with the request's status.
    fn prepare_status(&self, new: &mut Value, old: &Value) {
        let _ = (new, old);
    }

    /// Readies what a subresource of its own made of the old object.
    fn prepare_part(&self, subresource: &str, new: &mut Value, old: &Value) {
        let _ = (subresource, new, old);
    }

    /// What must change in the store together with a created object.
    async fn beside_create(
        &self,
        registry: &Registry,
        object: &mut Value,
    ) -> Result<Vec<Guarded>, Status> {
        let _ = (registry, object);
        Ok(Vec::new())
    }

    /// What must change together with a changed object.
    async fn beside_update(
        &self,
        registry: &Registry,
        new: &mut Value,
        old: &Value,
    ) -> Result<Vec<Guarded>, Status> {
        let _ = (registry, new, old);
        Ok(Vec::new())
    }

    /// What must go together with a deleted object.
    async fn beside_delete(
        &self,
        registry: &Registry,
        old: &Value,
    ) -> Result<Vec<Guarded>, Status> {
        let _ = (registry, old);
        Ok(Vec::new())
    }

    /// Whether a write without resourceVersion is taken.
    fn allows_blind_update(&self, kind: &Kind) -> bool {
        !matches!(
            (kind.group.as_str(), kind.resource.as_str()),
            ("coordination.k8s.io", "leases")
                | ("policy", "poddisruptionbudgets")
                | ("apiextensions.k8s.io", _)
                | ("networking.k8s.io", "ipaddresses" | "servicecidrs")
        )
    }

    /// Whether a PUT to a name that is not there creates the object.
    fn creates_on_update(&self, kind: &Kind) -> bool {
        matches!(
            (kind.group.as_str(), kind.resource.as_str()),
            (
                "",
                "endpoints" | "events" | "limitranges" | "serviceaccounts" | "services"
            ) | ("coordination.k8s.io", "leases")
                | ("rbac.authorization.k8s.io", _)
        ) && !matches!(kind.resource.as_str(), "serviceaccounts" | "services")
    }
}

struct Plain;

impl Strategy for Plain {}

/// The hooks of a stored kind.
pub(crate) fn of(kind: &Kind) -> &'static dyn Strategy {
    match (kind.group.as_str(), kind.resource.as_str()) {
        ("", "pods") => &pod::Pod,
        ("", "nodes") => &node::Node,
        ("", "namespaces") => &namespace::Namespace,
        ("", "services") => &service::Service,
        ("", "secrets") => &secret::Secret,
        ("", "events") => &event::Event,
        ("batch", "jobs") => &job::Job,
        ("certificates.k8s.io", "certificatesigningrequests") => {
            &certificate_signing_request::CertificateSigningRequest
        }
        ("apps", "replicasets" | "deployments" | "statefulsets" | "daemonsets") => {
            &workload::Workload
        }
        _ => &Plain,
    }
}

/// The status of a new object is nobody's to set but its controllers'.
pub(crate) fn reset_status(kind: &Kind, object: &mut Value) {
    if !kind.has_status() {
        return;
    }
    let status = match (kind.group.as_str(), kind.resource.as_str()) {
        ("", "persistentvolumes") => {
            json!({"phase": "Pending", "lastPhaseTransitionTime": tree::now()})
        }
        _ => json!({}),
    };
    if let Value::Object(map) = object {
        map.insert("status".into(), status);
    }
}

/// Whether the part that users decide on differs: everything but metadata and status.
pub(crate) fn is_spec_changed(new: &Value, old: &Value) -> bool {
    let (Value::Object(new), Value::Object(old)) = (new, old) else {
        return new != old;
    };
    let decided = |field: &&String| !matches!(field.as_str(), "metadata" | "status");
    let fields = |map: &serde_json::Map<String, Value>| map.keys().filter(decided).count();
    fields(new) != fields(old)
        || new
            .iter()
            .filter(|(f, _)| decided(f))
            .any(|(field, value)| old.get(field) != Some(value))
}

/// Keeps `generation` out of the users' hands and counts it up.
pub(crate) fn set_generation(kind: &Kind, new: &mut Value, old: Option<&Value>) {
    let generation = match old {
        None => kind.tracks_generation.then_some(1),
        Some(old) => {
            let before = tree::number(old, "/metadata/generation");
            match before {
                Some(before) if kind.tracks_generation && is_spec_changed(new, old) => {
                    Some(before + 1)
                }
                before => before,
            }
        }
    };
    let metadata = tree::metadata(new);
    match generation {
        Some(generation) => metadata.insert("generation".into(), generation.into()),
        None => metadata.remove("generation"),
    };
}

#[cfg(test)]
mod tests {
    use api_meta::kinds::Kinds;
    use serde_json::json;

    use super::{is_spec_changed, set_generation};

    #[test]
    fn generation_follows_the_spec() {
        let mut kind = Kinds::builtin()
            .by_resource("apps", "v1", "deployments")
            .unwrap()
            .clone();
        kind.tracks_generation = true;
        let old = json!({"metadata": {"generation": 4}, "spec": {"a": 1}, "status": {"x": 1}});
        let mut status =
            json!({"metadata": {"generation": 9}, "spec": {"a": 1}, "status": {"x": 2}});
        assert!(!is_spec_changed(&status, &old));
        set_generation(&kind, &mut status, Some(&old));
        assert_eq!(status["metadata"]["generation"], 4);
        let mut spec = json!({"metadata": {}, "spec": {"a": 2}});
        set_generation(&kind, &mut spec, Some(&old));
        assert_eq!(spec["metadata"]["generation"], 5);
        set_generation(&kind, &mut spec, None);
        assert_eq!(spec["metadata"]["generation"], 1);
    }
}
