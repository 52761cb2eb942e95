//! Rows of nodes, namespaces, events and other things of the cluster as a whole.

use jiff::Timestamp;
use serde_json::Value;

use super::text::{NONE, UNKNOWN, age, at, at_or, condition, is_true, joined, list, number, since};

const ROLE_PREFIX: &str = "node-role.kubernetes.io/";

/// Namespace.
pub(super) fn namespace(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![at(object, "/status/phase").into(), age(object, now)]
}

/// Node.
pub(super) fn node(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut status = match condition(object, "Ready") {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if is_true(object, "/spec/unschedulable") {
        status.push_str(",SchedulingDisabled");
    }
    let address = |kind: &str| {
        let addresses = list(object, "/status/addresses").iter();
        addresses
            .into_iter()
            .find(|a| at(a, "/type") == kind)
            .map_or(NONE, |a| at(a, "/address"))
    };
    let info = |field: &str| at_or(object, &format!("/status/nodeInfo/{field}"), UNKNOWN);
    let mut kernel = info("kernelVersion").to_owned();
    let architecture = at(object, "/status/nodeInfo/architecture");
    if !architecture.is_empty() {
        kernel = format!("{kernel} ({architecture})");
    }
    vec![
        status.into(),
        roles(object).into(),
        age(object, now),
        at(object, "/status/nodeInfo/kubeletVersion").into(),
        address("InternalIP").into(),
        address("ExternalIP").into(),
        info("osImage").into(),
        kernel.into(),
        info("containerRuntimeVersion").into(),
    ]
}

fn roles(object: &Value) -> String {
    let mut roles: Vec<&str> = api_meta::object::labels(object)
        .filter_map(|(key, value)| match key.strip_prefix(ROLE_PREFIX) {
            Some(role) => Some(role),
            None if key == "kubernetes.io/role" => Some(value),
            None => None,
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    roles.dedup();
    joined(&roles)
}

/// Event of either group. All its cells, since the name comes last.
pub(super) fn event(object: &Value, now: Timestamp) -> Vec<Value> {
    let first_of = |pointers: &[&str]| {
        pointers
            .iter()
            .map(|pointer| at(object, pointer))
            .find(|text| !text.is_empty())
            .unwrap_or_default()
    };
    let ago = |time: &str| {
        if time.is_empty() {
            UNKNOWN.to_owned()
        } else {
            since(time, now)
        }
    };
    let first = first_of(&["/firstTimestamp", "/deprecatedFirstTimestamp", "/eventTime"]);
    let last = first_of(&[
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/deprecatedLastTimestamp",
    ]);
    let about = if object.get("regarding").is_some() {
        "/regarding"
    } else {
        "/involvedObject"
    };
    let kind = at(object, &format!("{about}/kind")).to_lowercase();
    let name = at(object, &format!("{about}/name"));
    let subject = if name.is_empty() {
        kind
    } else {
        format!("{kind}/{name}")
    };
    let source: Vec<&str> = [
        first_of(&[
            "/source/component",
            "/deprecatedSource/component",
            "/reportingComponent",
            "/reportingController",
        ]),
        first_of(&[
            "/source/host",
            "/deprecatedSource/host",
            "/reportingInstance",
        ]),
    ]
    .into_iter()
    .filter(|part| !part.is_empty())
    .collect();
    let count = [
        number(object, "/series/count"),
        number(object, "/count"),
        number(object, "/deprecatedCount"),
        1,
    ];
    vec![
        ago(if last.is_empty() { first } else { last }).into(),
        at(object, "/type").into(),
        at(object, "/reason").into(),
        subject.into(),
        at(object, &format!("{about}/fieldPath")).into(),
        source.join(", ").into(),
        first_of(&["/message", "/note"]).trim().into(),
        ago(first).into(),
        count
            .into_iter()
            .find(|count| *count != 0)
            .unwrap_or(1)
            .into(),
        at(object, "/metadata/name").into(),
    ]
}

/// Lease.
pub(super) fn lease(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![at(object, "/spec/holderIdentity").into(), age(object, now)]
}

/// RuntimeClass.
pub(super) fn runtime_class(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![at(object, "/handler").into(), age(object, now)]
}

/// PriorityClass.
pub(super) fn priority_class(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        number(object, "/value").into(),
        is_true(object, "/globalDefault").into(),
        age(object, now),
        at(object, "/preemptionPolicy").into(),
    ]
}
