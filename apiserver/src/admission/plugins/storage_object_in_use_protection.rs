//! Keeps volumes, claims and their attribute classes from vanishing while they are used, by a
//! finalizer that a controller removes when they are not.

use api_meta::object;
use api_meta::status::Status;
use async_trait::async_trait;
use serde_json::Value;

use super::super::{Operation, Plugin, Request};

/// Group, resource and the finalizer of its objects.
const FINALIZERS: [(&str, &str, &str); 3] = [
    ("", "persistentvolumes", "kubernetes.io/pv-protection"),
    ("", "persistentvolumeclaims", "kubernetes.io/pvc-protection"),
    (
        "storage.k8s.io",
        "volumeattributesclasses",
        "kubernetes.io/vac-protection",
    ),
];

/// See the module.
pub struct StorageObjectInUseProtection;

#[async_trait]
impl Plugin for StorageObjectInUseProtection {
    fn name(&self) -> &'static str {
        "StorageObjectInUseProtection"
    }

    async fn mutate(&self, request: &mut Request<'_>) -> Result<(), Status> {
        if request.operation != Operation::Create {
            return Ok(());
        }
        let found = FINALIZERS
            .iter()
            .find(|(group, resource, _)| request.is_for(group, resource));
        let (Some((_, _, finalizer)), Some(object)) = (found, &mut request.object) else {
            return Ok(());
        };
        if object::finalizers(object).all(|one| one != *finalizer) {
            let mut all = object::list_at(object, &["metadata", "finalizers"]).to_vec();
            all.push(Value::from(*finalizer));
            object::set(object, &["metadata", "finalizers"], all.into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::StorageObjectInUseProtection;
    use crate::admission::{Operation, Plugin, Request};
    use crate::authz::builtin_kind;
    use crate::authz::testing::someone;

    async fn finalizers(resource: &str, before: Value) -> Value {
        let user = someone();
        let mut request = Request {
            operation: Operation::Create,
            kind: builtin_kind("", "v1", resource),
            subresource: None,
            namespace: "",
            name: "x",
            user: &user,
            object: Some(json!({"metadata": {"finalizers": before}})),
            old: None,
            dry_run: false,
        };
        let plugin = StorageObjectInUseProtection;
        plugin.mutate(&mut request).await.unwrap();
        request.object.unwrap()["metadata"]["finalizers"].take()
    }

    #[tokio::test]
    async fn storage_is_protected_once() {
        let pvc = "kubernetes.io/pvc-protection";
        let claims = "persistentvolumeclaims";
        assert_eq!(
            finalizers(claims, json!(["a/b"])).await,
            json!(["a/b", pvc])
        );
        assert_eq!(finalizers(claims, json!([pvc])).await, json!([pvc]));
        assert_eq!(finalizers("configmaps", Value::Null).await, Value::Null);
    }
}
