//! Rows of what watches requests, limits namespaces and scales workloads.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::text::{
    NONE, UNKNOWN, age, at, at_or, containers, duration, is_true, labels, list, number, size,
};

const UNSET: &str = "<unset>";
/// Metrics that are spelt out in a row.
const METRICS_SHOWN: usize = 2;

/// HorizontalPodAutoscaler, in either version.
pub(super) fn autoscaler(object: &Value, now: Timestamp) -> Vec<Value> {
    let target = |field: &str| at(object, &format!("/spec/scaleTargetRef/{field}"));
    let least = object.pointer("/spec/minReplicas").and_then(Value::as_i64);
    vec![
        format!("{}/{}", target("kind"), target("name")).into(),
        metrics(object).into(),
        least
            .map_or_else(|| UNSET.to_owned(), |least| least.to_string())
            .into(),
        number(object, "/spec/maxReplicas").into(),
        number(object, "/status/currentReplicas").into(),
        age(object, now),
    ]
}

fn metrics(object: &Value) -> String {
    // The older version has one metric, under a name of its own.
    if let Some(wanted) = object.pointer("/spec/targetCPUUtilizationPercentage") {
        let current = object.pointer("/status/currentCPUUtilizationPercentage");
        return format!("cpu: {}/{wanted}%", percent(current));
    }
    let wanted = list(object, "/spec/metrics");
    let current = list(object, "/status/currentMetrics");
    if wanted.is_empty() {
        return NONE.to_owned();
    }
    let shown: Vec<String> = wanted
        .iter()
        .enumerate()
        .map(|(i, metric)| self::metric(metric, current.get(i)))
        .collect();
    let first = shown.get(..METRICS_SHOWN).unwrap_or(&shown).join(", ");
    match shown.len().checked_sub(METRICS_SHOWN) {
        Some(more) if more > 0 => format!("{first} + {more} more..."),
        _ => first,
    }
}

fn metric(wanted: &Value, current: Option<&Value>) -> String {
    let (field, is_resource) = match at(wanted, "/type") {
        "Resource" => ("resource", true),
        "ContainerResource" => ("containerResource", true),
        "Pods" => ("pods", false),
        "Object" => ("object", false),
        "External" => ("external", false),
        _ => return "<unknown type>".to_owned(),
    };
    let target = |part: &str| wanted.pointer(&format!("/{field}/target/{part}"));
    let now = |part: &str| {
        current.and_then(|current| current.pointer(&format!("/{field}/current/{part}")))
    };
    let amount =
        |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or(UNKNOWN).to_owned();
    let name = at(wanted, &format!("/{field}/name"));
    match (target("averageValue"), is_resource) {
        (Some(average), true) => {
            format!(
                "{name}: {}/{}",
                amount(now("averageValue")),
                amount(Some(average))
            )
        }
        (None, true) => {
            let goal = target("averageUtilization");
            let goal = goal.map_or_else(|| "<auto>".to_owned(), |goal| format!("{goal}%"));
            format!("{name}: {}/{goal}", percent(now("averageUtilization")))
        }
        (Some(average), false) => {
            let mark = if field == "pods" { "" } else { " (avg)" };
            format!(
                "{}/{}{mark}",
                amount(now("averageValue")),
                amount(Some(average))
            )
        }
        (None, false) => format!("{}/{}", amount(now("value")), amount(target("value"))),
    }
}

fn percent(value: Option<&Value>) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), |value| format!("{value}%"))
}

/// ResourceQuota.
pub(super) fn resource_quota(object: &Value, now: Timestamp) -> Vec<Value> {
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    let hard = object.pointer("/status/hard").and_then(Value::as_object);
    for (name, most) in hard.into_iter().flatten() {
        let used = object
            .pointer("/status/used")
            .and_then(|used| used.get(name));
        let used = used.and_then(Value::as_str).unwrap_or("0");
        let cell = format!("{name}: {used}/{}", most.as_str().unwrap_or_default());
        let column = if name.starts_with("limits.") {
            &mut limits
        } else {
            &mut requests
        };
        column.push(cell);
    }
    vec![
        requests.join(", ").into(),
        limits.join(", ").into(),
        age(object, now),
    ]
}

/// PodTemplate.
pub(super) fn pod_template(object: &Value, _: Timestamp) -> Vec<Value> {
    let mut cells = containers(object.pointer("/template/spec")).to_vec();
    cells.push(labels(object.pointer("/template/metadata/labels")).into());
    cells
}

/// The configurations of webhooks.
pub(super) fn webhooks(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![size(object, "/webhooks").into(), age(object, now)]
}

/// Admission policies.
pub(super) fn admission_policy(object: &Value, now: Timestamp) -> Vec<Value> {
    let kind = match object.pointer("/spec/paramKind") {
        Some(kind) => format!("{}/{}", at(kind, "/apiVersion"), at(kind, "/kind")),
        None => UNSET.to_owned(),
    };
    let count = size(object, "/spec/validations") + size(object, "/spec/mutations");
    vec![count.into(), kind.into(), age(object, now)]
}

/// Bindings of admission policies.
pub(super) fn admission_binding(object: &Value, now: Timestamp) -> Vec<Value> {
    let name = at(object, "/spec/paramRef/name");
    let parameter = match (name, at_or(object, "/spec/paramRef/namespace", "*")) {
        ("", _) => UNSET.to_owned(),
        (name, namespace) => format!("{namespace}/{name}"),
    };
    vec![
        at(object, "/spec/policyName").into(),
        parameter.into(),
        age(object, now),
    ]
}

/// FlowSchema.
pub(super) fn flow_schema(object: &Value, now: Timestamp) -> Vec<Value> {
    let dangling = list(object, "/status/conditions")
        .iter()
        .find(|c| at(c, "/type") == "Dangling");
    vec![
        at(object, "/spec/priorityLevelConfiguration/name").into(),
        number(object, "/spec/matchingPrecedence").into(),
        at_or(object, "/spec/distinguisherMethod/type", NONE).into(),
        age(object, now),
        dangling
            .map_or("?", |condition| at(condition, "/status"))
            .into(),
    ]
}

/// PriorityLevelConfiguration.
pub(super) fn priority_level(object: &Value, now: Timestamp) -> Vec<Value> {
    let or_none = |pointer: &str| {
        object
            .pointer(pointer)
            .cloned()
            .unwrap_or_else(|| NONE.into())
    };
    vec![
        at(object, "/spec/type").into(),
        or_none("/spec/limited/nominalConcurrencyShares"),
        or_none("/spec/limited/limitResponse/queuing/queues"),
        or_none("/spec/limited/limitResponse/queuing/handSize"),
        or_none("/spec/limited/limitResponse/queuing/queueLengthLimit"),
        age(object, now),
    ]
}

/// APIService: what serves it, and whether it answers.
pub(super) fn api_service(object: &Value, now: Timestamp) -> Vec<Value> {
    let service = match object.pointer("/spec/service") {
        Some(service) if service.is_object() => {
            format!("{}/{}", at(service, "/namespace"), at(service, "/name"))
        }
        _ => "Local".to_owned(),
    };
    let condition = list(object, "/status/conditions")
        .iter()
        .find(|c| at(c, "/type") == "Available");
    let available = match condition {
        Some(condition) if at(condition, "/status") == "True" => "True".to_owned(),
        Some(condition) => format!(
            "{} ({})",
            at(condition, "/status"),
            at(condition, "/reason")
        ),
        None => "Unknown".to_owned(),
    };
    vec![service.into(), available.into(), age(object, now)]
}

/// CertificateSigningRequest.
pub(super) fn signing_request(object: &Value, now: Timestamp) -> Vec<Value> {
    let has = |kind: &str| {
        list(object, "/status/conditions")
            .iter()
            .any(|condition| at(condition, "/type") == kind)
    };
    let mut status = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    }
    .to_owned();
    if has("Failed") {
        status.push_str(",Failed");
    }
    if !at(object, "/status/certificate").is_empty() {
        status.push_str(",Issued");
    }
    let seconds = object
        .pointer("/spec/expirationSeconds")
        .and_then(Value::as_i64);
    vec![
        age(object, now),
        at_or(object, "/spec/signerName", NONE).into(),
        at(object, "/spec/username").into(),
        seconds.map_or_else(|| NONE.to_owned(), duration).into(),
        status.into(),
    ]
}

/// CSIDriver.
pub(super) fn csi_driver(object: &Value, now: Timestamp) -> Vec<Value> {
    let audiences = object
        .pointer("/spec/tokenRequests")
        .and_then(Value::as_array)
        .map(|requests| {
            requests
                .iter()
                .map(|request| at(request, "/audience"))
                .collect::<Vec<_>>()
                .join(",")
        });
    let modes: Vec<&str> = list(object, "/spec/volumeLifecycleModes")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let modes = if modes.is_empty() {
        NONE.to_owned()
    } else {
        modes.join(",")
    };
    let attaches = object
        .pointer("/spec/attachRequired")
        .is_none_or(|value| value == &Value::Bool(true));
    vec![
        attaches.into(),
        is_true(object, "/spec/podInfoOnMount").into(),
        is_true(object, "/spec/storageCapacity").into(),
        audiences.unwrap_or_else(|| UNSET.to_owned()).into(),
        is_true(object, "/spec/requiresRepublish").into(),
        modes.into(),
        age(object, now),
    ]
}

/// VolumeAttributesClass.
pub(super) fn volume_attributes_class(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![at(object, "/driverName").into(), age(object, now)]
}

/// ResourceSlice.
pub(super) fn resource_slice(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        at(object, "/spec/nodeName").into(),
        at(object, "/spec/driver").into(),
        at(object, "/spec/pool/name").into(),
        age(object, now),
    ]
}

/// ResourceClaim.
pub(super) fn resource_claim(object: &Value, now: Timestamp) -> Vec<Value> {
    let is_set = |pointer: &str| {
        object
            .pointer(pointer)
            .is_some_and(|value| !value.is_null())
    };
    let mut states: Vec<&str> = Vec::new();
    if is_set("/metadata/deletionTimestamp") {
        states.push("deleted");
    }
    if is_set("/status/allocation") {
        states.push("allocated");
        if size(object, "/status/reservedFor") > 0 {
            states.push("reserved");
        }
    } else {
        states.push("pending");
    }
    vec![states.join(",").into(), age(object, now)]
}

/// ComponentStatus.
pub(super) fn component_status(object: &Value, _: Timestamp) -> Vec<Value> {
    let nothing = Value::Object(Map::new());
    let healthy = list(object, "/conditions")
        .iter()
        .find(|c| at(c, "/type") == "Healthy");
    let status = match healthy.map(|condition| at(condition, "/status")) {
        Some("True") => "Healthy",
        Some(_) => "Unhealthy",
        None => "Unknown",
    };
    let condition = healthy.unwrap_or(&nothing);
    vec![
        status.into(),
        at(condition, "/message").into(),
        at(condition, "/error").into(),
    ]
}
