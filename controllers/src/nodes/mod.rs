//! Watches over nodes: marks those that fall silent, keeps their taints true to their conditions, and marks the pods of
//! lost nodes as not ready. Evicting pods is the work of `eviction`.
//!
//! Silence is measured by our own clock, from the moment that a change of the node's lease or heartbeat was seen.

mod act;
mod census;
mod health;
mod plan;
mod zones;

use std::sync::Arc;

use client::Queue;
use client::store::Key;
use kube::ResourceExt;
use parking_lot::Mutex;

use self::act::Controller;
use self::census::Census;
use self::health::Health;
use self::zones::Zones;
use crate::driver::{Builder, Part, all_of, enqueue};

/// Adds the controller.
pub(crate) fn build(builder: &mut Builder) {
    let recorder = builder.recorder("node-controller");
    let queue = Queue::new();
    let census = Arc::new(Mutex::new(Census::default()));
    let count = census.clone();
    let nodes = builder.informers.nodes();
    // Counted before anyone is woken.
    nodes.add_handler(move |delta| {
        let (node, mut census) = (delta.object(), count.lock());
        if delta.is_deleted() {
            census.forget(&node.name_any());
        } else {
            census.note(node.name_any(), plan::zone(node), plan::is_ready(node));
        }
    });
    nodes.add_handler(enqueue(&queue));
    let nodes = nodes.store();
    let leases = builder.informers.node_leases().store();
    let (wake, of) = (queue.clone(), nodes.clone());
    let pods = builder.informers.pods();
    pods.add_handler(move |delta| {
        // A pod that comes to a lost node is not ready either.
        let node = crate::pods::node(delta.object());
        let is_moved = delta.old().is_none_or(|old| crate::pods::node(old) != node);
        if is_moved && of.get("", node).is_some_and(|node| plan::is_lost(&node)) {
            wake.add(Key::new("", node));
        }
    });
    let pods = pods.store();
    let (wake, of, period) = (
        queue.clone(),
        nodes.clone(),
        builder.options.node_monitor_period,
    );
    builder.task("node-monitor", move |stop| async move {
        let mut tick = tokio::time::interval(period);
        loop {
            tokio::select! { biased;
                () = stop.cancelled() => return,
                _ = tick.tick() => {
                    of.list().iter().for_each(|node| wake.add(Key::of(node.as_ref())));
                }
            }
        }
    });
    let zones = Zones::new(builder.options.node_eviction_rate);
    builder.part(Part {
        name: "node-lifecycle-controller",
        queue,
        workers: 4,
        all: all_of(&nodes),
        reconciler: Arc::new(Controller {
            client: builder.client.clone(),
            recorder,
            options: builder.options.clone(),
            nodes,
            leases,
            pods,
            health: Mutex::new(Health::default()),
            census,
            zones: Mutex::new(zones),
        }),
    });
}
