//! Small questions about a pod's specification.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

/// Whether an init container is a sidecar: started in its turn, and then kept running.
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// Whether the pod uses the node's network.
pub fn is_host_network(spec: &PodSpec) -> bool {
    spec.host_network == Some(true)
}

/// The containers in the order in which statuses list them: init containers, then the others.
pub fn containers(spec: &PodSpec) -> impl Iterator<Item = (Role, &Container)> {
    let init = spec.init_containers.iter().flatten();
    let init = init.map(|c| {
        (
            if is_sidecar(c) {
                Role::Sidecar
            } else {
                Role::Init
            },
            c,
        )
    });
    init.chain(spec.containers.iter().map(|c| (Role::Main, c)))
}

/// The container of that name.
pub fn container<'a>(spec: &'a PodSpec, name: &str) -> Option<(Role, &'a Container)> {
    containers(spec).find(|(_, c)| c.name == name)
}

/// What a container is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Has to end before the next one starts.
    Init,
    /// An init container that stays.
    Sidecar,
    /// The pod's own work.
    Main,
}

/// Tells definitions of a container apart. Only the image may change in a running pod.
pub fn container_hash(container: &Container) -> String {
    // FNV-1a: small, and the same in every build, which the standard library does not promise.
    let bytes = container
        .name
        .bytes()
        .chain([0])
        .chain(container.image.iter().flat_map(|i| i.bytes()));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:x}")
}

/// The parts of a pod's identity that nearly every message needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodId {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The uid.
    pub uid: String,
}

impl PodId {
    /// The identity of `pod`.
    pub fn of(pod: &Pod) -> Self {
        let text = |t: &Option<String>| t.clone().unwrap_or_default();
        Self {
            namespace: text(&pod.metadata.namespace),
            name: text(&pod.metadata.name),
            uid: text(&pod.metadata.uid),
        }
    }
}

impl std::fmt::Display for PodId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// How long the pod's containers may take to end.
pub fn grace_seconds(pod: &Pod) -> i64 {
    let asked = pod.metadata.deletion_grace_period_seconds;
    asked
        .or_else(|| pod.spec.as_ref()?.termination_grace_period_seconds)
        .unwrap_or(30)
}
