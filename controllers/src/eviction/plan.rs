//! How long a pod may stay on a tainted node. Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, Taint, Toleration};

use crate::pods;

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// What becomes of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It stays.
    Stay,
    /// It stays for this long.
    Wait(Duration),
    /// It goes now.
    Evict,
}

/// The taints that drive pods out.
pub(super) fn taints(node: &Node) -> Vec<&Taint> {
    let all = node
        .spec
        .iter()
        .flat_map(|spec| spec.taints.iter().flatten());
    all.filter(|taint| taint.effect == "NoExecute").collect()
}

/// When a pod's time under a taint began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    key: String,
    /// As the taint says. Another time is another taint.
    added: Option<Timestamp>,
    since: Timestamp,
}

/// Decides on a pod of the node. `known` are the clocks of the last look at the pod; those of this look come back.
pub(super) fn verdict(
    pod: &Pod,
    node: &Node,
    known: &[Clock],
    now: Timestamp,
) -> (Verdict, Vec<Clock>) {
    let taints = taints(node);
    if taints.is_empty() || pods::is_terminating(pod) {
        return (Verdict::Stay, Vec::new());
    }
    let clocks: Vec<Clock> = taints
        .iter()
        .map(|taint| clock(pod, taint, known, now))
        .collect();
    let mut rest: Option<Duration> = None;
    for (taint, clock) in taints.into_iter().zip(&clocks) {
        let tolerations = pod.spec.iter();
        let mut tolerations = tolerations.flat_map(|spec| spec.tolerations.iter().flatten());
        let Some(toleration) = tolerations.find(|one| tolerates(one, taint)) else {
            return (Verdict::Evict, clocks);
        };
        let Some(seconds) = toleration.toleration_seconds else {
            continue;
        };
        let Ok(seconds) = u64::try_from(seconds) else {
            return (Verdict::Evict, clocks);
        };
        let passed = client::times::between(clock.since, now);
        let left = Duration::from_secs(seconds).saturating_sub(passed);
        rest = Some(rest.map_or(left, |rest| rest.min(left)));
    }
    let verdict = match rest {
        None => Verdict::Stay,
        Some(rest) if rest.is_zero() => Verdict::Evict,
        Some(rest) => Verdict::Wait(rest),
    };
    (verdict, clocks)
}

fn clock(pod: &Pod, taint: &Taint, known: &[Clock], now: Timestamp) -> Clock {
    let added = taint.time_added.as_ref().map(|time| time.0);
    // A pod that came after the taint is measured from its own arrival; a taint without a time, from when it was seen.
    let own = added.unwrap_or(now).max(bound(pod).unwrap_or(now));
    let is_dead = |key: &str| [NOT_READY, UNREACHABLE].contains(&key);
    let before = known.iter().find(|clock| clock.key == taint.key);
    let since = match before {
        Some(clock) if clock.added == added => clock.since,
        Some(_) => own,
        // A dead node's one taint is swapped for the other, with a new time: the pod's time runs on.
        None if is_dead(&taint.key) => {
            let other = known.iter().find(|clock| is_dead(&clock.key));
            other.map_or(own, |other| other.since.min(own))
        }
        None => own,
    };
    let key = taint.key.clone();
    Clock { key, added, since }
}

/// When the pod came to its node; where nobody noted that, when it was made.
fn bound(pod: &Pod) -> Option<Timestamp> {
    let scheduled = pods::condition(pod, "PodScheduled").filter(|one| one.status == "True");
    let bound = scheduled.and_then(|one| one.last_transition_time.as_ref());
    let time = bound.or(pod.metadata.creation_timestamp.as_ref());
    time.map(|time| time.0)
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let (key, effect) = (text(&toleration.key), text(&toleration.effect));
    if (!effect.is_empty() && effect != taint.effect) || (!key.is_empty() && key != taint.key) {
        return false;
    }
    match toleration.operator.as_deref() {
        Some("Exists") => true,
        None | Some("" | "Equal") => {
            !key.is_empty() && text(&toleration.value) == text(&taint.value)
        }
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::{SignedDuration, Timestamp};
    use k8s_openapi::api::core::v1::{
        Node, NodeSpec, Pod, PodCondition, PodSpec, PodStatus, Taint, Toleration,
    };
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::{NOT_READY, UNREACHABLE, Verdict, verdict};

    fn now() -> Timestamp {
        Timestamp::from_second(1_000_000).unwrap()
    }

    fn ago(seconds: i64) -> Time {
        Time(now() - SignedDuration::from_secs(seconds))
    }

    fn tainted(key: &str, age: Option<i64>) -> Node {
        let taint = Taint {
            key: key.into(),
            effect: "NoExecute".into(),
            time_added: age.map(ago),
            value: None,
        };
        Node {
            spec: Some(NodeSpec {
                taints: Some(vec![taint]),
                ..NodeSpec::default()
            }),
            ..Node::default()
        }
    }

    /// Tolerates everything for so long, if anything.
    fn pod(seconds: Option<Option<i64>>, age: i64) -> Pod {
        let toleration = |seconds| Toleration {
            operator: Some("Exists".into()),
            toleration_seconds: seconds,
            ..Toleration::default()
        };
        let mut pod = Pod {
            spec: Some(PodSpec {
                tolerations: seconds.map(|seconds| vec![toleration(seconds)]),
                ..PodSpec::default()
            }),
            ..Pod::default()
        };
        pod.metadata.creation_timestamp = Some(ago(age));
        pod
    }

    fn wait(seconds: u64) -> Verdict {
        Verdict::Wait(Duration::from_secs(seconds))
    }

    #[test]
    fn tolerations_run_out() {
        let check = |seconds, pod_age, taint_age| {
            let (pod, node) = (pod(seconds, pod_age), tainted("k", Some(taint_age)));
            verdict(&pod, &node, &[], now()).0
        };
        assert_eq!(check(None, 10, 10), Verdict::Evict);
        assert_eq!(check(Some(None), 10, 10), Verdict::Stay);
        assert_eq!(check(Some(Some(300)), 1000, 100), wait(200));
        assert_eq!(check(Some(Some(300)), 1000, 301), Verdict::Evict);
        assert_eq!(check(Some(Some(300)), 10, 1000), wait(290));
        assert_eq!(check(Some(Some(-1)), 10, 10), Verdict::Evict);
        let (stay, clocks) = verdict(&pod(None, 1), &Node::default(), &[], now());
        assert_eq!((stay, clocks.len()), (Verdict::Stay, 0));
    }

    #[test]
    fn a_pod_is_measured_from_its_arrival() {
        let mut late = pod(Some(Some(300)), 1000);
        let scheduled = PodCondition {
            type_: "PodScheduled".into(),
            status: "True".into(),
            last_transition_time: Some(ago(20)),
            ..PodCondition::default()
        };
        late.status = Some(PodStatus {
            conditions: Some(vec![scheduled]),
            ..PodStatus::default()
        });
        let node = tainted("k", Some(500));
        assert_eq!(verdict(&late, &node, &[], now()).0, wait(280));
    }

    #[test]
    fn a_taint_without_a_time_counts_from_when_it_was_seen() {
        let (pod, node) = (pod(Some(Some(300)), 1000), tainted("k", None));
        let (first, clocks) = verdict(&pod, &node, &[], now());
        assert_eq!(first, wait(300));
        let later = now() + SignedDuration::from_secs(100);
        let (second, clocks) = verdict(&pod, &node, &clocks, later);
        assert_eq!(second, wait(200));
        let last = now() + SignedDuration::from_secs(300);
        assert_eq!(verdict(&pod, &node, &clocks, last).0, Verdict::Evict);
    }

    #[test]
    fn a_swap_of_a_dead_nodes_taints_does_not_restart_the_clock() {
        let pod = pod(Some(Some(300)), 1000);
        let (first, clocks) = verdict(&pod, &tainted(NOT_READY, Some(200)), &[], now());
        assert_eq!(first, wait(100));
        let swapped = tainted(UNREACHABLE, Some(0));
        let (second, clocks) = verdict(&pod, &swapped, &clocks, now());
        assert_eq!(second, wait(100));
        let (third, clocks) = verdict(&pod, &swapped, &clocks, now());
        assert_eq!(third, wait(100), "also at the second look");
        // Taken off and put on again in between: a new time.
        let again = tainted(UNREACHABLE, Some(-10));
        let later = now() + SignedDuration::from_secs(10);
        assert_eq!(verdict(&pod, &again, &clocks, later).0, wait(300));
        // Other taints have nothing to do with each other.
        let (_, clocks) = verdict(&pod, &tainted("a", Some(200)), &[], now());
        let other = verdict(&pod, &tainted("b", Some(0)), &clocks, now()).0;
        assert_eq!(other, wait(300));
    }
}
