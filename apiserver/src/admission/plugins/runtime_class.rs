//! Gives pods what their runtime class costs and where it runs, and refuses those that say otherwise.

mod tolerations;

use std::sync::Arc;

use api_meta::object;
use api_meta::quantity::Quantity;
use api_meta::status::Status;
use async_trait::async_trait;
use serde_json::{Map, Value};

use super::super::{Operation, Plugin, Request};
use crate::authz::builtin_kind;
use crate::cache::ObjectReader;

const MISMATCH: &str = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";

/// See the module.
pub struct RuntimeClass {
    reader: Arc<dyn ObjectReader>,
}

impl RuntimeClass {
    /// `reader` knows the classes.
    pub fn new(reader: Arc<dyn ObjectReader>) -> Self {
        Self { reader }
    }

    /// The class of a new pod, if it names one.
    async fn class(&self, request: &Request<'_>) -> Result<Option<Value>, Status> {
        let name = request
            .object
            .as_ref()
            .and_then(|pod| object::str_at(pod, &["spec", "runtimeClassName"]));
        let Some(name) = name else {
            return Ok(None);
        };
        let kind = builtin_kind("node.k8s.io", "v1", "runtimeclasses");
        let found = match self.reader.get(kind, "", name) {
            Some(found) => Some(found),
            // It may have been made a moment ago through another replica.
            None => self.reader.get_consistent(kind, "", name).await?,
        };
        match found {
            Some(class) => Ok(Some(class.value()?)),
            None => {
                Err(request.forbidden(&format!("pod rejected: RuntimeClass {name:?} not found")))
            }
        }
    }
}

#[async_trait]
impl Plugin for RuntimeClass {
    fn name(&self) -> &'static str {
        "RuntimeClass"
    }

    async fn mutate(&self, request: &mut Request<'_>) -> Result<(), Status> {
        if request.operation != Operation::Create || !request.is_for("", "pods") {
            return Ok(());
        }
        let Some(class) = self.class(request).await? else {
            return Ok(());
        };
        let Some(pod) = &mut request.object else {
            return Ok(());
        };
        let changed = set_overhead(pod, &class).and_then(|()| set_scheduling(pod, &class));
        changed.map_err(|why| request.forbidden(&why))
    }

    async fn validate(&self, request: &Request<'_>) -> Result<(), Status> {
        if request.operation != Operation::Create || !request.is_for("", "pods") {
            return Ok(());
        }
        let class = self.class(request).await?;
        let Some(pod) = &request.object else {
            return Ok(());
        };
        let own = object::at(pod, &["spec", "overhead"]);
        let defined = class
            .as_ref()
            .and_then(|class| object::at(class, &["overhead"]));
        match (defined, own) {
            (Some(overhead), own) if !is_same(overhead.get("podFixed"), own) => {
                Err(request.forbidden(MISMATCH))
            }
            (None, Some(_)) => Err(request.forbidden(
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
            )),
            _ => Ok(()),
        }
    }
}

fn set_overhead(pod: &mut Value, class: &Value) -> Result<(), String> {
    let Some(fixed) = object::at(class, &["overhead", "podFixed"]) else {
        return Ok(());
    };
    let own = object::at(pod, &["spec", "overhead"]);
    if own.is_some_and(|own| amounts(Some(own)).is_some()) && !is_same(Some(fixed), own) {
        return Err(MISMATCH.to_owned());
    }
    object::set(pod, &["spec", "overhead"], fixed.clone());
    Ok(())
}

/// The amounts of a map, unless it is empty.
fn amounts(map: Option<&Value>) -> Option<&Map<String, Value>> {
    map?.as_object().filter(|map| !map.is_empty())
}

/// Whether two maps say the same amounts, however they are written.
fn is_same(one: Option<&Value>, other: Option<&Value>) -> bool {
    let (Some(one), Some(other)) = (amounts(one), amounts(other)) else {
        return amounts(one).is_none() && amounts(other).is_none();
    };
    let read = |value: &Value| {
        value
            .as_str()
            .and_then(|text| text.parse::<Quantity>().ok())
    };
    one.len() == other.len()
        && one.iter().all(|(name, amount)| {
            let same = other.get(name);
            same.is_some_and(|same| same == amount || read(same) == read(amount))
        })
}

fn set_scheduling(pod: &mut Value, class: &Value) -> Result<(), String> {
    let Some(scheduling) = object::at(class, &["scheduling"]) else {
        return Ok(());
    };
    let selector = object::map_at(scheduling, &["nodeSelector"]);
    for (key, wanted) in selector.into_iter().flatten() {
        let path = ["spec", "nodeSelector", key];
        if let Some(own) = object::at(pod, &path).filter(|own| *own != wanted) {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            return Err(format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {}; pod.spec.nodeSelector[{key}] = {}",
                text(wanted),
                text(own)
            ));
        }
        object::set(pod, &path, wanted.clone());
    }
    let own = object::list_at(pod, &["spec", "tolerations"]);
    let all = tolerations::merge(own, object::list_at(scheduling, &["tolerations"]));
    if !all.is_empty() {
        object::set(pod, &["spec", "tolerations"], all.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::RuntimeClass;
    use crate::admission::{Operation, Plugin};
    use crate::authz::testing::{Objects, pod_request};

    async fn admit(spec: Value) -> Result<Value, String> {
        let class = json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "big"}, "handler": "h",
            "overhead": {"podFixed": {"cpu": "1"}},
            "scheduling": {"nodeSelector": {"kind": "big"}, "tolerations": [{"key": "big", "operator": "Exists"}]}});
        let plugin = RuntimeClass::new(Objects::shared(&[class]));
        let pod = json!({"metadata": {"name": "p"}, "spec": spec});
        let mut request = pod_request(Operation::Create, pod, None);
        let told = |status: api_meta::Status| status.message;
        plugin.mutate(&mut request).await.map_err(told)?;
        plugin.validate(&request).await.map_err(told)?;
        Ok(request.object.unwrap()["spec"].take())
    }

    #[tokio::test]
    async fn a_pod_costs_and_runs_as_its_class_says() {
        let spec = json!({"runtimeClassName": "big", "overhead": {"cpu": "1000m"}, "nodeSelector": {"a": "b"},
            "tolerations": [{"key": "big", "operator": "Equal", "value": "x", "effect": "NoSchedule"}]});
        assert_eq!(
            admit(spec).await.unwrap(),
            json!({"runtimeClassName": "big", "overhead": {"cpu": "1"}, "nodeSelector": {"a": "b", "kind": "big"},
                "tolerations": [{"key": "big", "operator": "Exists"}]})
        );
        assert_eq!(admit(json!({})).await.unwrap(), json!({}));
    }

    #[tokio::test]
    async fn a_pod_that_says_otherwise_is_refused() {
        let head = r#"pods "p" is forbidden: "#;
        for (spec, why) in [
            (
                json!({"runtimeClassName": "none"}),
                "pod rejected: RuntimeClass \"none\" not found",
            ),
            (
                json!({"runtimeClassName": "big", "overhead": {"cpu": "2"}}),
                super::MISMATCH,
            ),
            (
                json!({"overhead": {"cpu": "2"}}),
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
            ),
            (
                json!({"runtimeClassName": "big", "nodeSelector": {"kind": "small"}}),
                "conflict: runtimeClass.scheduling.nodeSelector[kind] = big; pod.spec.nodeSelector[kind] = small",
            ),
        ] {
            assert_eq!(admit(spec).await.unwrap_err(), format!("{head}{why}"));
        }
    }
}
