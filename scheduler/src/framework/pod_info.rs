//! A pod with what the scheduler reads from it, worked out once.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, PodSpec, PodStatus};

use super::affinity::Terms;
use super::{Resources, requests};

/// A port a pod takes on its node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// The node's address; `0.0.0.0` takes all of them.
    pub ip: String,
    /// TCP, UDP or SCTP.
    pub protocol: String,
    /// The number.
    pub port: i32,
}

impl HostPort {
    /// Whether both cannot be on one node.
    pub fn conflicts(&self, other: &Self) -> bool {
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == other.ip || self.ip == "0.0.0.0" || other.ip == "0.0.0.0")
    }
}

/// A pod as the scheduler sees it.
#[derive(Clone, Debug)]
pub struct PodInfo {
    /// The object.
    pub pod: Arc<Pod>,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// What filters count.
    pub requests: Resources,
    /// What scores count.
    pub scored_requests: Resources,
    /// Ports on the node.
    pub host_ports: Vec<HostPort>,
    /// Its priority.
    pub priority: i32,
    /// What it requires of other pods' places.
    pub terms: Terms,
}

impl PodInfo {
    /// Reads `pod`.
    pub fn new(pod: Arc<Pod>) -> Self {
        let empty = PodSpec::default();
        let spec = pod.spec.as_ref().unwrap_or(&empty);
        let (requests, scored_requests) = requests::of_pod(&pod);
        Self {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            name: pod.metadata.name.clone().unwrap_or_default(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            requests,
            scored_requests,
            host_ports: host_ports(spec),
            priority: spec.priority.unwrap_or(0),
            terms: Terms::of(spec, pod.metadata.namespace.as_deref().unwrap_or_default()),
            pod: pod.clone(),
        }
    }

    /// The pod's specification, if it has one; the api-server admits no pod without.
    pub fn spec(&self) -> Option<&PodSpec> {
        self.pod.spec.as_ref()
    }

    /// The pod's status, if it has one.
    pub fn status(&self) -> Option<&PodStatus> {
        self.pod.status.as_ref()
    }

    /// `namespace/name`.
    pub fn key(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// The node the pod is assigned to.
    pub fn node_name(&self) -> Option<&str> {
        self.spec()?.node_name.as_deref().filter(|n| !n.is_empty())
    }

    /// The node that was freed for this pod by preemption.
    pub fn nominated_node(&self) -> Option<&str> {
        self.status()?
            .nominated_node_name
            .as_deref()
            .filter(|n| !n.is_empty())
    }

    /// Whether the pod is being deleted.
    pub fn is_terminating(&self) -> bool {
        self.pod.metadata.deletion_timestamp.is_some()
    }

    /// Whether the pod has ended, and holds no resources any more.
    pub fn is_terminal(&self) -> bool {
        let phase = self.status().and_then(|s| s.phase.as_deref());
        matches!(phase, Some("Succeeded" | "Failed"))
    }
}

fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let sidecars = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let ports = spec
        .containers
        .iter()
        .chain(sidecars)
        .flat_map(|c| c.ports.iter().flatten());
    let taken = ports.filter_map(|port| {
        let number = port.host_port.filter(|p| *p > 0)?;
        Some(HostPort {
            ip: port
                .host_ip
                .clone()
                .filter(|ip| !ip.is_empty())
                .unwrap_or_else(|| "0.0.0.0".to_owned()),
            protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
            port: number,
        })
    });
    taken.collect()
}
