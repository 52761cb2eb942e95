//! Patch: a change that is worked into whatever the object is when it is written.

use std::sync::Arc;

use api_machinery::patch;
use api_meta::status::Status;
use serde_json::Value;

use super::context::{RequestContext, Target};
use super::pipeline;
use super::service::Registry;
use super::tree;
use super::update::{Change, Part};
use crate::admission::Operation;
use crate::cache::Object;

/// The forms of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Kubernetes' own.
    Strategic,
}

impl Form {
    /// The form of a media type.
    pub fn of(media_type: &str) -> Result<Self, Status> {
        match media_type {
            "application/json-patch+json" => Ok(Self::Json),
            "application/merge-patch+json" => Ok(Self::Merge),
            "application/strategic-merge-patch+json" => Ok(Self::Strategic),
            "application/apply-patch+yaml" | "application/apply-patch+cbor" => {
                Err(Status::failure(
                    415,
                    "UnsupportedMediaType",
                    "server-side apply not yet supported",
                ))
            }
            _ => Err(Status::unsupported_media_type(patch::MEDIA_TYPES)),
        }
    }
}

impl Registry {
    /// Works a patch into an object.
    pub async fn patch(
        &self,
        ctx: &RequestContext,
        target: &Target,
        subresource: Option<&str>,
        form: Form,
        patch: &Value,
    ) -> Result<Arc<Object>, Status> {
        let kind = target.kind;
        let gvk = kind.gvk();
        let make = |current: &Value| {
            let mut patched = match form {
                Form::Json => patch::json(current, patch)?,
                Form::Merge => patch::merge(current, patch)?,
                Form::Strategic => patch::strategic(&gvk, current, patch)?,
            };
            pipeline::check_type(kind, &mut patched)?;
            pipeline::check_fields(ctx, kind, &patched, &[])?;
            pipeline::check_namespace(kind, &target.namespace, &mut patched)?;
            let own = tree::name(&patched);
            if own != target.name {
                return Err(super::create::name_mismatch(own, &target.name));
            }
            Ok(patched)
        };
        let part = if subresource == Some("status") {
            Part::Status
        } else {
            Part::Whole
        };
        let change = Change {
            part,
            subresource,
            operation: Operation::Update,
            make: &make,
        };
        self.change(ctx, target, &change).await
    }
}
