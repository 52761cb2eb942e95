//! Namespaces: held back by a finalizer until they are empty, and labelled with their name.

use api_meta::kinds::Kind;
use serde_json::{Value, json};

use crate::registry::context::RequestContext;
use crate::registry::strategy::Strategy;
use crate::registry::tree;

/// The finalizer of the namespace controller.
const KUBERNETES: &str = "kubernetes";
/// The label with which selectors find a namespace by its name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

pub(crate) struct Namespace;

impl Strategy for Namespace {
    fn prepare_create(&self, _: &RequestContext, _: &Kind, object: &mut Value) {
        let mut finalizers = tree::strings(object, "/spec/finalizers");
        if !finalizers.iter().any(|one| one == KUBERNETES) {
            finalizers.push(KUBERNETES.to_owned());
        }
        tree::child(object, "spec").insert("finalizers".into(), finalizers.into());
        if let Value::Object(map) = object {
            map.insert("status".into(), json!({"phase": "Active"}));
        }
        set_label(object);
    }

    fn prepare_update(&self, _: &RequestContext, new: &mut Value, old: &Value) {
        // Only the finalize subresource lets go of these.
        tree::copy_top(new, old, "spec");
        set_label(new);
    }

    fn prepare_status(&self, new: &mut Value, _: &Value) {
        set_label(new);
    }
}

fn set_label(object: &mut Value) {
    let name = tree::name(object).to_owned();
    tree::submap(tree::metadata(object), "labels").insert(NAME_LABEL.into(), name.into());
}
