//! Chooses the pods to collect, and what their status says at the end. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};

use crate::pods;

/// Somebody says by this taint that a node is switched off: its pods' containers have ended for sure.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// Why nobody else will delete a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It has finished, and there are too many of those.
    Surplus,
    /// It is being deleted on a node that is switched off.
    OutOfService,
    /// Its node does not exist.
    NodeGone,
    /// It is being deleted, and was never bound to a node.
    NeverBound,
}

/// A pod to collect.
#[derive(Clone, Debug)]
pub(super) struct Doomed {
    pub(super) pod: Arc<Pod>,
    pub(super) why: Why,
}

/// What the cache alone dooms. `keep` finished pods may stay; zero keeps all.
pub(super) fn doomed(
    all: &[Arc<Pod>],
    keep: usize,
    node: impl Fn(&str) -> Option<Arc<Node>>,
) -> Vec<Doomed> {
    let surplus = surplus(all, keep).into_iter();
    let surplus = surplus.map(|pod| (pod, Why::Surplus));
    let terminating = all.iter().filter(|pod| pods::is_terminating(pod));
    let stuck = terminating.filter_map(|pod| {
        let name = pods::node(pod);
        if name.is_empty() {
            return Some((pod.clone(), Why::NeverBound));
        }
        let is_off = node(name).is_some_and(|node| is_out_of_service(&node));
        is_off.then(|| (pod.clone(), Why::OutOfService))
    });
    let doomed = surplus.chain(stuck);
    doomed.map(|(pod, why)| Doomed { pod, why }).collect()
}

/// The oldest finished pods beyond `keep`; evicted ones before all others, as upstream.
fn surplus(all: &[Arc<Pod>], keep: usize) -> Vec<Arc<Pod>> {
    if keep == 0 {
        return Vec::new();
    }
    let finished = all.iter().filter(|pod| pods::is_finished(pod));
    let mut finished: Vec<Arc<Pod>> = finished.cloned().collect();
    let too_many = finished.len().saturating_sub(keep);
    finished.sort_by_key(|pod| {
        let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (!is_evicted(pod), created, pod.metadata.name.clone())
    });
    finished.truncate(too_many);
    finished
}

fn is_evicted(pod: &Pod) -> bool {
    let reason = pod
        .status
        .as_ref()
        .and_then(|status| status.reason.as_deref());
    pods::phase(pod) == "Failed" && reason == Some("Evicted")
}

/// The taint alone does not do: on a node that answers, the kubelet ends the pods.
fn is_out_of_service(node: &Node) -> bool {
    let taints = node.spec.iter();
    let mut taints = taints.flat_map(|spec| spec.taints.iter().flatten());
    let conditions = node.status.iter();
    let mut conditions = conditions.flat_map(|status| status.conditions.iter().flatten());
    let is_ready = conditions.any(|one| one.type_ == "Ready" && one.status == "True");
    !is_ready && taints.any(|taint| taint.key == OUT_OF_SERVICE)
}

/// The pods of nodes that do not exist, by node.
pub(super) fn orphans(
    all: &[Arc<Pod>],
    exists: impl Fn(&str) -> bool,
) -> BTreeMap<String, Vec<Arc<Pod>>> {
    let mut orphans: BTreeMap<String, Vec<Arc<Pod>>> = BTreeMap::new();
    for pod in all {
        let node = pods::node(pod);
        if !node.is_empty() && !exists(node) {
            orphans
                .entry(node.to_owned())
                .or_default()
                .push(pod.clone());
        }
    }
    orphans
}

/// The patch of the pod's status before it goes: that it has failed, because no kubelet will say so. Whoever counts it (a
/// Job) waits for that. None for a pod that has ended by itself.
pub(super) fn last_words(doomed: &Doomed, now: Timestamp) -> Option<Value> {
    if pods::is_finished(&doomed.pod) {
        return None;
    }
    let mut status = json!({ "phase": "Failed" });
    if doomed.why == Why::NodeGone {
        status["conditions"] = json!([{
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByPodGC",
            "message": "PodGC: node no longer exists",
            "lastTransitionTime": client::times::whole_seconds(now),
        }]);
    }
    Some(json!({ "metadata": { "uid": doomed.pod.metadata.uid }, "status": status }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use k8s_openapi::api::core::v1::{
        Node, NodeCondition, NodeSpec, NodeStatus, Pod, PodSpec, PodStatus, Taint,
    };
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::{Doomed, OUT_OF_SERVICE, Why, doomed, last_words, orphans};

    fn pod(name: &str, phase: &str, node: &str, created: i64) -> Pod {
        let mut pod = Pod {
            spec: Some(PodSpec {
                node_name: Some(node.into()),
                ..PodSpec::default()
            }),
            status: Some(PodStatus {
                phase: Some(phase.into()),
                ..PodStatus::default()
            }),
            ..Pod::default()
        };
        pod.metadata.name = Some(name.into());
        pod.metadata.creation_timestamp = Some(Time(Timestamp::from_second(created).unwrap()));
        pod
    }

    fn going(mut pod: Pod) -> Pod {
        pod.metadata.deletion_timestamp = Some(client::times::now());
        pod
    }

    fn node(name: &str) -> Option<Arc<Node>> {
        let taint = |key: &str| Taint {
            key: key.into(),
            ..Taint::default()
        };
        let make = |ready: &str, taints: Vec<Taint>| {
            let ready = NodeCondition {
                type_: "Ready".into(),
                status: ready.into(),
                ..NodeCondition::default()
            };
            Some(Arc::new(Node {
                spec: Some(NodeSpec {
                    taints: Some(taints),
                    ..NodeSpec::default()
                }),
                status: Some(NodeStatus {
                    conditions: Some(vec![ready]),
                    ..NodeStatus::default()
                }),
                ..Node::default()
            }))
        };
        match name {
            "n1" => make("True", Vec::new()),
            "silent" => make("Unknown", vec![taint("other")]),
            "off" => make("Unknown", vec![taint(OUT_OF_SERVICE)]),
            "coming" => make("True", vec![taint(OUT_OF_SERVICE)]),
            _ => None,
        }
    }

    /// `name why`, in order.
    fn check(pods: Vec<Pod>, keep: usize) -> Vec<String> {
        let all: Vec<Arc<Pod>> = pods.into_iter().map(Arc::new).collect();
        let text = |one: &Doomed| {
            let name = one.pod.metadata.name.clone().unwrap();
            format!("{name} {:?}", one.why)
        };
        doomed(&all, keep, node).iter().map(text).collect()
    }

    #[test]
    fn the_oldest_finished_pods_go_and_evicted_ones_first() {
        let mut evicted = pod("evicted", "Failed", "n1", 40);
        evicted.status.as_mut().unwrap().reason = Some("Evicted".into());
        let pods = vec![
            pod("new", "Succeeded", "n1", 30),
            pod("old", "Failed", "n1", 10),
            pod("mid", "Failed", "n1", 20),
            pod("running", "Running", "n1", 5),
            evicted,
        ];
        let gone = ["evicted Surplus", "old Surplus"];
        assert_eq!(check(pods.clone(), 2), gone);
        assert!(check(pods, 0).is_empty());
    }

    #[test]
    fn a_deletion_that_no_kubelet_will_end_is_ended() {
        let pods = vec![
            going(pod("unbound", "Pending", "", 1)),
            pod("waiting", "Pending", "", 1),
            going(pod("off", "Running", "off", 1)),
            pod("staying", "Running", "off", 1),
            going(pod("silent", "Running", "silent", 1)),
            going(pod("coming", "Running", "coming", 1)),
        ];
        assert_eq!(check(pods, 0), ["unbound NeverBound", "off OutOfService"]);
    }

    #[test]
    fn pods_of_nodes_that_do_not_exist_are_orphans() {
        let all = [
            Arc::new(pod("lost", "Running", "gone", 5)),
            Arc::new(pod("here", "Running", "n1", 5)),
            Arc::new(pod("unbound", "Pending", "", 5)),
        ];
        let lost = orphans(&all, |name| node(name).is_some());
        assert_eq!(lost.len(), 1);
        assert_eq!(lost["gone"][0].metadata.name.as_deref(), Some("lost"));
    }

    #[test]
    fn an_unfinished_pod_fails_before_it_goes() {
        let check = |phase: &str, why: Why| {
            let pod = Arc::new(pod("p", phase, "", 1));
            let words = last_words(&Doomed { pod, why }, Timestamp::UNIX_EPOCH);
            words.map(|words| words["status"].clone())
        };
        let failed = check("Pending", Why::NeverBound).unwrap();
        assert_eq!(failed["phase"], "Failed");
        assert!(failed["conditions"].is_null());
        let lost = check("Running", Why::NodeGone).unwrap();
        assert_eq!(lost["phase"], "Failed");
        assert_eq!(lost["conditions"][0]["reason"], "DeletionByPodGC");
        assert_eq!(check("Succeeded", Why::NodeGone), None);
        assert_eq!(check("Failed", Why::Surplus), None);
    }
}
