//! Nothing is made in a namespace that does not exist or is ending, and three namespaces never end.
//!
//! A namespace that the cache does not know is looked up in the store before anything is refused: it
//! may have been made a moment ago through another replica.

use std::sync::Arc;

use api_meta::cause::Cause;
use api_meta::kinds::Kind;
use api_meta::object;
use api_meta::status::Status;
use async_trait::async_trait;

use super::super::{Operation, Plugin, Request};
use crate::authz::builtin_kind;
use crate::cache::{Object, ObjectReader};

const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// See the module.
pub struct NamespaceLifecycle {
    reader: Arc<dyn ObjectReader>,
}

impl NamespaceLifecycle {
    /// `reader` knows the namespaces.
    pub fn new(reader: Arc<dyn ObjectReader>) -> Self {
        Self { reader }
    }

    async fn find(&self, name: &str) -> Result<Option<Arc<Object>>, Status> {
        let kind = builtin_kind("", "v1", "namespaces");
        match self.reader.get(kind, "", name) {
            Some(found) => Ok(Some(found)),
            None => self.reader.get_consistent(kind, "", name).await,
        }
    }

    async fn check(&self, request: &Request<'_>) -> Result<(), Status> {
        if request.kind.group.is_empty() && request.kind.resource == "namespaces" {
            let doomed = request.operation == Operation::Delete && IMMORTAL.contains(&request.name);
            return if doomed {
                Err(Status::forbidden(
                    "",
                    "namespaces",
                    request.name,
                    "this namespace may not be deleted",
                ))
            } else {
                Ok(())
            };
        }
        let unconcerned = request.namespace.is_empty()
            || matches!(request.operation, Operation::Delete | Operation::Connect)
            // Who may not see the namespace must not learn whether it exists.
            || request.is_for_any_of("authorization.k8s.io", "localsubjectaccessreviews");
        if unconcerned {
            return Ok(());
        }
        let Some(namespace) = self.find(request.namespace).await? else {
            return Err(Status::not_found("", "namespaces", request.namespace));
        };
        if request.operation == Operation::Create && is_ending(&namespace)? {
            return Err(terminating(
                request.kind,
                request.named(),
                request.namespace,
            ));
        }
        Ok(())
    }
}

/// Whether the end of a namespace has begun.
pub(crate) fn is_ending(namespace: &Object) -> Result<bool, Status> {
    // The header answers for all but the rarest case without a tree.
    if namespace.header.deletion_timestamp.is_some() {
        return Ok(true);
    }
    Ok(object::str_at(&namespace.value()?, &["status", "phase"]) == Some("Terminating"))
}

/// The refusal to make an object in a namespace whose end has begun.
pub(crate) fn terminating(kind: &Kind, name: &str, namespace: &str) -> Status {
    let why = format!(
        "unable to create new content in namespace {namespace} because it is being terminated"
    );
    let message = format!("namespace {namespace} is being terminated");
    let status = Status::forbidden(&kind.group, &kind.resource, name, &why);
    status.with_cause(Cause::new(
        "NamespaceTerminating",
        "metadata.namespace",
        message,
    ))
}

#[async_trait]
impl Plugin for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }

    async fn mutate(&self, request: &mut Request<'_>) -> Result<(), Status> {
        self.check(request).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::NamespaceLifecycle;
    use crate::admission::{Operation, Plugin, Request};
    use crate::authz::builtin_kind;
    use crate::authz::testing::{Objects, pod_request, someone};

    fn plugin() -> NamespaceLifecycle {
        NamespaceLifecycle::new(Objects::shared_with_store(
            &[
                json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "live"}, "status": {"phase": "Active"}}),
                json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "ending", "deletionTimestamp": "2024-01-01T00:00:00Z"}, "status": {"phase": "Terminating"}}),
            ],
            &[
                json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "fresh"}, "status": {"phase": "Active"}}),
            ],
        ))
    }

    async fn outcome(operation: Operation, namespace: &str) -> String {
        let mut request = Request {
            namespace,
            ..pod_request(operation, json!({"metadata": {"name": "p"}}), None)
        };
        match plugin().mutate(&mut request).await {
            Ok(()) => "ok".to_owned(),
            Err(status) => format!("{} {}", status.code, status.message),
        }
    }

    #[tokio::test]
    async fn namespaces_must_live() {
        assert_eq!(outcome(Operation::Create, "live").await, "ok");
        // Known to the store, not yet to the cache.
        assert_eq!(outcome(Operation::Create, "fresh").await, "ok");
        assert_eq!(
            outcome(Operation::Create, "none").await,
            r#"404 namespaces "none" not found"#
        );
        assert_eq!(
            outcome(Operation::Create, "ending").await,
            r#"403 pods "p" is forbidden: unable to create new content in namespace ending because it is being terminated"#
        );
        assert_eq!(outcome(Operation::Update, "ending").await, "ok");
        assert_eq!(outcome(Operation::Delete, "none").await, "ok");
    }

    #[tokio::test]
    async fn the_cause_tells_machines_that_the_namespace_ends() {
        let mut request = Request {
            namespace: "ending",
            ..pod_request(Operation::Create, json!({"metadata": {"name": "p"}}), None)
        };
        let status = plugin().mutate(&mut request).await.unwrap_err();
        let causes = status.details.unwrap().causes;
        assert_eq!(causes[0].reason, "NamespaceTerminating");
        assert_eq!(causes[0].message, "namespace ending is being terminated");
    }

    #[tokio::test]
    async fn three_namespaces_are_immortal() {
        let user = someone();
        let delete = |name| Request {
            operation: Operation::Delete,
            kind: builtin_kind("", "v1", "namespaces"),
            subresource: None,
            namespace: name,
            name,
            user: &user,
            object: None,
            old: None,
            dry_run: false,
        };
        let refused = plugin()
            .mutate(&mut delete("kube-system"))
            .await
            .unwrap_err();
        assert_eq!(
            refused.message,
            r#"namespaces "kube-system" is forbidden: this namespace may not be deleted"#
        );
        plugin().mutate(&mut delete("mine")).await.unwrap();
    }
}
