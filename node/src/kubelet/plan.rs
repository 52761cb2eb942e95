//! Decides what to do about one pod, given what should be and what the runtime holds.
//!
//! Pure: no clock, no IO. The worker carries the plan out and asks again.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use proto_cri::v1::{self, ContainerState};

use super::pod_state::PodState;
use super::spec::{container_hash, is_sidecar};
use crate::runtime::labels;

/// What to do next, in this order: kill, sandbox, remove, start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Stop everything, the sandbox too: it is broken, or the pod has ended.
    pub kill_pod: bool,
    /// Make a sandbox with this number.
    pub sandbox: Option<u32>,
    /// Remove these sandboxes: a newer one has taken their place.
    pub remove: Vec<String>,
    /// Stop these containers.
    pub kill: Vec<Kill>,
    /// Start these containers, init containers among them.
    pub start: Vec<String>,
}

/// A container that has to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kill {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Why, for the event.
    pub message: String,
}

/// What probes say of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probed {
    /// The startup probe has succeeded, or there is none.
    pub started: bool,
    /// The readiness probe succeeds, or there is none.
    pub ready: bool,
    /// The liveness or startup probe has given up on the container.
    pub failed: Option<&'static str>,
}

/// The probes of a pod, by the container's id. A running container without an entry has not been
/// probed yet.
pub type Probes = BTreeMap<String, Probed>;

/// Works out the next steps.
pub fn plan(pod: &Pod, state: &PodState, probes: &Probes) -> Plan {
    let Some(spec) = pod.spec.as_ref() else {
        return Plan::default();
    };
    let policy = RestartPolicy::of(spec);
    if has_ended(spec, policy, state) {
        return Plan {
            kill_pod: !state.is_stopped(),
            ..Plan::default()
        };
    }
    let Some(_) = state.ready_sandbox() else {
        let broken = !state.is_stopped();
        return Plan {
            kill_pod: broken,
            sandbox: Some(state.next_attempt()),
            ..Plan::default()
        };
    };
    let mut out = Plan {
        remove: state.left_over().map(|s| s.id.clone()).collect(),
        ..Plan::default()
    };
    let initialized = plan_init(spec, policy, state, probes, &mut out);
    if !initialized {
        return out;
    }
    for container in &spec.containers {
        plan_container(container, policy, state, probes, &mut out);
    }
    out
}

/// Whether, and when, ended containers are started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Whatever the exit code.
    Always,
    /// When the exit code is not zero.
    OnFailure,
    /// Not at all.
    Never,
}

impl RestartPolicy {
    /// The pod's policy.
    pub fn of(spec: &PodSpec) -> Self {
        match spec.restart_policy.as_deref() {
            Some("Never") => Self::Never,
            Some("OnFailure") => Self::OnFailure,
            _ => Self::Always,
        }
    }

    /// Whether a container that ended so is started again.
    pub fn restarts(self, exited: &v1::ContainerStatus) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => exited.exit_code != 0,
            Self::Never => false,
        }
    }
}

/// Whether the pod has come to its end: an init container failed for good, or every container has
/// ended and none is started again.
pub fn has_ended(spec: &PodSpec, policy: RestartPolicy, state: &PodState) -> bool {
    let is_over = |container: &Container| {
        let latest = state.latest(&container.name);
        latest.is_some_and(|c| c.state() == ContainerState::ContainerExited && !policy.restarts(c))
    };
    init_failed(spec, policy, state)
        || (!spec.containers.is_empty() && spec.containers.iter().all(is_over))
}

/// Whether an init container failed and will not be tried again.
pub fn init_failed(spec: &PodSpec, policy: RestartPolicy, state: &PodState) -> bool {
    policy == RestartPolicy::Never
        && spec
            .init_containers
            .iter()
            .flatten()
            .filter(|c| !is_sidecar(c))
            .any(|container| {
                let latest = state.latest(&container.name);
                latest.is_some_and(|c| {
                    c.state() == ContainerState::ContainerExited && c.exit_code != 0
                })
            })
}

/// Goes through the init containers in order. True when all have done their part.
fn plan_init(
    spec: &PodSpec,
    policy: RestartPolicy,
    state: &PodState,
    probes: &Probes,
    out: &mut Plan,
) -> bool {
    // After a container of the pod proper was started, the init containers are done for good, even
    // if the runtime has forgotten them.
    let main_started = spec
        .containers
        .iter()
        .any(|c| state.latest(&c.name).is_some());
    for container in spec.init_containers.iter().flatten() {
        let latest = state.latest(&container.name);
        if is_sidecar(container) {
            plan_container(container, RestartPolicy::Always, state, probes, out);
            let is_up = latest.is_some_and(|c| {
                c.state() == ContainerState::ContainerRunning
                    && probes.get(&c.id).is_some_and(|p| p.started)
            });
            if !is_up && !main_started {
                return false;
            }
            continue;
        }
        if main_started {
            continue;
        }
        match latest.map(|c| (c.state(), c)) {
            Some((ContainerState::ContainerExited, c)) if c.exit_code == 0 => {}
            Some((ContainerState::ContainerRunning | ContainerState::ContainerUnknown, _)) => {
                return false;
            }
            Some((ContainerState::ContainerExited, _)) if policy == RestartPolicy::Never => {
                return false;
            }
            Some((ContainerState::ContainerExited | ContainerState::ContainerCreated, _))
            | None => {
                out.start.push(container.name.clone());
                return false;
            }
        }
    }
    true
}

fn plan_container(
    container: &Container,
    policy: RestartPolicy,
    state: &PodState,
    probes: &Probes,
    out: &mut Plan,
) {
    let Some(latest) = state.latest(&container.name) else {
        out.start.push(container.name.clone());
        return;
    };
    match latest.state() {
        ContainerState::ContainerRunning => {
            let failed = probes.get(&latest.id).and_then(|p| p.failed);
            let message = if is_outdated(container, latest) {
                format!("Container {} definition changed", container.name)
            } else if let Some(probe) = failed {
                format!("Container {} failed {probe} probe", container.name)
            } else {
                return;
            };
            let message = if policy == RestartPolicy::Never {
                message
            } else {
                format!("{message}, will be restarted")
            };
            out.kill.push(Kill {
                id: latest.id.clone(),
                name: container.name.clone(),
                message,
            });
        }
        ContainerState::ContainerExited if !policy.restarts(latest) => {}
        // A container that was made but not started is left over from a failed start.
        ContainerState::ContainerExited
        | ContainerState::ContainerCreated
        | ContainerState::ContainerUnknown => {
            out.start.push(container.name.clone());
        }
    }
}

/// Whether the container was made from another definition.
fn is_outdated(container: &Container, status: &v1::ContainerStatus) -> bool {
    let made_from = status.annotations.get(labels::CONTAINER_HASH);
    made_from.is_some_and(|hash| *hash != container_hash(container))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
