//! Looks at the whole runtime once a second, and pokes the workers of the pods that changed there.
//!
//! It also finds what belongs to no pod of this node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use client::Store;
use k8s_openapi::api::core::v1::Pod;
use proto_cri::v1;
use tokio_util::sync::CancellationToken;

use super::spec::PodId;
use super::workers::Workers;
use crate::runtime::{self, Runtime, labels};

/// Upstream's period.
const PERIOD: Duration = Duration::from_secs(1);

/// For each pod's uid, its things in the runtime with their states.
type Picture = BTreeMap<String, (PodId, BTreeSet<(String, i32)>)>;

/// Looks until `stop`.
pub(super) async fn run(
    runtime: Arc<dyn Runtime>,
    workers: Workers,
    pods: Store<Pod>,
    stop: CancellationToken,
) {
    let mut last = Picture::new();
    loop {
        tokio::select! { biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
        let picture = match picture(&*runtime).await {
            Ok(picture) => picture,
            Err(error) => {
                tracing::warn!(error = %base::report(&error), "cannot list what the runtime holds");
                continue;
            }
        };
        for (uid, (id, things)) in &picture {
            let changed = last.get(uid).is_none_or(|(_, before)| before != things);
            // Before the list of pods is complete, a missing worker means nothing.
            if changed && !workers.poke(uid) && pods.is_synced() {
                workers.remove_orphan(id.clone());
            }
        }
        for uid in last.keys().filter(|uid| !picture.contains_key(*uid)) {
            workers.poke(uid);
        }
        if pods.is_synced() {
            last = picture;
        }
    }
}

async fn picture(runtime: &dyn Runtime) -> runtime::Result<Picture> {
    let mut picture = Picture::new();
    let mut add = |labels: &BTreeMap<String, String>, id: String, state: i32| {
        let text = |key: &str| labels.get(key).cloned().unwrap_or_default();
        let pod = PodId {
            namespace: text(labels::POD_NAMESPACE),
            name: text(labels::POD_NAME),
            uid: text(labels::POD_UID),
        };
        // What somebody else runs in the same runtime is none of our business.
        if !pod.uid.is_empty() {
            picture
                .entry(pod.uid.clone())
                .or_insert_with(|| (pod, BTreeSet::new()))
                .1
                .insert((id, state));
        }
    };
    for v1::PodSandbox {
        id, labels, state, ..
    } in runtime.sandboxes(None).await?
    {
        add(&labels, id, state);
    }
    for v1::Container {
        id, labels, state, ..
    } in runtime.containers(None).await?
    {
        add(&labels, id, state);
    }
    Ok(picture)
}
