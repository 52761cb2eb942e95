//! Gives claims that name no storage class the default one.

use std::sync::Arc;

use api_meta::object;
use api_meta::status::Status;
use async_trait::async_trait;

use super::super::{Operation, Plugin, Request};
use super::default_class;
use crate::authz::builtin_kind;
use crate::cache::ObjectReader;

/// How claims named their class before there was a field for it.
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
const MARKS: [&str; 2] = [
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
];

/// See the module.
pub struct DefaultStorageClass {
    reader: Arc<dyn ObjectReader>,
}

impl DefaultStorageClass {
    /// `reader` knows the classes.
    pub fn new(reader: Arc<dyn ObjectReader>) -> Self {
        Self { reader }
    }
}

#[async_trait]
impl Plugin for DefaultStorageClass {
    fn name(&self) -> &'static str {
        "DefaultStorageClass"
    }

    async fn mutate(&self, request: &mut Request<'_>) -> Result<(), Status> {
        let concerned =
            request.operation == Operation::Create && request.is_for("", "persistentvolumeclaims");
        let Some(claim) = request.object.as_mut().filter(|_| concerned) else {
            return Ok(());
        };
        // An empty name is a choice: no class at all.
        let has_class = object::at(claim, &["spec", "storageClassName"]).is_some()
            || object::annotation(claim, CLASS_ANNOTATION).is_some();
        if has_class {
            return Ok(());
        }
        let kind = builtin_kind("storage.k8s.io", "v1", "storageclasses");
        if let Some(name) = default_class::newest(&*self.reader, kind, &MARKS)? {
            object::set(claim, &["spec", "storageClassName"], name.into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::DefaultStorageClass;
    use crate::admission::{Operation, Plugin, Request};
    use crate::authz::builtin_kind;
    use crate::authz::testing::{Objects, someone};

    fn class(name: &str, mark: &str, made: &str) -> Value {
        json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name,
            "annotations": {(mark): "true"}, "creationTimestamp": made}})
    }

    async fn chosen(classes: &[Value], claim: Value) -> Value {
        let user = someone();
        let mut request = Request {
            operation: Operation::Create,
            kind: builtin_kind("", "v1", "persistentvolumeclaims"),
            subresource: None,
            namespace: "ns",
            name: "c",
            user: &user,
            object: Some(claim),
            old: None,
            dry_run: false,
        };
        let plugin = DefaultStorageClass::new(Objects::shared(classes));
        plugin.mutate(&mut request).await.unwrap();
        request.object.unwrap()["spec"]["storageClassName"].take()
    }

    #[tokio::test]
    async fn the_newest_default_is_taken() {
        let mark = "storageclass.kubernetes.io/is-default-class";
        let classes = [
            class("a", mark, "2024-01-01T00:00:00Z"),
            class(
                "b",
                "storageclass.beta.kubernetes.io/is-default-class",
                "2024-01-02T00:00:00Z",
            ),
            class("c", mark, "2024-01-02T00:00:00Z"),
            class("d", "other", "2024-01-03T00:00:00Z"),
        ];
        assert_eq!(chosen(&classes, json!({"spec": {}})).await, "b");
        assert_eq!(chosen(&[], json!({"spec": {}})).await, Value::Null);
    }

    #[tokio::test]
    async fn a_choice_is_kept() {
        let classes = [class(
            "a",
            "storageclass.kubernetes.io/is-default-class",
            "2024-01-01T00:00:00Z",
        )];
        assert_eq!(
            chosen(&classes, json!({"spec": {"storageClassName": ""}})).await,
            ""
        );
        let old = json!({"metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "x"}}, "spec": {}});
        assert_eq!(chosen(&classes, old).await, Value::Null);
    }
}
