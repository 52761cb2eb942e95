//! Kinds that are served in more versions than they are stored in.
//!
//! Each stored kind has one form in the store; the other versions are made of it on the way out and
//! turned into it on the way in. Most kinds have one version and pass through untouched.

use std::sync::Arc;

use api_meta::kinds::{Kind, Kinds};
use api_meta::status::Status;
use bytes::Bytes;
use serde_json::{Value, json};

use super::tree;
use crate::cache::Object;

/// The annotation that keeps what autoscaling/v1 cannot say.
const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";

/// Field names of events: in the core group, and in their own.
const EVENT_FIELDS: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// The form in which objects of `kind` are stored.
pub(crate) fn stored_kind(kind: &'static Kind) -> &'static Kind {
    let stored = match (
        kind.group.as_str(),
        kind.version.as_str(),
        kind.resource.as_str(),
    ) {
        ("events.k8s.io", _, "events") => Kinds::builtin().by_resource("", "v1", "events"),
        ("autoscaling", "v1", resource) => {
            Kinds::builtin().by_resource("autoscaling", "v2", resource)
        }
        _ => None,
    };
    stored.unwrap_or(kind)
}

/// An object of `kind` in the form in which it is stored.
pub(crate) fn to_stored(kind: &'static Kind, object: Value) -> Value {
    let stored = stored_kind(kind);
    if std::ptr::eq(kind, stored) {
        return object;
    }
    convert(object, stored, false)
}

/// A stored object in the form of `kind`.
pub(crate) fn to_served(kind: &'static Kind, object: Value) -> Value {
    if std::ptr::eq(kind, stored_kind(kind)) {
        return object;
    }
    convert(object, kind, true)
}

/// A shared object in the form of `kind`; the same object where that is the stored form.
pub(crate) fn serve(kind: &'static Kind, object: &Arc<Object>) -> Result<Arc<Object>, Status> {
    if std::ptr::eq(kind, stored_kind(kind)) || object.broken.is_some() {
        return Ok(object.clone());
    }
    let served = to_served(kind, object.value()?);
    let json = serde_json::to_vec(&served).map_err(Status::internal)?;
    Ok(Object::from_stored(
        &object.key,
        &Bytes::from(json),
        object.revision,
    ))
}

fn convert(mut object: Value, to: &Kind, outward: bool) -> Value {
    match to.resource.as_str() {
        "events" => rename(&mut object, EVENT_FIELDS, outward),
        "horizontalpodautoscalers" => autoscaler(&mut object, outward),
        _ => {}
    }
    if let Value::Object(map) = &mut object {
        map.insert("apiVersion".into(), to.api_version().into());
        map.insert("kind".into(), to.kind.clone().into());
    }
    object
}

fn rename(object: &mut Value, fields: &[(&str, &str)], outward: bool) {
    let Value::Object(map) = object else { return };
    for (inner, outer) in fields {
        let (from, to) = if outward {
            (inner, outer)
        } else {
            (outer, inner)
        };
        if let Some(value) = map.remove(*from) {
            map.insert((*to).to_owned(), value);
        }
    }
}

/// autoscaling/v1 knows one target, the CPU; everything else travels in an annotation.
fn autoscaler(object: &mut Value, outward: bool) {
    if outward {
        let metrics = object
            .pointer("/spec/metrics")
            .cloned()
            .unwrap_or(Value::Null);
        let (cpu, others): (Vec<_>, Vec<_>) = metrics
            .as_array()
            .cloned()
            .unwrap_or_default()
            .into_iter()
            .partition(is_cpu);
        let spec = tree::child(object, "spec");
        spec.remove("metrics");
        if let Some(target) = cpu.first().and_then(|metric| {
            metric
                .pointer("/resource/target/averageUtilization")
                .cloned()
        }) {
            spec.insert("targetCPUUtilizationPercentage".into(), target);
        }
        let behavior = spec.remove("behavior");
        if !others.is_empty() || behavior.is_some() {
            let kept = json!({ "metrics": others, "behavior": behavior }).to_string();
            tree::annotations(object).insert(METRICS.into(), kept.into());
        }
        if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
            status.remove("currentMetrics");
            status.remove("conditions");
        }
        return;
    }
    let kept = tree::annotations(object).remove(METRICS);
    let kept: Value = kept
        .as_ref()
        .and_then(Value::as_str)
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or(Value::Null);
    let spec = tree::child(object, "spec");
    let mut metrics = kept
        .get("metrics")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    if let Some(percent) = spec.remove("targetCPUUtilizationPercentage") {
        metrics.insert(
            0,
            json!({"type": "Resource", "resource": {"name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": percent}}}),
        );
    }
    if !metrics.is_empty() {
        spec.insert("metrics".into(), metrics.into());
    }
    if let Some(behavior) = kept.get("behavior").filter(|behavior| !behavior.is_null()) {
        spec.insert("behavior".into(), behavior.clone());
    }
}

fn is_cpu(metric: &Value) -> bool {
    tree::text(metric, "/type") == "Resource"
        && tree::text(metric, "/resource/name") == "cpu"
        && tree::text(metric, "/resource/target/type") == "Utilization"
}

#[cfg(test)]
mod tests {
    use api_meta::kinds::Kinds;
    use serde_json::json;

    use super::{to_served, to_stored};

    #[test]
    fn an_event_keeps_its_meaning_in_both_groups() {
        let newer = Kinds::builtin()
            .by_resource("events.k8s.io", "v1", "events")
            .unwrap();
        let sent = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "a"},
            "note": "hello", "regarding": {"kind": "Pod"}, "reportingController": "x",
            "reason": "R", "action": "A",
        });
        let stored = to_stored(newer, sent.clone());
        assert_eq!(stored["apiVersion"], "v1");
        assert_eq!(stored["message"], "hello");
        assert_eq!(stored["involvedObject"]["kind"], "Pod");
        assert_eq!(stored["reportingComponent"], "x");
        assert_eq!(to_served(newer, stored), sent);
    }

    #[test]
    fn an_old_autoscaler_keeps_what_it_cannot_say() {
        let Some(older) =
            Kinds::builtin().by_resource("autoscaling", "v1", "horizontalpodautoscalers")
        else {
            return;
        };
        let memory = json!({"type": "Resource", "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 70}}});
        let stored = json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "a", "annotations": {}},
            "spec": {"maxReplicas": 3, "metrics": [
                {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}},
                memory,
            ]},
        });
        let served = to_served(older, stored.clone());
        assert_eq!(served["spec"]["targetCPUUtilizationPercentage"], 50);
        assert_eq!(to_stored(older, served), stored);
    }
}
