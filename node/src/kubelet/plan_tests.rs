//! Plans by table: a pod, what the runtime holds of it, what is to be done.

use expect_test::{Expect, expect};
use k8s_openapi::api::core::v1::Pod;
use proto_cri::v1::{
    ContainerMetadata, ContainerState, ContainerStatus, PodSandbox, PodSandboxMetadata,
    PodSandboxState,
};
use serde_json::{Value, json};

use super::{Plan, Probed, Probes, plan};
use crate::kubelet::pod_state::PodState;
use crate::kubelet::spec::container_hash;
use crate::runtime::labels;

fn pod(spec: Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "p", "uid": "u"}, "spec": spec}))
        .expect("a pod")
}

fn one() -> Pod {
    pod(json!({"containers": [{"name": "c", "image": "i"}]}))
}

/// What the runtime holds: a sandbox with its number, and containers.
#[derive(Default)]
struct Held(PodState);

impl Held {
    fn sandbox(mut self, attempt: u32, state: PodSandboxState) -> Self {
        let sandbox = PodSandbox {
            id: format!("sandbox{attempt}"),
            metadata: Some(PodSandboxMetadata {
                attempt,
                ..Default::default()
            }),
            state: state.into(),
            ..Default::default()
        };
        self.0.sandboxes.insert(0, sandbox);
        self
    }

    fn ready() -> Self {
        Self::default().sandbox(0, PodSandboxState::SandboxReady)
    }

    fn with(mut self, name: &str, state: ContainerState, exit_code: i32) -> Self {
        let definition = k8s_openapi::api::core::v1::Container {
            name: name.to_owned(),
            image: Some("i".to_owned()),
            ..Default::default()
        };
        let hash = (
            labels::CONTAINER_HASH.to_owned(),
            container_hash(&definition),
        );
        let status = ContainerStatus {
            id: format!("id-{name}"),
            metadata: Some(ContainerMetadata {
                name: name.to_owned(),
                attempt: 0,
            }),
            state: state.into(),
            exit_code,
            annotations: [hash].into(),
            ..Default::default()
        };
        self.0.containers.insert(name.to_owned(), vec![status]);
        self
    }

    fn running(self, name: &str) -> Self {
        self.with(name, ContainerState::ContainerRunning, 0)
    }

    fn exited(self, name: &str, exit_code: i32) -> Self {
        self.with(name, ContainerState::ContainerExited, exit_code)
    }
}

fn text(plan: &Plan) -> String {
    let mut parts = Vec::new();
    if plan.kill_pod {
        parts.push("kill the pod".to_owned());
    }
    parts.extend(plan.sandbox.map(|attempt| format!("sandbox {attempt}")));
    parts.extend(plan.remove.iter().map(|id| format!("remove {id}")));
    parts.extend(
        plan.kill
            .iter()
            .map(|kill| format!("kill {}: {}", kill.id, kill.message)),
    );
    parts.extend(plan.start.iter().map(|name| format!("start {name}")));
    parts.join("; ")
}

fn check(pod: &Pod, held: Held, want: Expect) {
    want.assert_eq(&text(&plan(pod, &held.0, &Probes::new())));
}

#[test]
fn a_new_pod_gets_a_sandbox_then_its_containers() {
    check(&one(), Held::default(), expect!["sandbox 0"]);
    check(&one(), Held::ready(), expect!["start c"]);
    check(&one(), Held::ready().running("c"), expect![""]);
}

#[test]
fn a_broken_sandbox_is_replaced() {
    let broken = || Held::default().sandbox(3, PodSandboxState::SandboxNotready);
    check(&one(), broken(), expect!["sandbox 4"]);
    check(
        &one(),
        broken().running("c"),
        expect!["kill the pod; sandbox 4"],
    );
    check(&one(), broken().exited("c", 1), expect!["sandbox 4"]);
}

#[test]
fn a_replaced_sandbox_goes_when_nothing_is_left_in_it() {
    let replaced = || {
        let broken = Held::default().sandbox(0, PodSandboxState::SandboxNotready);
        broken
            .sandbox(1, PodSandboxState::SandboxReady)
            .running("c")
    };
    check(&one(), replaced(), expect!["remove sandbox0"]);
    let mut in_use = replaced();
    in_use.0.in_use.insert("sandbox0".to_owned());
    check(&one(), in_use, expect![""]);
    // The newest one stays until there is another.
    let broken = Held::default().sandbox(0, PodSandboxState::SandboxNotready);
    check(&one(), broken, expect!["sandbox 1"]);
}

#[test]
fn the_restart_policy_decides_about_ended_containers() {
    for (policy, exit_code, want) in [
        ("Always", 0, "start c"),
        ("Always", 1, "start c"),
        ("OnFailure", 0, "kill the pod"),
        ("OnFailure", 1, "start c"),
        ("Never", 0, "kill the pod"),
        ("Never", 1, "kill the pod"),
    ] {
        let pod =
            pod(json!({"restartPolicy": policy, "containers": [{"name": "c", "image": "i"}]}));
        let got = plan(
            &pod,
            &Held::ready().exited("c", exit_code).0,
            &Probes::new(),
        );
        assert_eq!(text(&got), want, "{policy} {exit_code}");
    }
}

#[test]
fn a_pod_goes_on_until_its_last_container_has_ended() {
    let two = pod(
        json!({"restartPolicy": "Never", "containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]}),
    );
    check(&two, Held::ready().exited("a", 1).running("b"), expect![""]);
    check(
        &two,
        Held::ready().exited("a", 1).exited("b", 0),
        expect!["kill the pod"],
    );
    let stopped = || Held::default().sandbox(0, PodSandboxState::SandboxNotready);
    check(&two, stopped().exited("a", 1).exited("b", 0), expect![""]);
}

#[test]
fn init_containers_run_one_after_another() {
    let pod = |policy: &str| {
        pod(json!({
            "restartPolicy": policy,
            "initContainers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}],
            "containers": [{"name": "c", "image": "i"}],
        }))
    };
    check(&pod("Always"), Held::ready(), expect!["start a"]);
    check(&pod("Always"), Held::ready().running("a"), expect![""]);
    check(
        &pod("Always"),
        Held::ready().exited("a", 0),
        expect!["start b"],
    );
    check(
        &pod("Always"),
        Held::ready().exited("a", 1),
        expect!["start a"],
    );
    check(
        &pod("Never"),
        Held::ready().exited("a", 1),
        expect!["kill the pod"],
    );
    check(
        &pod("Always"),
        Held::ready().exited("a", 0).exited("b", 0),
        expect!["start c"],
    );
    // The runtime may forget what has done its part.
    check(&pod("Always"), Held::ready().running("c"), expect![""]);
}

#[test]
fn a_sidecar_starts_in_its_turn_and_stays() {
    let pod = pod(json!({
        "initContainers": [{"name": "side", "image": "i", "restartPolicy": "Always"}, {"name": "init", "image": "i"}],
        "containers": [{"name": "c", "image": "i"}],
    }));
    check(&pod, Held::ready(), expect!["start side"]);
    check(&pod, Held::ready().running("side"), expect![""]);
    let started = Probed {
        started: true,
        ready: true,
        failed: None,
    };
    let probes: Probes = [("id-side".to_owned(), started)].into();
    assert_eq!(
        text(&plan(&pod, &Held::ready().running("side").0, &probes)),
        "start init"
    );
    check(
        &pod,
        Held::ready().exited("side", 0).running("c"),
        expect!["start side"],
    );
}

#[test]
fn what_fails_its_probe_or_is_outdated_is_killed() {
    let failed = Probed {
        started: true,
        ready: false,
        failed: Some("liveness"),
    };
    let probes: Probes = [("id-c".to_owned(), failed)].into();
    let got = plan(&one(), &Held::ready().running("c").0, &probes);
    assert_eq!(
        text(&got),
        "kill id-c: Container c failed liveness probe, will be restarted"
    );
    let changed = pod(json!({"containers": [{"name": "c", "image": "other"}]}));
    check(
        &changed,
        Held::ready().running("c"),
        expect!["kill id-c: Container c definition changed, will be restarted"],
    );
}
