//! The taints and conditions that a node should have. Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Taint};

use super::health::Pulse;

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
const NO_SCHEDULE: &str = "NoSchedule";
const NO_EXECUTE: &str = "NoExecute";

/// Which condition in which state means which taint.
const TAINTS: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    (
        "MemoryPressure",
        "True",
        "node.kubernetes.io/memory-pressure",
    ),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    (
        "NetworkUnavailable",
        "True",
        "node.kubernetes.io/network-unavailable",
    ),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];
/// The conditions that fall silent with a node.
const CONDITIONS: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];
/// A node that has never reported may take this long.
const STARTUP_GRACE: Duration = Duration::from_secs(60);

/// The node's condition of a type.
pub(super) fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// `True`, `False`, `Unknown`, or nothing where the node has never reported.
fn ready(node: &Node) -> Option<&str> {
    condition(node, "Ready").map(|ready| ready.status.as_str())
}

/// Whether the node says that it can run pods.
pub(super) fn is_ready(node: &Node) -> bool {
    ready(node) == Some("True")
}

/// Whether nobody knows about the node any more.
pub(super) fn is_lost(node: &Node) -> bool {
    ready(node) == Some("Unknown")
}

/// The zone of a node, with its region.
pub(super) fn zone(node: &Node) -> String {
    let label = |key: &str| {
        let labels = node.metadata.labels.as_ref();
        labels
            .and_then(|all| all.get(key))
            .map(String::as_str)
            .unwrap_or_default()
    };
    format!(
        "{}:{}",
        label("topology.kubernetes.io/region"),
        label("topology.kubernetes.io/zone")
    )
}

/// The node's own sign of life.
pub(super) fn pulse(node: &Node, renewed: Option<Timestamp>) -> Pulse {
    let heartbeat = condition(node, "Ready").and_then(|ready| ready.last_heartbeat_time.as_ref());
    Pulse {
        heartbeat: heartbeat.map(|time| time.0),
        renewed,
    }
}

/// The node with its conditions unknown, if it has been silent for too long and they are not yet.
pub(super) fn silenced(
    node: &Node,
    silence: Duration,
    grace: Duration,
    now: Timestamp,
) -> Option<Node> {
    let grace = if ready(node).is_some() {
        grace
    } else {
        STARTUP_GRACE
    };
    if silence <= grace || is_lost(node) {
        return None;
    }
    let mut node = node.clone();
    let created = node.metadata.creation_timestamp.clone();
    let conditions = node
        .status
        .get_or_insert_default()
        .conditions
        .get_or_insert_default();
    let now = client::times::whole_seconds(now);
    for kind in CONDITIONS {
        match conditions
            .iter_mut()
            .find(|condition| condition.type_ == kind)
        {
            Some(known) if known.status == "Unknown" => {}
            Some(known) => {
                known.status = "Unknown".to_owned();
                known.reason = Some("NodeStatusUnknown".to_owned());
                known.message = Some("Kubelet stopped posting node status.".to_owned());
                known.last_transition_time = Some(now.clone());
            }
            None => conditions.push(NodeCondition {
                type_: kind.to_owned(),
                status: "Unknown".to_owned(),
                reason: Some("NodeStatusNeverUpdated".to_owned()),
                message: Some("Kubelet never posted node status.".to_owned()),
                last_heartbeat_time: created.clone(),
                last_transition_time: Some(now.clone()),
            }),
        }
    }
    Some(node)
}

/// What may be done to pods of a node that is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GiveUp {
    /// The zone's pace allows it now.
    Allowed,
    /// Not yet.
    Later,
    /// Never: all nodes everywhere are lost.
    Never,
}

/// Whether the node lacks the taint that gives its pods up, so that the zone's pace must be asked.
pub(super) fn needs_pace(node: &Node) -> bool {
    let wanted = execute_key(node);
    let has_any = taints(node).iter().any(is_execute);
    wanted.is_some() && !has_any
}

/// The taints that the node should have, if they differ from those it has. Taints of others stay.
pub(super) fn wanted_taints(node: &Node, give_up: GiveUp, now: Timestamp) -> Option<Vec<Taint>> {
    let old = taints(node);
    let mut new: Vec<Taint> = Vec::new();
    let schedule: Vec<&str> = schedule_keys(node);
    let execute = match give_up {
        GiveUp::Never => None,
        GiveUp::Later => {
            // One that is there already is only swapped for the right one.
            execute_key(node).filter(|_| old.iter().any(is_execute))
        }
        GiveUp::Allowed => execute_key(node),
    };
    for taint in old {
        let is_kept = if taint.effect == NO_SCHEDULE && is_ours(&taint.key) {
            schedule.contains(&taint.key.as_str())
        } else if is_execute(taint) {
            execute == Some(taint.key.as_str())
        } else {
            true
        };
        if is_kept {
            new.push(taint.clone());
        }
    }
    let mut add = |key: &str, effect: &str| {
        if !new
            .iter()
            .any(|taint| taint.key == key && taint.effect == effect)
        {
            let time_added = Some(client::times::whole_seconds(now));
            let (key, effect) = (key.to_owned(), effect.to_owned());
            new.push(Taint {
                key,
                effect,
                time_added,
                value: None,
            });
        }
    };
    schedule.iter().for_each(|key| add(key, NO_SCHEDULE));
    execute.iter().for_each(|key| add(key, NO_EXECUTE));
    (new != old).then_some(new)
}

fn taints(node: &Node) -> &[Taint] {
    node.spec
        .as_ref()
        .and_then(|spec| spec.taints.as_deref())
        .unwrap_or_default()
}

fn is_ours(key: &str) -> bool {
    key == UNSCHEDULABLE || TAINTS.iter().any(|(_, _, known)| *known == key)
}

fn is_execute(taint: &Taint) -> bool {
    taint.effect == NO_EXECUTE && [NOT_READY, UNREACHABLE].contains(&taint.key.as_str())
}

fn execute_key(node: &Node) -> Option<&'static str> {
    match ready(node) {
        Some("False") => Some(NOT_READY),
        Some("Unknown") => Some(UNREACHABLE),
        _ => None,
    }
}

fn schedule_keys(node: &Node) -> Vec<&'static str> {
    let is_so = |kind: &str, status: &str| {
        condition(node, kind).is_some_and(|condition| condition.status == status)
    };
    let mut keys: Vec<&'static str> = TAINTS
        .iter()
        .filter(|(kind, status, _)| is_so(kind, status))
        .map(|(_, _, key)| *key)
        .collect();
    if node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true) {
        keys.push(UNSCHEDULABLE);
    }
    keys
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use k8s_openapi::api::core::v1::{Node, NodeCondition, NodeSpec, NodeStatus, Taint};

    use super::{GiveUp, needs_pace, silenced, wanted_taints};

    fn node(ready: Option<&str>, taints: &[(&str, &str)]) -> Node {
        let condition = |status: &str| NodeCondition {
            type_: "Ready".into(),
            status: status.into(),
            ..NodeCondition::default()
        };
        let taint = |(key, effect): &(&str, &str)| Taint {
            key: (*key).into(),
            effect: (*effect).into(),
            ..Taint::default()
        };
        Node {
            spec: Some(NodeSpec {
                taints: Some(taints.iter().map(taint).collect()),
                ..NodeSpec::default()
            }),
            status: Some(NodeStatus {
                conditions: ready.map(|status| vec![condition(status)]),
                ..NodeStatus::default()
            }),
            ..Node::default()
        }
    }

    const NOT_READY: &str = "node.kubernetes.io/not-ready";
    const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

    fn wanted(node: &Node, give_up: GiveUp) -> String {
        let Some(taints) = wanted_taints(node, give_up, Timestamp::UNIX_EPOCH) else {
            return "same".into();
        };
        let text = |taint: &Taint| {
            format!(
                "{}:{}",
                taint.key.replace("node.kubernetes.io/", ""),
                taint.effect
            )
        };
        taints.iter().map(text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn taints_follow_conditions() {
        use GiveUp::{Allowed, Later, Never};
        let fresh = node(
            Some("True"),
            &[(NOT_READY, "NoSchedule"), ("mine", "NoSchedule")],
        );
        assert_eq!(wanted(&fresh, Later), "mine:NoSchedule");
        assert_eq!(wanted(&node(Some("True"), &[]), Allowed), "same");
        let lost = node(Some("Unknown"), &[]);
        assert!(needs_pace(&lost));
        assert_eq!(wanted(&lost, Later), "unreachable:NoSchedule");
        assert_eq!(
            wanted(&lost, Allowed),
            "unreachable:NoSchedule unreachable:NoExecute"
        );
        let swapped = node(Some("Unknown"), &[(NOT_READY, "NoExecute")]);
        assert!(!needs_pace(&swapped));
        assert_eq!(
            wanted(&swapped, Later),
            "unreachable:NoSchedule unreachable:NoExecute"
        );
        assert_eq!(wanted(&swapped, Never), "unreachable:NoSchedule");
        let back = node(
            Some("True"),
            &[(UNREACHABLE, "NoExecute"), (UNREACHABLE, "NoSchedule")],
        );
        assert_eq!(wanted(&back, Allowed), "");
        let mut cordoned = node(Some("True"), &[]);
        cordoned.spec.as_mut().unwrap().unschedulable = Some(true);
        assert_eq!(wanted(&cordoned, Later), "unschedulable:NoSchedule");
    }

    #[test]
    fn silence_makes_conditions_unknown_once() {
        let (grace, now) = (Duration::from_secs(50), Timestamp::UNIX_EPOCH);
        let live = node(Some("True"), &[]);
        assert!(silenced(&live, Duration::from_secs(50), grace, now).is_none());
        let lost = silenced(&live, Duration::from_secs(51), grace, now).unwrap();
        let conditions = lost.status.as_ref().unwrap().conditions.as_ref().unwrap();
        assert_eq!(conditions.len(), 4);
        assert_eq!(conditions[0].reason.as_deref(), Some("NodeStatusUnknown"));
        assert_eq!(
            conditions[1].reason.as_deref(),
            Some("NodeStatusNeverUpdated")
        );
        assert!(silenced(&lost, Duration::from_secs(100), grace, now).is_none());
        let never = node(None, &[]);
        assert!(silenced(&never, Duration::from_secs(55), grace, now).is_none());
        assert!(silenced(&never, Duration::from_secs(61), grace, now).is_some());
    }
}
