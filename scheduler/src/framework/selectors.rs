//! Label selectors and node selectors, evaluated on plain label maps.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// Whether the labels match a selector; an empty selector matches everything.
pub fn matches_labels(selector: &LabelSelector, labels: &Labels) -> bool {
    let equal = |(key, value): (&String, &String)| labels.get(key) == Some(value);
    selector.match_labels.iter().flatten().all(equal)
        && selector.match_expressions.iter().flatten().all(|e| {
            holds(
                &e.operator,
                e.values.as_deref().unwrap_or_default(),
                labels.get(&e.key).map(String::as_str),
            )
        })
}

/// Whether a node matches one of the selector's terms.
pub fn matches_node(selector: &NodeSelector, node: &Node) -> bool {
    selector
        .node_selector_terms
        .iter()
        .any(|term| matches_term(term, node))
}

/// Whether a node matches a term. A term without conditions matches no node.
pub fn matches_term(term: &NodeSelectorTerm, node: &Node) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    let label = |key: &str| node.metadata.labels.as_ref()?.get(key).map(String::as_str);
    let field = |key: &str| {
        if key == "metadata.name" {
            node.metadata.name.as_deref()
        } else {
            None
        }
    };
    expressions.iter().all(|r| requirement(r, label(&r.key)))
        && fields.iter().all(|r| requirement(r, field(&r.key)))
}

/// The node names a term allows by `metadata.name in (..)`; None if it does not restrict them.
pub fn node_names(term: &NodeSelectorTerm) -> Option<&[String]> {
    let by_name = |r: &&NodeSelectorRequirement| r.key == "metadata.name" && r.operator == "In";
    term.match_fields
        .as_ref()?
        .iter()
        .find(by_name)?
        .values
        .as_deref()
}

fn requirement(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    holds(
        &requirement.operator,
        requirement.values.as_deref().unwrap_or_default(),
        value,
    )
}

fn holds(operator: &str, values: &[String], value: Option<&str>) -> bool {
    match operator {
        "In" => value.is_some_and(|v| values.iter().any(|w| w == v)),
        "NotIn" => value.is_none_or(|v| values.iter().all(|w| w != v)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" | "Lt" => {
            let number = value.and_then(|v| v.parse::<i64>().ok());
            let bound = values.first().and_then(|v| v.parse::<i64>().ok());
            number
                .zip(bound)
                .is_some_and(|(n, b)| if operator == "Gt" { n > b } else { n < b })
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{Node, NodeSelector};
    use serde_json::{Value, json};

    use super::matches_node;

    fn check(terms: Value, want: bool) {
        let selector: NodeSelector =
            serde_json::from_value(json!({"nodeSelectorTerms": terms})).expect("terms");
        let node: Node = serde_json::from_value(
            json!({"metadata": {"name": "n1", "labels": {"zone": "a", "cores": "8"}}}),
        )
        .expect("a node");
        assert_eq!(matches_node(&selector, &node), want, "{terms}");
    }

    #[test]
    fn terms_are_alternatives_and_their_parts_are_not() {
        let zone_a = json!({"key": "zone", "operator": "In", "values": ["a", "b"]});
        let no_gpu = json!({"key": "gpu", "operator": "DoesNotExist"});
        let small = json!({"key": "cores", "operator": "Lt", "values": ["8"]});
        check(json!([{"matchExpressions": [zone_a, no_gpu]}]), true);
        check(json!([{"matchExpressions": [zone_a, small]}]), false);
        check(
            json!([{"matchExpressions": [small]}, {"matchExpressions": [zone_a]}]),
            true,
        );
        check(
            json!([{"matchExpressions": [{"key": "cores", "operator": "Gt", "values": ["7"]}]}]),
            true,
        );
        check(
            json!([{"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]}]),
            false,
        );
        check(
            json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]),
            true,
        );
        check(
            json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]}]),
            false,
        );
        check(json!([{}]), false);
    }
}
