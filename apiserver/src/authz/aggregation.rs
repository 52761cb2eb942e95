//! Cluster roles that gather the rules of others by label.
//!
//! They are put together whenever roles are compiled, so they hold at once and without a controller.
//! What such a role stores in its own rules is a controller's copy and does not count, as upstream's
//! controller would overwrite it. Roles may gather roles that gather; circles end.

use std::collections::{HashMap, HashSet};

use api_meta::labels::Selector;
use serde::Deserialize;
use serde_json::Value;

use super::rbac::{RawMeta, Roles};
use super::rule::Rule;

/// A stored Role or ClusterRole, as far as it matters here.
#[derive(Deserialize)]
pub(super) struct RawRole {
    pub(super) metadata: RawMeta,
    #[serde(default)]
    rules: Option<Vec<Rule>>,
    #[serde(default, rename = "aggregationRule")]
    aggregation: Option<RawAggregation>,
}

#[derive(Deserialize)]
struct RawAggregation {
    #[serde(default, rename = "clusterRoleSelectors")]
    selectors: Option<Vec<Value>>,
}

type Key = (String, String);

/// The rules of all roles, gathered where a role gathers.
pub(super) fn aggregate_roles(raw: HashMap<Key, RawRole>) -> Roles {
    let selectors: HashMap<&Key, Vec<Selector>> = raw
        .iter()
        .filter_map(|(key, role)| Some((key, selectors_of(role)?)))
        .collect();
    raw.iter()
        .map(|(key, role)| {
            let rules = if selectors.contains_key(key) {
                let mut gathered = Vec::new();
                gather(key, &raw, &selectors, &mut HashSet::new(), &mut gathered);
                gathered
            } else {
                role.rules.clone().unwrap_or_default()
            };
            (key.clone(), rules.into())
        })
        .collect()
}

fn selectors_of(role: &RawRole) -> Option<Vec<Selector>> {
    let selectors = role.aggregation.as_ref()?.selectors.as_ref()?;
    // A selector that cannot be read gathers nothing.
    let read = |one| Selector::from_value(Some(one)).unwrap_or_else(|_| Selector::nothing());
    Some(selectors.iter().map(read).collect())
}

fn gather<'a>(
    key: &'a Key,
    raw: &'a HashMap<Key, RawRole>,
    selectors: &HashMap<&Key, Vec<Selector>>,
    seen: &mut HashSet<&'a Key>,
    gathered: &mut Vec<Rule>,
) {
    if !seen.insert(key) {
        return;
    }
    let Some(wanted) = selectors.get(key) else {
        let own = raw.get(key).and_then(|role| role.rules.as_ref());
        for rule in own.into_iter().flatten() {
            if !gathered.contains(rule) {
                gathered.push(rule.clone());
            }
        }
        return;
    };
    let mut matching: Vec<&Key> = raw
        .iter()
        .filter(|(_, role)| {
            let label = |name: &str| role.metadata.labels.as_ref()?.get(name).map(String::as_str);
            wanted.iter().any(|selector| selector.matches_with(label))
        })
        .map(|(key, _)| key)
        .collect();
    matching.sort();
    for other in matching {
        gather(other, raw, selectors, seen, gathered);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::{Value, json};

    use super::aggregate_roles;

    fn verbs(roles: &[Value], name: &str) -> Vec<String> {
        let raw: HashMap<_, _> = roles
            .iter()
            .map(|role| {
                (
                    (
                        String::new(),
                        role["metadata"]["name"].as_str().unwrap().to_owned(),
                    ),
                    serde_json::from_value(role.clone()).unwrap(),
                )
            })
            .collect();
        let all = aggregate_roles(raw);
        all[&(String::new(), name.to_owned())]
            .iter()
            .flat_map(|rule| rule.verbs.clone())
            .collect()
    }

    fn role(name: &str, to: &str, verb: &str) -> Value {
        json!({"metadata": {"name": name, "labels": {"to": to}}, "rules": [{"verbs": [verb], "apiGroups": [""], "resources": ["pods"]}]})
    }

    fn gathering(name: &str, to: &str, from: &str) -> Value {
        let mut role = role(name, to, "stale");
        role["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {"to": from}}]});
        role
    }

    #[test]
    fn roles_gather_roles_that_gather() {
        let roles = [
            gathering("admin", "", "admin"),
            gathering("edit", "admin", "edit"),
            role("a", "admin", "escalate"),
            role("e", "edit", "update"),
        ];
        assert_eq!(verbs(&roles, "edit"), ["update"]);
        assert_eq!(verbs(&roles, "admin"), ["escalate", "update"]);
        assert_eq!(verbs(&roles, "a"), ["escalate"]);
    }

    #[test]
    fn circles_end() {
        let roles = [
            gathering("x", "y", "x"),
            gathering("y", "x", "y"),
            role("r", "y", "get"),
        ];
        assert_eq!(verbs(&roles, "x"), ["get"]);
        assert_eq!(verbs(&roles, "y"), ["get"]);
    }
}
