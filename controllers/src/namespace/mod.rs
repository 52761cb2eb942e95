//! Empties a namespace that is being deleted, pods first, and then takes its finalizer off.
//!
//! It trusts only what the server says at that moment, never a cache: a namespace must not end while anything is in it.

mod act;
mod plan;

use std::sync::Arc;
use std::time::Duration;

use client::Queue;
use client::store::Key;

use self::act::Controller;
use crate::driver::{Builder, Part, all_of};

/// Whatever stands in the way of a deletion may be gone any moment: it is tried at least this often, as upstream.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Adds the controller.
pub(crate) fn build(builder: &mut Builder) {
    let queue = Queue::with_delay_max(RETRY_MAX);
    let wake = queue.clone();
    let namespaces = builder.informers.namespaces();
    namespaces.add_handler(move |delta| {
        let namespace = delta.object();
        if !delta.is_deleted() && namespace.metadata.deletion_timestamp.is_some() {
            // As upstream's: time for the caches of other api-servers to learn that nothing may be created there.
            wake.add_after(Key::of(namespace.as_ref()), act::GRACE);
        }
    });
    let namespaces = namespaces.store();
    builder.part(Part {
        name: "namespace-controller",
        queue,
        workers: 5,
        all: all_of(&namespaces),
        reconciler: Arc::new(Controller {
            client: builder.client.clone(),
            namespaces,
        }),
    });
}
