//! The garbage collector: deletes what has lost all its owners, holds foreground deletions until the dependents are gone,
//! and cuts dependents loose where a deletion says so.
//!
//! `resources` says which resources are to be watched, `monitors` watches their metadata, `graph` knows who owns whom, `plan` decides, `act` writes.
//! The graph only tells where to look: an object is deleted after live reads have shown that it and the absence of its
//! owners are real, and never another object of the same name (uids).

mod act;
mod graph;
mod monitors;
mod plan;
mod resources;

use std::sync::Arc;

use client::Queue;
use client::store::Key;
use parking_lot::Mutex;

use self::act::Controller;
use self::graph::{Graph, Task, Wake};
use self::monitors::Monitors;
use crate::driver::{Builder, Part};

/// Adds the controller.
pub(crate) fn build(builder: &mut Builder) {
    let graph = Arc::new(Mutex::new(Graph::default()));
    let queue = Queue::new();
    let monitors = Monitors::new(builder.client.clone(), graph.clone(), queue.clone());
    let (watching, all) = (monitors.clone(), graph.clone());
    builder.task("garbage-collector-monitors", move |stop| watching.run(stop));
    let client = builder.client.clone();
    builder.part(Part {
        name: "garbage-collector-controller",
        queue: queue.clone(),
        workers: 20,
        // What waits for something that was missed: owners that are held, and owners never seen.
        all: Box::new(move || all.lock().pending().into_iter().map(key).collect()),
        reconciler: Arc::new(Controller {
            client,
            graph,
            queue,
            monitors,
        }),
    });
}

/// The queue's keys are tasks on uids.
fn key(wake: Wake) -> Key {
    let task = match wake.task {
        Task::Collect => "collect",
        Task::Orphan => "orphan",
        Task::Verify => "verify",
    };
    Key::new(task, wake.uid)
}

fn wake(key: &Key) -> Wake {
    let task = match key.namespace.as_str() {
        "orphan" => Task::Orphan,
        "verify" => Task::Verify,
        _ => Task::Collect,
    };
    Wake {
        task,
        uid: key.name.clone(),
    }
}
