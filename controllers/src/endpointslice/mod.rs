//! Writes the pods of each Service into EndpointSlices. `plan` decides, `act` writes.
//!
//! It never touches slices that carry another manager's label, and makes none for Services without a selector.

mod act;
mod plan;

use std::sync::Arc;

use client::expectations::Expectations;
use client::store::Key;
use client::{Delta, Queue};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use self::act::Controller;
use crate::driver::{Builder, Part, all_of, enqueue};
use crate::services::wake_for_pod;

/// Adds the controller.
pub(crate) fn build(builder: &mut Builder) {
    let recorder = builder.recorder("endpoint-slice-controller");
    let queue = Queue::new();
    let expectations = Arc::new(Expectations::new());
    let services = builder.informers.services();
    services.add_handler(enqueue(&queue));
    let services = services.store();
    let (wake, of) = (queue.clone(), services.clone());
    let pods = builder.informers.pods();
    pods.add_handler(move |delta| wake_for_pod(&wake, &of, delta));
    let pods = pods.store();
    let (wake, seen) = (queue.clone(), expectations.clone());
    let slices = builder.informers.endpoint_slices();
    slices.add_handler(move |delta| note(&wake, &seen, delta));
    let slices = slices.store();
    let (wake, of) = (queue.clone(), services.clone());
    let nodes = builder.informers.nodes();
    nodes.add_handler(move |delta| {
        // Zones show in endpoints; everything else of a node does not.
        let zone = |node: &k8s_openapi::api::core::v1::Node| plan::zone(node).map(str::to_owned);
        let is_same = delta
            .old()
            .is_some_and(|old| zone(old) == zone(delta.object()));
        if !is_same {
            of.list()
                .iter()
                .for_each(|service| wake.add(Key::of(service.as_ref())));
        }
    });
    let nodes = nodes.store();
    let client = builder.client.clone();
    builder.part(Part {
        name: "endpointslice-controller",
        queue,
        workers: 5,
        all: all_of(&services),
        reconciler: Arc::new(Controller {
            client,
            recorder,
            services,
            pods,
            slices,
            nodes,
            expectations,
        }),
    });
}

/// A slice changed: its Service is to be looked at, and one expectation may be met.
fn note(queue: &Queue<Key>, expectations: &Expectations, delta: &Delta<'_, EndpointSlice>) {
    let slice = delta.object();
    if !plan::is_managed(slice) && !delta.old().is_some_and(|old| plan::is_managed(old)) {
        return;
    }
    let labels = [Some(slice), delta.old()].into_iter().flatten();
    for service in labels.filter_map(|slice| plan::service_of(slice)) {
        match delta {
            Delta::Added(_) => expectations.saw_creation(&service),
            Delta::Deleted(_) => expectations
                .saw_deletion(&service, slice.metadata.uid.as_deref().unwrap_or_default()),
            Delta::Updated { .. } => {}
        }
        queue.add(service);
    }
}
