//! Writes pod statuses to the api-server, the newest of each pod, and removes pods that have ended.
//!
//! Workers hand reports over and never wait for the api-server: containers are kept running
//! while it is away.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::backoff::Backoff;
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::spec::PodId;

/// Writes at one time.
const WRITES_MAX: usize = 8;
const WRITE_TIME_MAX: Duration = Duration::from_secs(10);
/// Within this time after a write, the informer's copy of the pod may be older than it.
const ECHO_TIME_MAX: Duration = Duration::from_secs(30);

/// The conditions that the kubelet decides; others belong to others.
const OWN_CONDITIONS: [&str; 5] = [
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
];

/// What a worker found out.
#[derive(Clone, Debug)]
pub(super) struct Report {
    /// The pod.
    pub(super) id: PodId,
    /// The status that the api-server is known to have.
    pub(super) known: Option<PodStatus>,
    /// The status now.
    pub(super) status: PodStatus,
}

/// The handle. Holds one entry for each pod of the node.
#[derive(Clone, Default)]
pub(super) struct StatusWriter {
    entries: Arc<Mutex<HashMap<String, Entry>>>,
    changed: Arc<Notify>,
}

struct Entry {
    id: PodId,
    /// What the api-server is to have.
    wanted: Value,
    dirty: bool,
    /// Nothing of the pod runs any more and it is being deleted: the object may go.
    finished: bool,
    written: Option<(Value, Instant)>,
}

impl StatusWriter {
    /// Takes a report.
    pub(super) fn set(&self, report: Report) {
        let wanted = own_part(&report.status);
        let mut entries = self.entries.lock();
        let entry = entries
            .entry(report.id.uid.clone())
            .or_insert_with(|| Entry {
                id: report.id,
                wanted: Value::Null,
                dirty: false,
                finished: false,
                written: None,
            });
        let is_written = match &entry.written {
            Some((written, at)) if at.elapsed() < ECHO_TIME_MAX => *written == wanted,
            _ => report
                .known
                .as_ref()
                .is_some_and(|known| own_part(known) == wanted),
        };
        entry.dirty |= !is_written;
        entry.wanted = wanted;
        if entry.dirty {
            self.changed.notify_one();
        }
    }

    /// After the report that was set last, the object may be removed.
    pub(super) fn finish(&self, uid: &str) {
        if let Some(entry) = self.entries.lock().get_mut(uid) {
            entry.finished = true;
            entry.dirty = true;
        }
        self.changed.notify_one();
    }

    /// The pod is gone.
    pub(super) fn forget(&self, uid: &str) {
        self.entries.lock().remove(uid);
    }

    /// Writes until `stop`.
    pub(super) async fn run(self, client: kube::Client, stop: CancellationToken) {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
        loop {
            let work = self.take_dirty();
            if work.is_empty() {
                tokio::select! { biased;
                    () = stop.cancelled() => return,
                    () = self.changed.notified() => {}
                }
                continue;
            }
            let writes = futures::stream::iter(work)
                .map(|item| self.write(&client, item))
                .buffer_unordered(WRITES_MAX);
            let all_written = tokio::select! { biased;
                () = stop.cancelled() => return,
                all = writes.fold(true, |all, one| async move { all && one }) => all,
            };
            if all_written {
                backoff.reset();
                continue;
            }
            tokio::select! { biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(backoff.next_wait()) => {}
            }
        }
    }

    fn take_dirty(&self) -> Vec<(PodId, Value, bool)> {
        let mut entries = self.entries.lock();
        let dirty = entries.values_mut().filter(|e| e.dirty);
        let take = |entry: &mut Entry| {
            entry.dirty = false;
            (entry.id.clone(), entry.wanted.clone(), entry.finished)
        };
        dirty.map(take).collect()
    }

    async fn write(
        &self,
        client: &kube::Client,
        (id, wanted, finished): (PodId, Value, bool),
    ) -> bool {
        let pods: Api<Pod> = Api::namespaced(client.clone(), &id.namespace);
        let write = async {
            if !self.is_written(&id.uid, &wanted) {
                let patch =
                    Patch::Strategic(json!({"metadata": {"uid": id.uid}, "status": wanted}));
                pods.patch_status(&id.name, &PatchParams::default(), &patch)
                    .await?;
            }
            if finished {
                let preconditions = Preconditions {
                    uid: Some(id.uid.clone()),
                    resource_version: None,
                };
                let params = DeleteParams {
                    preconditions: Some(preconditions),
                    ..DeleteParams::default()
                };
                pods.delete(&id.name, &params.grace_period(0)).await?;
            }
            Ok::<(), kube::Error>(())
        };
        let result = tokio::time::timeout(WRITE_TIME_MAX, write).await;
        let mut entries = self.entries.lock();
        let Some(entry) = entries.get_mut(&id.uid) else {
            return true;
        };
        match result {
            Ok(Ok(())) => {
                entry.written = Some((wanted, Instant::now()));
                return true;
            }
            // The pod is gone, or another one has its name: the informer will tell the worker.
            Ok(Err(kube::Error::Api(status))) if status.is_not_found() || status.is_conflict() => {
                return true;
            }
            Ok(Err(error)) => {
                tracing::warn!(pod = %id, error = %base::report(&error), "status not written")
            }
            Err(_) => tracing::warn!(pod = %id, "status not written in time"),
        }
        entry.dirty = true;
        false
    }

    fn is_written(&self, uid: &str, wanted: &Value) -> bool {
        let entries = self.entries.lock();
        entries
            .get(uid)
            .and_then(|e| e.written.as_ref())
            .is_some_and(|(written, _)| written == wanted)
    }
}

/// The part of a status that the kubelet decides, as a strategic merge patch has it.
fn own_part(status: &PodStatus) -> Value {
    let conditions: Vec<_> = status
        .conditions
        .iter()
        .flatten()
        .filter(|c| is_own(&c.type_))
        .collect();
    let mut out = json!({
        "phase": status.phase,
        "conditions": conditions,
        "startTime": status.start_time,
        "hostIP": status.host_ip,
        "hostIPs": whole(status.host_ips.as_deref()),
        "podIP": status.pod_ip,
        "podIPs": whole(status.pod_ips.as_deref()),
        "containerStatuses": status.container_statuses,
        "reason": status.reason,
        "message": status.message,
    });
    if let Some(init) = &status.init_container_statuses {
        out["initContainerStatuses"] = json!(init);
    }
    if let Some(generation) = status.observed_generation {
        out["observedGeneration"] = generation.into();
    }
    if let Some(fields) = out.as_object_mut() {
        // A null would remove the field, and none of these is ever taken back.
        fields.retain(|_, value| !value.is_null());
    }
    out
}

/// A list that takes the place of the present one. Merged by address, as such lists are otherwise, a
/// pod whose sandbox was made again would keep its old address beside the new one.
fn whole<T: Serialize>(list: Option<&[T]>) -> Value {
    let Some(list) = list else {
        return Value::Null;
    };
    let items = list.iter().map(|item| json!(item));
    std::iter::once(json!({"$patch": "replace"}))
        .chain(items)
        .collect()
}

fn is_own(condition: &str) -> bool {
    OWN_CONDITIONS.contains(&condition)
}

/// Puts what the kubelet decided before into a status of the api-server, which may be older.
pub(super) fn carry_over(own: &PodStatus, into: &mut PodStatus) {
    let mut conditions: Vec<_> = into
        .conditions
        .take()
        .unwrap_or_default()
        .into_iter()
        .filter(|c| !is_own(&c.type_))
        .collect();
    conditions.extend(
        own.conditions
            .iter()
            .flatten()
            .filter(|c| is_own(&c.type_))
            .cloned(),
    );
    // An end that somebody else declared, such as an eviction, is final.
    let has_ended = matches!(into.phase.as_deref(), Some("Succeeded" | "Failed"));
    *into = PodStatus {
        phase: if has_ended {
            into.phase.clone()
        } else {
            own.phase.clone()
        },
        conditions: Some(conditions),
        start_time: own.start_time.clone(),
        host_ip: own.host_ip.clone(),
        host_ips: own.host_ips.clone(),
        pod_ip: own.pod_ip.clone(),
        pod_ips: own.pod_ips.clone(),
        container_statuses: own.container_statuses.clone(),
        init_container_statuses: own.init_container_statuses.clone(),
        ..std::mem::take(into)
    };
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{PodIP, PodStatus};
    use serde_json::json;

    use super::own_part;

    #[test]
    fn a_new_address_takes_the_place_of_the_old_one() {
        let status = PodStatus {
            pod_ips: Some(vec![PodIP {
                ip: "10.0.0.2".into(),
            }]),
            ..PodStatus::default()
        };
        let patch = own_part(&status);
        assert_eq!(
            patch["podIPs"],
            json!([{"$patch": "replace"}, {"ip": "10.0.0.2"}])
        );
        assert!(patch.get("hostIPs").is_none(), "{patch}");
    }
}
