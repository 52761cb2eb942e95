//! Events: they expire by a lease (see the registry), and their first state is what the client says.

use api_meta::kinds::Kind;
use serde_json::Value;

use crate::registry::context::RequestContext;
use crate::registry::strategy::Strategy;
use crate::registry::tree;

pub(crate) struct Event;

impl Strategy for Event {
    fn prepare_create(&self, _: &RequestContext, _: &Kind, object: &mut Value) {
        // Nobody garbage-collects an event, so an owner would only keep the collector busy.
        tree::metadata(object).remove("finalizers");
    }
}
