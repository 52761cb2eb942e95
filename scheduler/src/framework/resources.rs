//! Amounts of resources as whole numbers: milli-CPUs, bytes, counts.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Requested of a container for scoring where it names no CPU request, in milli-CPUs.
const SCORED_MILLI_CPU: i64 = 100;
/// Requested of a container for scoring where it names no memory request, in bytes.
const SCORED_MEMORY: i64 = 200 * 1024 * 1024;

/// A bundle of amounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// CPU in thousandths.
    pub milli_cpu: i64,
    /// Memory in bytes.
    pub memory: i64,
    /// Local storage in bytes.
    pub ephemeral_storage: i64,
    /// How many pods; only of nodes.
    pub pods: i64,
    /// Everything else by name.
    pub scalar: BTreeMap<String, i64>,
}

/// A list of amounts as objects carry it.
pub type Amounts = BTreeMap<String, Quantity>;

impl Resources {
    /// Reads a list such as a node's allocatable. An unreadable quantity counts as zero: the
    /// api-server admits none.
    pub fn of(amounts: &Amounts) -> Self {
        let mut out = Self::default();
        for (name, quantity) in amounts {
            match name.as_str() {
                "cpu" => out.milli_cpu = millis(quantity),
                "memory" => out.memory = units(quantity),
                "ephemeral-storage" => out.ephemeral_storage = units(quantity),
                "pods" => out.pods = units(quantity),
                _ => {
                    out.scalar.insert(name.clone(), units(quantity));
                }
            }
        }
        out
    }

    /// Whether nothing but `pods` is asked for.
    pub fn is_zero(&self) -> bool {
        self.milli_cpu == 0
            && self.memory == 0
            && self.ephemeral_storage == 0
            && self.scalar.values().all(|v| *v == 0)
    }

    /// Adds every amount of `other` but `pods`.
    pub fn add(&mut self, other: &Self) {
        self.merge(other, i64::saturating_add);
    }

    /// Takes every amount of `other` but `pods` away.
    pub fn subtract(&mut self, other: &Self) {
        self.merge(other, i64::saturating_sub);
    }

    fn raise_to(&mut self, other: &Self) {
        self.merge(other, i64::max);
    }

    fn merge(&mut self, other: &Self, f: fn(i64, i64) -> i64) {
        self.milli_cpu = f(self.milli_cpu, other.milli_cpu);
        self.memory = f(self.memory, other.memory);
        self.ephemeral_storage = f(self.ephemeral_storage, other.ephemeral_storage);
        for (name, amount) in &other.scalar {
            let mine = self.scalar.entry(name.clone()).or_default();
            *mine = f(*mine, *amount);
        }
    }
}

/// What a pod asks for, twice: what filters count, and what scores count, where a container
/// without a request still weighs something.
pub fn of_pod(spec: &PodSpec) -> (Resources, Resources) {
    (sum(spec, requests), sum(spec, scored_requests))
}

fn sum(spec: &PodSpec, of: fn(&Container) -> Resources) -> Resources {
    let mut total = Resources::default();
    for container in &spec.containers {
        total.add(&of(container));
    }
    // Sidecars (init containers that restart always) stay; an ordinary init container runs beside
    // the sidecars that precede it, so the pod needs the greatest such moment.
    let mut sidecars = Resources::default();
    let mut peak = Resources::default();
    for container in spec.init_containers.iter().flatten() {
        let request = of(container);
        if container.restart_policy.as_deref() == Some("Always") {
            total.add(&request);
            sidecars.add(&request);
            peak.raise_to(&sidecars);
        } else {
            let mut moment = sidecars.clone();
            moment.add(&request);
            peak.raise_to(&moment);
        }
    }
    total.raise_to(&peak);
    if let Some(requests) = spec.resources.as_ref().and_then(|r| r.requests.as_ref()) {
        let whole = Resources::of(requests);
        // A request for the whole pod replaces the sum for the resources it names.
        if requests.contains_key("cpu") {
            total.milli_cpu = whole.milli_cpu;
        }
        if requests.contains_key("memory") {
            total.memory = whole.memory;
        }
        total.scalar.extend(whole.scalar);
    }
    if let Some(overhead) = &spec.overhead {
        total.add(&Resources::of(overhead));
    }
    total
}

fn requests(container: &Container) -> Resources {
    amounts(container.resources.as_ref())
        .map(Resources::of)
        .unwrap_or_default()
}

fn scored_requests(container: &Container) -> Resources {
    let mut out = requests(container);
    let named = amounts(container.resources.as_ref());
    if !named.is_some_and(|a| a.contains_key("cpu")) {
        out.milli_cpu = SCORED_MILLI_CPU;
    }
    if !named.is_some_and(|a| a.contains_key("memory")) {
        out.memory = SCORED_MEMORY;
    }
    out
}

fn amounts(requirements: Option<&ResourceRequirements>) -> Option<&Amounts> {
    requirements?.requests.as_ref()
}

/// `quantity` in thousandths, rounded up. An unreadable one is zero: the api-server admits none.
pub fn millis(quantity: &Quantity) -> i64 {
    quantity
        .0
        .parse::<api_meta::quantity::Quantity>()
        .map_or(0, |q| q.millis())
}

/// `quantity` in whole units, rounded up.
pub fn units(quantity: &Quantity) -> i64 {
    quantity
        .0
        .parse::<api_meta::quantity::Quantity>()
        .map_or(0, |q| q.units())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::PodSpec;
    use serde_json::json;

    use super::of_pod;

    #[test]
    fn a_pod_asks_for_its_greatest_moment() {
        let spec: PodSpec = serde_json::from_value(json!({
            "containers": [
                {"name": "a", "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}}},
                {"name": "b", "resources": {"requests": {"cpu": "200m"}}},
            ],
            "initContainers": [
                {"name": "side", "restartPolicy": "Always", "resources": {"requests": {"cpu": "50m"}}},
                {"name": "init", "resources": {"requests": {"cpu": "1"}}},
            ],
            "overhead": {"cpu": "10m"},
        }))
        .expect("a pod spec");
        let (requests, scored) = of_pod(&spec);
        // The init container beside its sidecar: 1000 + 50, and the overhead.
        assert_eq!(requests.milli_cpu, 1060);
        assert_eq!(requests.memory, 1 << 30);
        assert_eq!(scored.memory, (1 << 30) + 2 * 200 * 1024 * 1024);
    }
}
