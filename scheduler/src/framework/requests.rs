//! What a pod asks for, summed over its containers as upstream's `PodRequests` does.
//!
//! While a pod is resized in place it counts with the most of what it wants, what its node has set
//! aside for it and what it runs with: until the kubelet says so, none of that is free for others.

use k8s_openapi::api::core::v1::{
    Container, ContainerStatus, Pod, PodSpec, PodStatus, ResourceRequirements,
};

use super::resources::{Amounts, Resources};

/// Requested of a container for scoring where it names no CPU request, in milli-CPUs.
const SCORED_MILLI_CPU: i64 = 100;
/// Requested of a container for scoring where it names no memory request, in bytes.
const SCORED_MEMORY: i64 = 200 * 1024 * 1024;

/// What a pod asks for, twice: what filters count, and what scores count, where a container
/// without a request still weighs something.
pub fn of_pod(pod: &Pod) -> (Resources, Resources) {
    let Some(spec) = &pod.spec else {
        return Default::default();
    };
    let view = View {
        spec,
        status: pod.status.as_ref(),
    };
    (view.sum(Asked::counted), view.sum(Asked::scored))
}

/// A pod's wishes beside what became of them.
#[derive(Clone, Copy)]
struct View<'a> {
    spec: &'a PodSpec,
    status: Option<&'a PodStatus>,
}

impl<'a> View<'a> {
    fn sum(self, weigh: fn(Asked) -> Resources) -> Resources {
        let mut total = Resources::default();
        for container in &self.spec.containers {
            total.add(&weigh(self.running(container)));
        }
        // Sidecars (init containers that restart always) stay; an ordinary init container runs beside
        // the sidecars that precede it, so the pod needs the greatest such moment.
        let mut sidecars = Resources::default();
        let mut peak = Resources::default();
        for container in self.spec.init_containers.iter().flatten() {
            if container.restart_policy.as_deref() == Some("Always") {
                let request = weigh(self.running(container));
                total.add(&request);
                sidecars.add(&request);
                peak.raise_to(&sidecars);
            } else {
                // It cannot be resized.
                let mut moment = sidecars.clone();
                moment.add(&weigh(Asked::most([requests(
                    container.resources.as_ref(),
                )])));
                peak.raise_to(&moment);
            }
        }
        total.raise_to(&peak);
        self.replace_by_whole(&mut total);
        if let Some(overhead) = &self.spec.overhead {
            total.add(&Resources::of(overhead));
        }
        total
    }

    /// What a container that can be resized asks for.
    fn running(self, container: &Container) -> Asked {
        let wanted = requests(container.resources.as_ref());
        let status = self.container_status(&container.name);
        match status.and_then(|s| Some((s, s.resources.as_ref()?))) {
            // It does not run yet.
            None => Asked::most([wanted]),
            Some((status, actual)) => Asked::most([
                self.feasible(wanted),
                requests(Some(actual)),
                status.allocated_resources.as_ref(),
            ]),
        }
    }

    /// A request for the whole pod replaces the sum for the resources it names.
    fn replace_by_whole(self, total: &mut Resources) {
        let Some(wanted) = requests(self.spec.resources.as_ref()) else {
            return;
        };
        let status = self.status.and_then(|s| Some((s, s.resources.as_ref()?)));
        let mut whole = match status {
            None => Asked::most([Some(wanted)]),
            Some((status, actual)) => Asked::most([
                self.feasible(Some(wanted)),
                requests(Some(actual)),
                status.allocated_resources.as_ref(),
            ]),
        }
        .amounts;
        if wanted.contains_key("cpu") {
            total.milli_cpu = whole.milli_cpu;
        }
        if wanted.contains_key("memory") {
            total.memory = whole.memory;
        }
        whole.scalar.retain(|name, _| wanted.contains_key(name));
        total.scalar.extend(whole.scalar);
    }

    /// What is wanted, unless the kubelet said that the node can never give it.
    fn feasible(self, wanted: Option<&'a Amounts>) -> Option<&'a Amounts> {
        let conditions = self.status.and_then(|s| s.conditions.as_deref());
        let pending = conditions
            .unwrap_or_default()
            .iter()
            .find(|c| c.type_ == "PodResizePending");
        wanted.filter(|_| pending.is_none_or(|c| c.reason.as_deref() != Some("Infeasible")))
    }

    fn container_status(self, name: &str) -> Option<&'a ContainerStatus> {
        let status = self.status?;
        let all = [&status.container_statuses, &status.init_container_statuses];
        all.into_iter().flatten().flatten().find(|s| s.name == name)
    }
}

/// What is asked for, and whether CPU and memory are named at all.
#[derive(Default)]
struct Asked {
    amounts: Resources,
    names_cpu: bool,
    names_memory: bool,
}

impl Asked {
    /// The greatest amount of each resource in `lists`.
    fn most<'a>(lists: impl IntoIterator<Item = Option<&'a Amounts>>) -> Self {
        let mut most = Self::default();
        for list in lists.into_iter().flatten() {
            most.amounts.raise_to(&Resources::of(list));
            most.names_cpu |= list.contains_key("cpu");
            most.names_memory |= list.contains_key("memory");
        }
        most
    }

    fn counted(self) -> Resources {
        self.amounts
    }

    fn scored(mut self) -> Resources {
        if !self.names_cpu {
            self.amounts.milli_cpu = SCORED_MILLI_CPU;
        }
        if !self.names_memory {
            self.amounts.memory = SCORED_MEMORY;
        }
        self.amounts
    }
}

fn requests(requirements: Option<&ResourceRequirements>) -> Option<&Amounts> {
    requirements?.requests.as_ref()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::{Value, json};

    use super::of_pod;

    fn read(pod: Value) -> Pod {
        serde_json::from_value(pod).expect("a pod")
    }

    #[test]
    fn a_pod_asks_for_its_greatest_moment() {
        let pod = read(json!({"spec": {
            "containers": [
                {"name": "a", "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}}},
                {"name": "b", "resources": {"requests": {"cpu": "200m"}}},
            ],
            "initContainers": [
                {"name": "side", "restartPolicy": "Always", "resources": {"requests": {"cpu": "50m"}}},
                {"name": "init", "resources": {"requests": {"cpu": "1"}}},
            ],
            "overhead": {"cpu": "10m"},
        }}));
        let (requests, scored) = of_pod(&pod);
        // The init container beside its sidecar: 1000 + 50, and the overhead.
        assert_eq!(requests.milli_cpu, 1060);
        assert_eq!(requests.memory, 1 << 30);
        assert_eq!(scored.memory, (1 << 30) + 2 * 200 * 1024 * 1024);
    }

    /// The milli-CPUs of a pod with a container and a sidecar, which want, run with and were given
    /// as many CPUs as listed.
    fn check_resize(container: [&str; 3], sidecar: [&str; 3], conditions: Value, want: i64) {
        let spec = |name, [wanted, ..]: [&str; 3]| json!({"name": name, "resources": {"requests": {"cpu": wanted}}});
        let status = |name, [_, actual, allocated]: [&str; 3]| {
            json!({"name": name, "image": "i", "imageID": "", "ready": true, "restartCount": 0,
                "resources": {"requests": {"cpu": actual}}, "allocatedResources": {"cpu": allocated}})
        };
        let mut side = spec("s", sidecar);
        side["restartPolicy"] = json!("Always");
        let pod = read(json!({
            "spec": {"containers": [spec("c", container)], "initContainers": [side]},
            "status": {"conditions": conditions, "containerStatuses": [status("c", container)],
                "initContainerStatuses": [status("s", sidecar)]},
        }));
        let (requests, scored) = of_pod(&pod);
        assert_eq!(requests.milli_cpu, want, "{container:?} {sidecar:?}");
        assert_eq!(scored.milli_cpu, want, "{container:?} {sidecar:?}");
    }

    #[test]
    fn a_pod_that_is_resized_counts_with_the_most() {
        let none = || json!([]);
        let pending = |reason: &str| json!([{"type": "PodResizePending", "status": "True", "reason": reason}]);
        check_resize(["1", "1", "1"], ["1", "1", "1"], none(), 2000);
        // It shrinks: the node gives nothing back yet.
        check_resize(["1", "3", "1"], ["1", "1", "1"], none(), 4000);
        check_resize(["1", "1", "3"], ["1", "1", "2"], none(), 5000);
        // It grows, or waits until it can.
        check_resize(["4", "1", "1"], ["1", "1", "1"], none(), 5000);
        check_resize(["4", "1", "1"], ["1", "1", "1"], pending("Deferred"), 5000);
        // It never will.
        check_resize(
            ["4", "1", "1"],
            ["1", "1", "1"],
            pending("Infeasible"),
            2000,
        );
    }

    #[test]
    fn a_pod_resized_as_a_whole_counts_with_the_most() {
        let with_actual = |actual: Value| {
            read(json!({
                "spec": {"containers": [{"name": "c"}], "resources": {"requests": {"cpu": "1"}}},
                "status": actual,
            }))
        };
        let cpu = |status: Value| of_pod(&with_actual(status)).0.milli_cpu;
        assert_eq!(cpu(json!({})), 1000);
        assert_eq!(
            cpu(
                json!({"resources": {"requests": {"cpu": "2"}}, "allocatedResources": {"cpu": "3"}})
            ),
            3000
        );
    }
}
