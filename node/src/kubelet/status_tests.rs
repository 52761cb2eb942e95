//! Statuses by table: what the runtime holds, and the phase, states and conditions that follow.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus as Shown, Pod};
use proto_cri::v1::{self, ContainerState, PodSandboxState};
use serde_json::{Value, json};

use super::{Facts, Waiting, status};
use crate::kubelet::plan::{Probed, Probes};
use crate::kubelet::pod_state::PodState;

struct World {
    pod: Pod,
    state: PodState,
    probes: Probes,
    waiting: BTreeMap<String, Waiting>,
}

impl World {
    fn new(spec: Value) -> Self {
        let pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec}));
        let sandbox = v1::PodSandbox {
            state: PodSandboxState::SandboxReady.into(),
            ..Default::default()
        };
        let state = PodState {
            sandboxes: vec![sandbox],
            ip: Some("10.1.0.2".to_owned()),
            ..Default::default()
        };
        Self {
            pod: pod.expect("a pod"),
            state,
            probes: Probes::new(),
            waiting: BTreeMap::new(),
        }
    }

    fn with(mut self, name: &str, state: ContainerState, exit_code: i32) -> Self {
        let status = v1::ContainerStatus {
            id: name.to_owned(),
            state: state.into(),
            exit_code,
            ..Default::default()
        };
        self.state.containers.insert(name.to_owned(), vec![status]);
        self
    }

    fn running(mut self, name: &str, is_ready: bool) -> Self {
        self.probes.insert(
            name.to_owned(),
            Probed {
                started: true,
                ready: is_ready,
                failed: None,
            },
        );
        self.with(name, ContainerState::ContainerRunning, 0)
    }

    fn exited(self, name: &str, exit_code: i32) -> Self {
        self.with(name, ContainerState::ContainerExited, exit_code)
    }

    fn waits(mut self, name: &str, reason: &str) -> Self {
        self.waiting.insert(
            name.to_owned(),
            Waiting {
                reason: reason.to_owned(),
                message: String::new(),
            },
        );
        self
    }

    fn check(&self, want: Expect) {
        let status = status(&Facts {
            pod: &self.pod,
            state: &self.state,
            probes: &self.probes,
            waiting: &self.waiting,
            last_words: &BTreeMap::new(),
            host_ips: &["192.0.2.1".to_owned()],
            failed: None,
            runtime_name: "test",
            now: Timestamp::UNIX_EPOCH,
        });
        let mut out = vec![status.phase.unwrap_or_default()];
        let init = status.init_container_statuses.into_iter().flatten();
        out.extend(
            init.chain(status.container_statuses.into_iter().flatten())
                .map(|c| container(&c)),
        );
        let conditions = status
            .conditions
            .into_iter()
            .flatten()
            .filter(|c| c.status == "True");
        out.push(conditions.map(|c| c.type_).collect::<Vec<_>>().join(" "));
        want.assert_eq(&out.join("; "));
    }
}

fn container(c: &Shown) -> String {
    let state = c.state.clone().unwrap_or_default();
    let text = if state.running.is_some() {
        "running".to_owned()
    } else if let Some(ended) = state.terminated {
        format!("ended {}", ended.exit_code)
    } else {
        state.waiting.and_then(|w| w.reason).unwrap_or_default()
    };
    let last = c.last_state.as_ref().and_then(|l| l.terminated.as_ref());
    let last = last
        .map(|l| format!(" after {}", l.exit_code))
        .unwrap_or_default();
    format!(
        "{} {text}{last}{}",
        c.name,
        if c.ready { " ready" } else { "" }
    )
}

fn one(policy: &str) -> World {
    World::new(json!({"restartPolicy": policy, "containers": [{"name": "c"}]}))
}

#[test]
fn from_pending_to_running() {
    one("Always").check(expect![
        "Pending; c ContainerCreating; PodReadyToStartContainers Initialized PodScheduled"
    ]);
    one("Always").waits("c", "ErrImagePull").check(expect![
        "Pending; c ErrImagePull; PodReadyToStartContainers Initialized PodScheduled"
    ]);
    one("Always").running("c", false).check(expect![
        "Running; c running; PodReadyToStartContainers Initialized PodScheduled"
    ]);
    one("Always").running("c", true).check(expect!["Running; c running ready; PodReadyToStartContainers Initialized Ready ContainersReady PodScheduled"]);
}

#[test]
fn ends_and_restarts() {
    one("Never")
        .exited("c", 0)
        .check(expect!["Succeeded; c ended 0; Initialized PodScheduled"]);
    one("Never")
        .exited("c", 1)
        .check(expect!["Failed; c ended 1; Initialized PodScheduled"]);
    one("OnFailure")
        .exited("c", 0)
        .check(expect!["Succeeded; c ended 0; Initialized PodScheduled"]);
    one("Always").exited("c", 1).waits("c", "CrashLoopBackOff").check(expect!["Running; c CrashLoopBackOff after 1; PodReadyToStartContainers Initialized PodScheduled"]);
}

#[test]
fn init_containers_hold_the_pod_back() {
    let with_init = || {
        World::new(
            json!({"restartPolicy": "Never", "initContainers": [{"name": "i"}], "containers": [{"name": "c"}]}),
        )
    };
    with_init().running("i", true).check(expect![
        "Pending; i running; c PodInitializing; PodReadyToStartContainers PodScheduled"
    ]);
    with_init().exited("i", 0).check(expect!["Pending; i ended 0 ready; c PodInitializing; PodReadyToStartContainers Initialized PodScheduled"]);
    with_init().exited("i", 0).running("c", true).check(expect!["Running; i ended 0 ready; c running ready; PodReadyToStartContainers Initialized Ready ContainersReady PodScheduled"]);
    with_init().exited("i", 1).check(expect![
        "Failed; i ended 1; c PodInitializing; PodScheduled"
    ]);
}

#[test]
fn an_end_is_final() {
    let mut world = one("Never").running("c", true);
    world.pod.status = Some(serde_json::from_value(json!({"phase": "Failed"})).expect("a status"));
    world.check(expect!["Failed; c running ready; Initialized PodScheduled"]);
}
