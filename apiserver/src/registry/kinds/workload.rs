//! Deployments, ReplicaSets, StatefulSets and DaemonSets: whoever reports a status has no say in the
//! labels, and a DaemonSet counts the changes of its template in an annotation.

use api_meta::kinds::Kind;
use serde_json::Value;

use crate::registry::context::RequestContext;
use crate::registry::strategy::{self, Strategy};
use crate::registry::tree;

/// Where the count is kept since the field that held it is gone; controllers still read it.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

pub(crate) struct Workload;

impl Strategy for Workload {
    fn prepare_create(&self, _: &RequestContext, kind: &Kind, object: &mut Value) {
        strategy::reset_status(kind, object);
        if kind.resource == "daemonsets" {
            tree::annotations(object).insert(TEMPLATE_GENERATION.into(), "1".into());
        }
    }

    fn prepare_update(&self, _: &RequestContext, new: &mut Value, old: &Value) {
        if tree::text(old, "/kind") != "DaemonSet" {
            return;
        }
        let before = tree::text(old, &format!("/metadata/annotations/{TEMPLATE_GENERATION}"));
        let before: i64 = before.parse().unwrap_or(1);
        let is_changed = new.pointer("/spec/template") != old.pointer("/spec/template");
        let now = if is_changed { before + 1 } else { before };
        tree::annotations(new).insert(TEMPLATE_GENERATION.into(), now.to_string().into());
    }

    fn prepare_status(&self, new: &mut Value, old: &Value) {
        let from = old.get("metadata").cloned().unwrap_or_default();
        tree::copy_field(tree::metadata(new), Some(&from), "labels");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Strategy, Workload};
    use crate::registry::RequestContext;

    #[test]
    fn a_daemon_set_counts_its_templates() {
        let set = |template: i64, count: &str| -> Value {
            json!({"kind": "DaemonSet", "metadata": {"annotations": {"deprecated.daemonset.template.generation": count}}, "spec": {"template": template}})
        };
        let ctx = RequestContext::default();
        let mut changed = set(2, "9");
        Workload.prepare_update(&ctx, &mut changed, &set(1, "4"));
        assert_eq!(changed, set(2, "5"));
        let mut same = json!({"kind": "DaemonSet", "metadata": {}, "spec": {"template": 1}});
        Workload.prepare_update(&ctx, &mut same, &set(1, "4"));
        assert_eq!(same, set(1, "4"));
    }
}
