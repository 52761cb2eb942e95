//! A pod's row: how many containers are ready, and the one word for how it is.

use jiff::Timestamp;
use serde_json::Value;

use super::text::{NONE, age, at, at_or, condition, is_true, list, number, since};

/// Cells of a pod.
pub(super) fn pod(object: &Value, now: Timestamp) -> Vec<Value> {
    let summary = summarize(object);
    let restarts = match summary.last_restart {
        Some(last) if summary.restarts != 0 => {
            format!("{} ({} ago)", summary.restarts, since(last, now))
        }
        _ => summary.restarts.to_string(),
    };
    vec![
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.reason.into(),
        restarts.into(),
        age(object, now),
        at_or(object, "/status/podIP", NONE).into(),
        at_or(object, "/spec/nodeName", NONE).into(),
        at_or(object, "/status/nominatedNodeName", NONE).into(),
        readiness_gates(object).into(),
    ]
}

struct Summary<'a> {
    ready: usize,
    total: usize,
    restarts: i64,
    last_restart: Option<&'a str>,
    reason: String,
}

/// Mirrors `printPod` of upstream's printers.
fn summarize(object: &Value) -> Summary<'_> {
    let phase = at(object, "/status/phase");
    let mut summary = Summary {
        ready: 0,
        total: list(object, "/spec/containers").len(),
        restarts: 0,
        last_restart: None,
        reason: at_or(object, "/status/reason", phase).to_owned(),
    };
    let gated = list(object, "/status/conditions").iter();
    if gated
        .into_iter()
        .any(|c| at(c, "/type") == "PodScheduled" && at(c, "/reason") == "SchedulingGated")
    {
        summary.reason = "SchedulingGated".to_owned();
    }
    let is_initializing = init_containers(object, &mut summary);
    if !is_initializing || condition(object, "Initialized") == Some("True") {
        containers(object, &mut summary);
    }
    let is_deleted = object.pointer("/metadata/deletionTimestamp").is_some();
    if is_deleted && at(object, "/status/reason") == "NodeLost" {
        summary.reason = "Unknown".to_owned();
    } else if is_deleted && !matches!(phase, "Failed" | "Succeeded") {
        summary.reason = "Terminating".to_owned();
    }
    summary
}

/// Counts the init containers; true if one of them is still at work.
fn init_containers<'a>(object: &'a Value, summary: &mut Summary<'a>) -> bool {
    let declared = list(object, "/spec/initContainers");
    let is_sidecar = |name: &str| {
        declared
            .iter()
            .any(|c| at(c, "/name") == name && at(c, "/restartPolicy") == "Always")
    };
    summary.total += declared
        .iter()
        .filter(|c| at(c, "/restartPolicy") == "Always")
        .count();
    let mut sidecar_restarts = 0;
    for (i, status) in list(object, "/status/initContainerStatuses")
        .iter()
        .enumerate()
    {
        let restarts = number(status, "/restartCount");
        summary.restarts += restarts;
        note_restart(status, summary);
        let sidecar = is_sidecar(at(status, "/name"));
        if sidecar {
            sidecar_restarts += restarts;
        }
        let terminated = status.pointer("/state/terminated");
        if terminated.is_some_and(|state| number(state, "/exitCode") == 0) {
            continue;
        }
        if sidecar && is_true(status, "/started") {
            summary.ready += usize::from(is_true(status, "/ready"));
            continue;
        }
        let waiting = at(status, "/state/waiting/reason");
        summary.reason = match terminated {
            Some(state) => format!("Init:{}", end_of(state)),
            None if !waiting.is_empty() && waiting != "PodInitializing" => {
                format!("Init:{waiting}")
            }
            None => format!("Init:{i}/{}", declared.len()),
        };
        return true;
    }
    // Ended init containers do not count; sidecars do.
    summary.restarts = sidecar_restarts;
    false
}

fn containers<'a>(object: &'a Value, summary: &mut Summary<'a>) {
    let mut has_running = false;
    for status in list(object, "/status/containerStatuses").iter().rev() {
        summary.restarts += number(status, "/restartCount");
        note_restart(status, summary);
        let waiting = at(status, "/state/waiting/reason");
        if !waiting.is_empty() {
            summary.reason = waiting.to_owned();
        } else if let Some(state) = status.pointer("/state/terminated") {
            summary.reason = end_of(state);
        } else if is_true(status, "/ready") && status.pointer("/state/running").is_some() {
            has_running = true;
            summary.ready += 1;
        }
    }
    if summary.reason == "Completed" && has_running {
        let is_ready = condition(object, "Ready") == Some("True");
        summary.reason = if is_ready { "Running" } else { "NotReady" }.to_owned();
    }
}

/// Why a container ended, in one word.
fn end_of(terminated: &Value) -> String {
    match (at(terminated, "/reason"), number(terminated, "/signal")) {
        ("", 0) => format!("ExitCode:{}", number(terminated, "/exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

/// Keeps the latest end of an earlier run. The texts have one form and compare as times do.
fn note_restart<'a>(status: &'a Value, summary: &mut Summary<'a>) {
    let ended = at(status, "/lastState/terminated/finishedAt");
    if !ended.is_empty() && summary.last_restart.is_none_or(|last| last < ended) {
        summary.last_restart = Some(ended);
    }
}

fn readiness_gates(object: &Value) -> String {
    let gates = list(object, "/spec/readinessGates");
    if gates.is_empty() {
        return NONE.to_owned();
    }
    let is_met = |gate: &&Value| condition(object, at(gate, "/conditionType")) == Some("True");
    format!("{}/{}", gates.iter().filter(is_met).count(), gates.len())
}
