//! Works out the status of a pod from what the runtime holds and what the last sync met. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus, HostIP, Pod, PodIP, PodSpec, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proto_cri::v1;

use super::conditions::conditions;
use super::plan::{Probes, RestartPolicy, has_ended, init_failed};
use super::pod_state::{PodState, restart_count};
use super::spec::{Role, containers, is_host_network};

/// Why a container does not run, as the last sync met it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Such as `ErrImagePull`.
    pub reason: String,
    /// For the user.
    pub message: String,
}

/// What the status is worked out from.
pub struct Facts<'a> {
    /// The pod with its last known status.
    pub pod: &'a Pod,
    /// What the runtime holds.
    pub state: &'a PodState,
    /// What the probes say.
    pub probes: &'a Probes,
    /// Containers that could not be started, and why.
    pub waiting: &'a BTreeMap<String, Waiting>,
    /// What ended containers left as their last words, by id.
    pub last_words: &'a BTreeMap<String, String>,
    /// The addresses of the node.
    pub host_ips: &'a [String],
    /// Why the kubelet itself has given the pod up, if so: reason and message.
    pub failed: Option<&'a (String, String)>,
    /// The runtime's name, such as `containerd`.
    pub runtime_name: &'a str,
    /// Now.
    pub now: Timestamp,
}

/// The status.
pub fn status(facts: &Facts<'_>) -> PodStatus {
    let old = facts.pod.status.clone().unwrap_or_default();
    let Some(spec) = facts.pod.spec.as_ref() else {
        return old;
    };
    let mut init_statuses = Vec::new();
    let mut statuses = Vec::new();
    for (role, container) in containers(spec) {
        let status = container_status(facts, spec, role, container);
        if role == Role::Main {
            statuses.push(status)
        } else {
            init_statuses.push(status)
        }
    }
    let phase = phase(facts, spec, &statuses);
    let ips = pod_ips(facts, spec, &old);
    let mut status = PodStatus {
        phase: Some(phase.to_owned()),
        start_time: old.start_time.clone().or_else(|| Some(seconds(facts.now))),
        host_ip: facts.host_ips.first().cloned(),
        host_ips: Some(
            facts
                .host_ips
                .iter()
                .map(|ip| HostIP { ip: ip.clone() })
                .collect(),
        ),
        pod_ip: ips.first().cloned(),
        pod_ips: (!ips.is_empty()).then(|| ips.into_iter().map(|ip| PodIP { ip }).collect()),
        container_statuses: Some(statuses),
        init_container_statuses: (!init_statuses.is_empty()).then_some(init_statuses),
        observed_generation: facts.pod.metadata.generation,
        ..old.clone()
    };
    if let Some((reason, message)) = facts.failed {
        (status.reason, status.message) = (Some(reason.clone()), Some(message.clone()));
    }
    status.conditions = Some(conditions(facts, spec, &status));
    status
}

fn pod_ips(facts: &Facts<'_>, spec: &PodSpec, old: &PodStatus) -> Vec<String> {
    if is_host_network(spec) {
        return facts.host_ips.to_vec();
    }
    // The address of a pod that has ended is still worth knowing.
    let known = facts.state.ip.clone().or_else(|| {
        old.pod_ip
            .clone()
            .filter(|_| !facts.state.sandboxes.is_empty())
    });
    known.into_iter().collect()
}

fn container_status(
    facts: &Facts<'_>,
    spec: &PodSpec,
    role: Role,
    container: &Container,
) -> ContainerStatus {
    let name = &container.name;
    let old = old_status(facts.pod, name);
    let latest = facts.state.latest(name);
    let mut out = ContainerStatus {
        name: name.clone(),
        image: container.image.clone().unwrap_or_default(),
        restart_count: old.map_or(0, |o| o.restart_count),
        started: Some(false),
        ..ContainerStatus::default()
    };
    if role == Role::Init {
        out.started = Some(false);
    }
    let Some(latest) = latest else {
        // Nothing is known any more of a container that ran before: keep what was written of it.
        if let Some(old) = old.filter(|o| o.state.as_ref().is_some_and(|s| s.terminated.is_some()))
        {
            return old.clone();
        }
        out.last_state = old.and_then(|o| o.last_state.clone());
        out.state = Some(waiting_state(facts, spec, role, name));
        return out;
    };
    out.container_id = Some(format!("{}://{}", facts.runtime_name, latest.id));
    out.image_id = if latest.image_id.is_empty() {
        latest.image_ref.clone()
    } else {
        latest.image_id.clone()
    };
    out.restart_count = restart_count(latest);
    let previous = facts.state.previous(name).map(|c| terminated(facts, c));
    out.last_state = previous.or_else(|| old.and_then(|o| o.last_state.clone()));
    let probed = facts.probes.get(&latest.id).copied().unwrap_or_default();
    match latest.state() {
        v1::ContainerState::ContainerRunning => {
            let started_at = Some(nanos(latest.started_at));
            out.state = Some(ContainerState {
                running: Some(ContainerStateRunning { started_at }),
                ..ContainerState::default()
            });
            out.started = Some(probed.started);
            out.ready = role != Role::Init && probed.started && probed.ready;
        }
        v1::ContainerState::ContainerExited => {
            let ended = terminated(facts, latest);
            match facts.waiting.get(name) {
                // It is to be started again but has to wait: what was its state becomes its last.
                Some(_) => {
                    out.last_state = Some(ended);
                    out.state = Some(waiting_state(facts, spec, role, name));
                }
                None => {
                    out.ready = role == Role::Init && latest.exit_code == 0;
                    out.state = Some(ended);
                }
            }
        }
        v1::ContainerState::ContainerCreated | v1::ContainerState::ContainerUnknown => {
            out.state = Some(waiting_state(facts, spec, role, name));
        }
    }
    out
}

fn old_status<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let init = status.init_container_statuses.iter().flatten();
    init.chain(status.container_statuses.iter().flatten())
        .find(|c| c.name == name)
}

fn waiting_state(facts: &Facts<'_>, spec: &PodSpec, role: Role, name: &str) -> ContainerState {
    let waiting = match facts.waiting.get(name) {
        Some(waiting) => ContainerStateWaiting {
            reason: Some(waiting.reason.clone()),
            message: Some(waiting.message.clone()).filter(|m| !m.is_empty()),
        },
        None => {
            let has_init = spec.init_containers.as_ref().is_some_and(|c| !c.is_empty());
            let reason = if has_init
                && (role == Role::Main
                    || role == Role::Sidecar
                    || !facts.state.sandboxes.is_empty())
            {
                "PodInitializing"
            } else {
                "ContainerCreating"
            };
            ContainerStateWaiting {
                reason: Some(reason.to_owned()),
                message: None,
            }
        }
    };
    ContainerState {
        waiting: Some(waiting),
        ..ContainerState::default()
    }
}

fn terminated(facts: &Facts<'_>, container: &v1::ContainerStatus) -> ContainerState {
    let words = facts.last_words.get(&container.id).cloned();
    let message = words
        .or_else(|| Some(container.message.clone()))
        .filter(|m| !m.is_empty());
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            container_id: Some(format!("{}://{}", facts.runtime_name, container.id)),
            exit_code: container.exit_code,
            reason: Some(container.reason.clone()).filter(|r| !r.is_empty()),
            message,
            started_at: Some(nanos(container.started_at)),
            finished_at: Some(nanos(container.finished_at)),
            signal: None,
        }),
        ..ContainerState::default()
    }
}

fn phase(facts: &Facts<'_>, spec: &PodSpec, statuses: &[ContainerStatus]) -> &'static str {
    let old = facts.pod.status.as_ref().and_then(|s| s.phase.as_deref());
    match old {
        // An end is final.
        Some("Succeeded") => return "Succeeded",
        Some("Failed") => return "Failed",
        _ if facts.failed.is_some() => return "Failed",
        _ => {}
    }
    let policy = RestartPolicy::of(spec);
    if init_failed(spec, policy, facts.state) {
        return "Failed";
    }
    if has_ended(spec, policy, facts.state) {
        let succeeded = spec.containers.iter().all(|c| {
            facts
                .state
                .latest(&c.name)
                .is_some_and(|s| s.exit_code == 0)
        });
        return if succeeded { "Succeeded" } else { "Failed" };
    }
    // A pod runs once each of its containers was started at least once.
    let was_started = |s: &ContainerStatus| {
        let state = s.state.as_ref();
        state.is_some_and(|s| s.running.is_some() || s.terminated.is_some())
            || s.last_state
                .as_ref()
                .is_some_and(|l| l.terminated.is_some())
    };
    if !statuses.is_empty() && statuses.iter().all(was_started) {
        "Running"
    } else {
        "Pending"
    }
}

fn seconds(at: Timestamp) -> Time {
    client::times::whole_seconds(at)
}

fn nanos(at: i64) -> Time {
    seconds(Timestamp::from_nanosecond(i128::from(at)).unwrap_or_default())
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
