//! A write as plugins see it, and what a plugin is.

use api_meta::kinds::Kind;
use api_meta::object;
use api_meta::status::Status;
use async_trait::async_trait;
use serde_json::Value;

use crate::authn::UserInfo;

/// What the request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new object, or a subresource that is created.
    Create,
    /// A change, by PUT or PATCH.
    Update,
    /// A deletion.
    Delete,
    /// A stream to the object: exec, attach, port-forward, proxy.
    Connect,
}

/// A write on its way to the store.
#[derive(Debug)]
pub struct Request<'a> {
    /// What it does.
    pub operation: Operation,
    /// The kind whose resource the path names, also where a subresource speaks another kind.
    pub kind: &'static Kind,
    /// The subresource, if any.
    pub subresource: Option<&'a str>,
    /// The namespace, or empty.
    pub namespace: &'a str,
    /// The name; empty where it will be generated.
    pub name: &'a str,
    /// Who asks.
    pub user: &'a UserInfo,
    /// The object as it shall be; none on deletion.
    pub object: Option<Value>,
    /// The object as it is; none on creation.
    pub old: Option<Value>,
    /// True if nothing will be stored. Plugins must then have no effect outside.
    pub dry_run: bool,
}

impl Request<'_> {
    /// True if the request is for this resource itself and not for a subresource.
    pub fn is_for(&self, group: &str, resource: &str) -> bool {
        self.subresource.is_none_or(str::is_empty) && self.is_for_any_of(group, resource)
    }

    /// True if the request is for this resource or one of its subresources.
    pub fn is_for_any_of(&self, group: &str, resource: &str) -> bool {
        self.kind.group == group && self.kind.resource == resource
    }

    /// The name by which a refusal calls the object.
    pub fn named(&self) -> &str {
        let generated = || {
            let object = self.object.as_ref()?;
            [object::name(object), object::generate_name(object)]
                .into_iter()
                .find(|name| !name.is_empty())
        };
        if self.name.is_empty() {
            generated().unwrap_or("Unknown")
        } else {
            self.name
        }
    }

    /// The 403 of a plugin.
    pub fn forbidden(&self, why: &str) -> Status {
        Status::forbidden(&self.kind.group, &self.kind.resource, self.named(), why)
    }
}

/// One rule of admission.
#[async_trait]
pub trait Plugin: Send + Sync {
    /// The name that `--enable-admission-plugins` knows.
    fn name(&self) -> &'static str;

    /// Fills in and changes. The default does nothing.
    async fn mutate(&self, request: &mut Request<'_>) -> Result<(), Status> {
        let _ = request;
        Ok(())
    }

    /// Refuses. Sees the object as it will be stored. The default refuses nothing.
    async fn validate(&self, request: &Request<'_>) -> Result<(), Status> {
        let _ = request;
        Ok(())
    }
}
