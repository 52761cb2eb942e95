//! Nodes: the kubelet that registers one brings its status along; the one address range of pods and
//! the list of them say the same.

use api_meta::kinds::Kind;
use serde_json::{Value, json};

use crate::registry::context::RequestContext;
use crate::registry::strategy::Strategy;
use crate::registry::tree;

pub(crate) struct Node;

impl Strategy for Node {
    fn prepare_create(&self, _: &RequestContext, _: &Kind, object: &mut Value) {
        match_ranges(object);
    }

    fn prepare_update(&self, _: &RequestContext, new: &mut Value, _: &Value) {
        match_ranges(new);
    }
}

fn match_ranges(node: &mut Value) {
    let one = tree::text(node, "/spec/podCIDR").to_owned();
    let many = tree::strings(node, "/spec/podCIDRs");
    match (one.as_str(), many.first()) {
        ("", Some(first)) => {
            tree::child(node, "spec").insert("podCIDR".into(), first.clone().into());
        }
        (one, None) if !one.is_empty() => {
            tree::child(node, "spec").insert("podCIDRs".into(), json!([one]));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::match_ranges;

    #[test]
    fn one_range_is_also_the_first_of_the_list() {
        let whole = json!({"spec": {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24"]}});
        for part in ["podCIDR", "podCIDRs"] {
            let mut node = json!({"spec": {(part): whole["spec"][part]}});
            match_ranges(&mut node);
            assert_eq!(node, whole);
        }
        let mut none = json!({"spec": {}});
        match_ranges(&mut none);
        assert_eq!(none, json!({"spec": {}}));
    }
}
