//! `scale`: how many replicas a workload should have, in one form for all workloads.

use api_meta::kinds::{Kind, Kinds};
use api_meta::labels::Selector;
use api_meta::status::Status;
use serde_json::{Value, json};

use crate::admission::Operation;
use crate::registry::context::{RequestContext, Target};
use crate::registry::options::Version;
use crate::registry::service::Registry;
use crate::registry::tree;
use crate::registry::update::{Change, Part};

/// The kind that the subresource speaks.
pub fn scale_kind() -> &'static Kind {
    static KIND: std::sync::LazyLock<Kind> = std::sync::LazyLock::new(|| Kind {
        group: "autoscaling".into(),
        version: "v1".into(),
        kind: "Scale".into(),
        resource: "scales".into(),
        namespaced: true,
        ..Kind::default()
    });
    // A later table may have it as a kind of its own.
    Kinds::builtin()
        .by_kind("autoscaling", "v1", "Scale")
        .unwrap_or(&KIND)
}

impl Registry {
    /// The scale of a workload.
    pub async fn scale(&self, target: &Target) -> Result<Value, Status> {
        Ok(of(&self.get(target, Version::Newest).await?.value()?))
    }

    /// Changes the scale of a workload: `make` turns the present scale into the wanted one.
    pub async fn change_scale(
        &self,
        ctx: &RequestContext,
        target: &Target,
        make: &(dyn Fn(&Value) -> Result<Value, Status> + Send + Sync),
    ) -> Result<Value, Status> {
        let apply = |workload: &Value| {
            let wanted = make(&of(workload))?;
            apply(target, workload, &wanted)
        };
        let change = Change {
            part: Part::Whole,
            subresource: Some("scale"),
            operation: Operation::Update,
            make: &apply,
        };
        Ok(of(&self.change(ctx, target, &change).await?.value()?))
    }
}

fn apply(target: &Target, workload: &Value, wanted: &Value) -> Result<Value, Status> {
    let replicas = tree::number(wanted, "/spec/replicas").unwrap_or(0);
    if replicas < 0 {
        let why = "must be greater than or equal to 0";
        let cause = api_meta::Cause::invalid("spec.replicas", replicas, why);
        return Err(Status::invalid(
            "autoscaling",
            "Scale",
            &target.name,
            vec![cause],
        ));
    }
    let mut changed = workload.clone();
    let metadata = tree::metadata(&mut changed);
    for field in ["resourceVersion", "uid"] {
        let sent = tree::text(wanted, &format!("/metadata/{field}"));
        if !sent.is_empty() {
            metadata.insert(field.into(), sent.into());
        } else if field == "resourceVersion" {
            metadata.remove(field);
        }
    }
    tree::child(&mut changed, "spec").insert("replicas".into(), replicas.into());
    Ok(changed)
}

fn of(workload: &Value) -> Value {
    let mut metadata = serde_json::Map::new();
    for field in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
    ] {
        tree::copy_field(&mut metadata, workload.get("metadata"), field);
    }
    json!({
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": metadata,
        "spec": {"replicas": tree::number(workload, "/spec/replicas").unwrap_or(0)},
        "status": {
            "replicas": tree::number(workload, "/status/replicas").unwrap_or(0),
            "selector": selector(workload),
        },
    })
}

fn selector(workload: &Value) -> String {
    let selector = workload.pointer("/spec/selector");
    let is_old_form = tree::text(workload, "/kind") == "ReplicationController";
    let parsed = match selector.and_then(Value::as_object) {
        Some(map) if is_old_form => {
            let pairs = map
                .iter()
                .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
            Selector::from_pairs(pairs)
        }
        _ => Selector::from_value(selector).unwrap_or_else(|_| Selector::nothing()),
    };
    parsed.to_string()
}

#[cfg(test)]
mod tests {
    use api_meta::Kinds;
    use serde_json::json;

    use super::{apply, of};
    use crate::registry::Target;

    #[test]
    fn a_scale_is_read_and_written() {
        let workload = json!({"kind": "Deployment", "metadata": {"name": "d", "resourceVersion": "5", "labels": {}},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"a": "b"}}}, "status": {"replicas": 1}});
        let mut scale = of(&workload);
        assert_eq!(scale["status"], json!({"replicas": 1, "selector": "a=b"}));
        assert_eq!(
            scale["metadata"],
            json!({"name": "d", "resourceVersion": "5"})
        );
        scale["spec"]["replicas"] = json!(7);
        let target = Target::new(
            Kinds::builtin()
                .by_resource("apps", "v1", "deployments")
                .unwrap(),
            "n",
            "d",
        );
        assert_eq!(
            apply(&target, &workload, &scale).unwrap()["spec"]["replicas"],
            7
        );
        scale["spec"]["replicas"] = json!(-1);
        assert_eq!(apply(&target, &workload, &scale).unwrap_err().code, 422);
    }
}
