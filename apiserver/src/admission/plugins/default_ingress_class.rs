//! Gives Ingresses that name no class the default one.

use std::sync::Arc;

use api_meta::object;
use api_meta::status::Status;
use async_trait::async_trait;

use super::super::{Operation, Plugin, Request};
use super::default_class;
use crate::authz::builtin_kind;
use crate::cache::ObjectReader;

const GROUP: &str = "networking.k8s.io";
/// How Ingresses named their class before there was a field for it.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
const MARKS: [&str; 1] = ["ingressclass.kubernetes.io/is-default-class"];

/// See the module.
pub struct DefaultIngressClass {
    reader: Arc<dyn ObjectReader>,
}

impl DefaultIngressClass {
    /// `reader` knows the classes.
    pub fn new(reader: Arc<dyn ObjectReader>) -> Self {
        Self { reader }
    }
}

#[async_trait]
impl Plugin for DefaultIngressClass {
    fn name(&self) -> &'static str {
        "DefaultIngressClass"
    }

    async fn mutate(&self, request: &mut Request<'_>) -> Result<(), Status> {
        let concerned =
            request.operation == Operation::Create && request.is_for(GROUP, "ingresses");
        let Some(ingress) = request.object.as_mut().filter(|_| concerned) else {
            return Ok(());
        };
        let has_class = object::at(ingress, &["spec", "ingressClassName"]).is_some()
            || object::annotation(ingress, CLASS_ANNOTATION).is_some();
        if has_class {
            return Ok(());
        }
        let kind = builtin_kind(GROUP, "v1", "ingressclasses");
        if let Some(name) = default_class::newest(&*self.reader, kind, &MARKS)? {
            object::set(ingress, &["spec", "ingressClassName"], name.into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::DefaultIngressClass;
    use crate::admission::{Operation, Plugin, Request};
    use crate::authz::builtin_kind;
    use crate::authz::testing::{Objects, someone};

    async fn chosen(ingress: Value) -> Value {
        let class = json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "a",
            "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}}});
        let user = someone();
        let mut request = Request {
            operation: Operation::Create,
            kind: builtin_kind("networking.k8s.io", "v1", "ingresses"),
            subresource: None,
            namespace: "ns",
            name: "i",
            user: &user,
            object: Some(ingress),
            old: None,
            dry_run: false,
        };
        let plugin = DefaultIngressClass::new(Objects::shared(&[class]));
        plugin.mutate(&mut request).await.unwrap();
        request.object.unwrap()["spec"]["ingressClassName"].take()
    }

    #[tokio::test]
    async fn the_default_is_for_those_who_name_none() {
        assert_eq!(chosen(json!({"spec": {}})).await, "a");
        assert_eq!(
            chosen(json!({"spec": {"ingressClassName": "x"}})).await,
            "x"
        );
        let old =
            json!({"metadata": {"annotations": {"kubernetes.io/ingress.class": "x"}}, "spec": {}});
        assert_eq!(chosen(old).await, Value::Null);
    }
}
