//! The conditions of a pod that the kubelet decides. Pure.

use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition, PodSpec, PodStatus};

use super::spec::is_sidecar;
use super::status::Facts;

/// The conditions of `status`, with those that others decide left as they are.
pub(super) fn conditions(
    facts: &Facts<'_>,
    spec: &PodSpec,
    status: &PodStatus,
) -> Vec<PodCondition> {
    let mut out = status.conditions.clone().unwrap_or_default();
    let phase = status.phase.as_deref().unwrap_or_default();
    let has_ended = matches!(phase, "Succeeded" | "Failed");
    let init = status
        .init_container_statuses
        .as_deref()
        .unwrap_or_default();
    let main = status.container_statuses.as_deref().unwrap_or_default();
    let (sidecars, init): (Vec<_>, Vec<_>) =
        init.iter().partition(|c| is_sidecar_of(spec, &c.name));
    let containers_ready = containers_ready(phase, main.iter().chain(sidecars.iter().copied()));
    let ready = ready(spec, &containers_ready, &out);
    let has_network = !has_ended && facts.state.ready_sandbox().is_some();
    let wanted = [
        ("PodReadyToStartContainers", condition(has_network, "", "")),
        ("Initialized", initialized(phase, main, &init, &sidecars)),
        ("Ready", ready),
        ("ContainersReady", containers_ready),
        ("PodScheduled", condition(true, "", "")),
    ];
    for (name, new) in wanted {
        set_condition(&mut out, name, &new, facts);
    }
    out
}

fn is_sidecar_of(spec: &PodSpec, name: &str) -> bool {
    let mut init = spec.init_containers.iter().flatten();
    init.any(|c| c.name == name && is_sidecar(c))
}

fn list(names: &[&str]) -> String {
    format!("[{}]", names.join(" "))
}

fn initialized(
    phase: &str,
    main: &[ContainerStatus],
    init: &[&ContainerStatus],
    sidecars: &[&ContainerStatus],
) -> Wanted {
    if phase == "Succeeded" {
        return condition(true, "PodCompleted", "");
    }
    // Once a container of the pod proper was made, the others have done their part.
    let is_over = main.iter().any(|c| c.container_id.is_some());
    let unended = init.iter().filter(|c| !c.ready);
    let unstarted = sidecars.iter().filter(|c| c.started != Some(true));
    let names: Vec<&str> = unended.chain(unstarted).map(|c| c.name.as_str()).collect();
    if is_over || names.is_empty() {
        return condition(true, "", "");
    }
    let message = format!("containers with incomplete status: {}", list(&names));
    condition(false, "ContainersNotInitialized", &message)
}

fn containers_ready<'a>(
    phase: &str,
    statuses: impl Iterator<Item = &'a ContainerStatus>,
) -> Wanted {
    let unready: Vec<&str> = statuses
        .filter(|c| !c.ready)
        .map(|c| c.name.as_str())
        .collect();
    match phase {
        "Succeeded" => condition(false, "PodCompleted", ""),
        "Failed" => condition(false, "PodFailed", ""),
        _ if unready.is_empty() => condition(true, "", ""),
        _ => {
            let message = format!("containers with unready status: {}", list(&unready));
            condition(false, "ContainersNotReady", &message)
        }
    }
}

fn ready(spec: &PodSpec, containers_ready: &Wanted, known: &[PodCondition]) -> Wanted {
    let is_open = |gate: &str| known.iter().any(|c| c.type_ == gate && c.status == "True");
    let gates = spec
        .readiness_gates
        .iter()
        .flatten()
        .map(|g| g.condition_type.as_str());
    let closed: Vec<String> = gates
        .filter(|gate| !is_open(gate))
        .map(|gate| {
            let state = if known.iter().any(|c| c.type_ == gate) {
                "has status \"False\""
            } else {
                "does not exist"
            };
            format!("corresponding condition of pod readiness gate {gate:?} {state}.")
        })
        .collect();
    if containers_ready.0 && !closed.is_empty() {
        return condition(false, "ReadinessGatesNotReady", &closed.join(", "));
    }
    containers_ready.clone()
}

type Wanted = (bool, String, String);

fn condition(is_true: bool, reason: &str, message: &str) -> Wanted {
    (is_true, reason.to_owned(), message.to_owned())
}

fn set_condition(
    conditions: &mut Vec<PodCondition>,
    name: &str,
    (is_true, reason, message): &Wanted,
    facts: &Facts<'_>,
) {
    let status = if *is_true { "True" } else { "False" };
    let text = |t: &String| Some(t.clone()).filter(|t| !t.is_empty());
    let old = conditions.iter().position(|c| c.type_ == name);
    let since = old
        .and_then(|i| conditions.get(i))
        .filter(|c| c.status == status);
    let new = PodCondition {
        type_: name.to_owned(),
        status: status.to_owned(),
        reason: text(reason),
        message: text(message),
        last_transition_time: since
            .and_then(|c| c.last_transition_time.clone())
            .or_else(|| Some(client::times::whole_seconds(facts.now))),
        last_probe_time: None,
        observed_generation: facts.pod.metadata.generation,
    };
    match old.and_then(|i| conditions.get_mut(i)) {
        Some(slot) => *slot = new,
        None => conditions.push(new),
    }
}
