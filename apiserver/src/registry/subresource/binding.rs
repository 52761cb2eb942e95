//! `pods/binding`: ties a pod to a node, once.

use api_meta::status::Status;
use serde_json::Value;

use crate::admission::Operation;
use crate::registry::context::{RequestContext, Target};
use crate::registry::kinds::pod::{Condition, set_condition};
use crate::registry::pipeline;
use crate::registry::service::Registry;
use crate::registry::tree;
use crate::registry::update::{Change, Part};

impl Registry {
    /// Binds a pod as a Binding says.
    pub async fn bind(
        &self,
        ctx: &RequestContext,
        target: &Target,
        binding: &Value,
    ) -> Result<(), Status> {
        pipeline::check_subject(target, "Binding", binding)?;
        let node = tree::text(binding, "/target/name");
        let kind = tree::text(binding, "/target/kind");
        if node.is_empty() {
            let cause = api_meta::Cause::required("target.name", "");
            return Err(Status::invalid("", "Binding", &target.name, vec![cause]));
        }
        if !matches!(kind, "" | "Node") {
            let cause = api_meta::Cause::not_supported("target.kind", kind, &["Node", "<empty>"]);
            return Err(Status::invalid("", "Binding", &target.name, vec![cause]));
        }
        let make = |pod: &Value| bound(target, pod, binding, node);
        let change = Change {
            part: Part::Decision,
            subresource: Some("binding"),
            operation: Operation::Create,
            make: &make,
        };
        self.change(ctx, target, &change).await?;
        Ok(())
    }
}

fn bound(target: &Target, pod: &Value, binding: &Value, node: &str) -> Result<Value, Status> {
    let conflict = |why: &str| Err(Status::conflict("", "pods/binding", &target.name, why));
    let name = &target.name;
    let now = tree::text(pod, "/spec/nodeName");
    if tree::is_terminating(pod) {
        return conflict(&format!(
            "pod {name} is being deleted, cannot be assigned to a host"
        ));
    }
    if !now.is_empty() {
        return conflict(&format!("pod {name} is already assigned to node {now:?}"));
    }
    if !tree::array(pod, "/spec/schedulingGates").is_empty() {
        return conflict(&format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    let mut pod = pod.clone();
    let metadata = tree::metadata(&mut pod);
    for field in ["uid", "resourceVersion"] {
        let sent = tree::text(binding, &format!("/metadata/{field}"));
        if !sent.is_empty() {
            metadata.insert(field.into(), sent.into());
        } else if field == "resourceVersion" {
            metadata.remove(field);
        }
    }
    if let Some(sent) = binding
        .pointer("/metadata/annotations")
        .and_then(Value::as_object)
    {
        tree::annotations(&mut pod).extend(sent.clone());
    }
    if let Some(sent) = binding
        .pointer("/metadata/labels")
        .and_then(Value::as_object)
    {
        tree::submap(tree::metadata(&mut pod), "labels").extend(sent.clone());
    }
    tree::child(&mut pod, "spec").insert("nodeName".into(), node.into());
    // What was only planned is decided now.
    tree::child(&mut pod, "status").remove("nominatedNodeName");
    set_condition(
        &mut pod,
        &Condition {
            kind: "PodScheduled",
            status: "True",
            reason: "",
            message: "",
        },
    );
    Ok(pod)
}

#[cfg(test)]
mod tests {
    use api_meta::Kinds;
    use serde_json::json;

    use super::bound;
    use crate::registry::Target;

    #[test]
    fn a_pod_is_bound_once() {
        let target = Target::new(
            Kinds::builtin().by_resource("", "v1", "pods").unwrap(),
            "n",
            "p",
        );
        let binding = json!({"metadata": {"annotations": {"a": "b"}, "labels": {"zone": "z"}}});
        let pod = json!({"metadata": {"name": "p", "resourceVersion": "4", "labels": {"l": "v"}},
            "spec": {}, "status": {"nominatedNodeName": "other"}});
        let pod = bound(&target, &pod, &binding, "node-1").unwrap();
        assert_eq!(pod["spec"]["nodeName"], "node-1");
        assert_eq!(pod["metadata"]["annotations"]["a"], "b");
        assert_eq!(pod["metadata"]["labels"], json!({"l": "v", "zone": "z"}));
        assert_eq!(pod["status"]["conditions"][0]["type"], "PodScheduled");
        assert!(pod["status"].get("nominatedNodeName").is_none());
        let again = bound(&target, &pod, &binding, "node-2").unwrap_err();
        assert_eq!(
            again.message,
            "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"node-1\""
        );
    }
}
