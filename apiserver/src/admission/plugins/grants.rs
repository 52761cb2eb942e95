//! Keeps users from granting permissions that they do not hold.
//!
//! The decision is authorization's; this plugin only brings roles and bindings before it. It has no
//! name in upstream, where the check sits in the storage of these kinds, and cannot be switched off.

use std::sync::Arc;

use api_meta::status::Status;
use async_trait::async_trait;
use serde_json::Value;

use super::super::{Operation, Plugin, Request};
use crate::authn::UserInfo;
use crate::authz::Authorizer;

/// A write of a role or binding, for the guard.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'a> {
    /// Who writes.
    pub user: &'a UserInfo,
    /// `roles`, `clusterroles`, `rolebindings` or `clusterrolebindings`.
    pub resource: &'a str,
    /// The namespace, or empty.
    pub namespace: &'a str,
    /// The name in the URL; empty on create.
    pub request_name: &'a str,
    /// The object as it shall be stored.
    pub object: &'a Value,
    /// The object as it is stored; none on create.
    pub old: Option<&'a Value>,
}

/// Judges whether a write grants more than its writer holds.
pub trait GrantGuard: Send + Sync {
    /// 403 if it does.
    fn check(&self, grant: &Grant<'_>) -> Result<(), Status>;

    /// Who decides on what else a write needs besides its own verb. Without one, nothing more is
    /// asked of anybody.
    fn authorizer(&self) -> Option<Arc<dyn Authorizer>> {
        None
    }
}

/// See the module.
pub struct Grants {
    guard: Arc<dyn GrantGuard>,
}

impl Grants {
    /// `guard` judges.
    pub fn new(guard: Arc<dyn GrantGuard>) -> Self {
        Self { guard }
    }
}

#[async_trait]
impl Plugin for Grants {
    fn name(&self) -> &'static str {
        "Grants"
    }

    async fn validate(&self, request: &Request<'_>) -> Result<(), Status> {
        let writes = matches!(request.operation, Operation::Create | Operation::Update);
        if !writes || request.kind.group != "rbac.authorization.k8s.io" {
            return Ok(());
        }
        let Some(object) = &request.object else {
            return Ok(());
        };
        let request_name = if request.operation == Operation::Create {
            ""
        } else {
            request.name
        };
        self.guard.check(&Grant {
            user: request.user,
            resource: &request.kind.resource,
            namespace: request.namespace,
            request_name,
            object,
            old: request.old.as_ref(),
        })
    }
}
