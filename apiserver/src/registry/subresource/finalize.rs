//! `namespaces/finalize`: lets go of a namespace, which goes when nothing holds it any more.

use std::sync::Arc;

use api_meta::status::Status;
use serde_json::Value;

use crate::admission::Operation;
use crate::cache::Object;
use crate::registry::context::{RequestContext, Target};
use crate::registry::service::Registry;
use crate::registry::tree;
use crate::registry::update::{Change, Part};

impl Registry {
    /// Sets the finalizers in the spec of a namespace to those of `sent`.
    pub async fn finalize(
        &self,
        ctx: &RequestContext,
        target: &Target,
        sent: &Value,
    ) -> Result<Arc<Object>, Status> {
        let make = |namespace: &Value| {
            let mut namespace = namespace.clone();
            let finalizers = tree::strings(sent, "/spec/finalizers");
            let spec = tree::child(&mut namespace, "spec");
            if finalizers.is_empty() {
                spec.remove("finalizers");
            } else {
                spec.insert("finalizers".into(), finalizers.into());
            }
            let metadata = tree::metadata(&mut namespace);
            tree::copy_field(metadata, sent.get("metadata"), "resourceVersion");
            let uid = tree::uid(sent);
            if !uid.is_empty() {
                metadata.insert("uid".into(), uid.into());
            }
            Ok(namespace)
        };
        let change = Change {
            part: Part::AsMade,
            subresource: Some("finalize"),
            operation: Operation::Update,
            make: &make,
        };
        self.change(ctx, target, &change).await
    }
}
