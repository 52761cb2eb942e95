//! One permission of a role: whether it fits a request, and whether it covers another one.
//! Pure; it knows neither users nor bindings.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize};

use super::Attributes;

/// A rule of a Role or ClusterRole.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    /// The verbs, or `*`.
    #[serde(deserialize_with = "list")]
    pub verbs: Vec<String>,
    /// The API groups, or `*`.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    /// The resources, `resource/subresource`, `*/subresource` or `*`.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// The objects; empty means all.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    /// The paths that are no resources; a `*` at the end stands for any ending.
    #[serde(
        rename = "nonResourceURLs",
        deserialize_with = "list",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub non_resource_urls: Vec<String>,
}

/// A list that may be written as null.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn has(set: &[String], element: &str) -> bool {
    set.iter().any(|one| one == element)
}

fn has_or_all(set: &[String], element: &str) -> bool {
    set.iter().any(|one| one == "*" || one == element)
}

impl Rule {
    /// True if the rule allows the request.
    pub fn allows(&self, asked: &Attributes<'_>) -> bool {
        if !has_or_all(&self.verbs, asked.verb) {
            return false;
        }
        if !asked.is_resource {
            return self
                .non_resource_urls
                .iter()
                .any(|url| url == "*" || url_covers(url, asked.path));
        }
        has_or_all(&self.api_groups, asked.group)
            && self
                .resources
                .iter()
                .any(|one| resource_fits(one, asked.resource, asked.subresource))
            && (self.resource_names.is_empty() || has(&self.resource_names, asked.name))
    }

    /// The rule as many that have one verb, resource, name or path each.
    fn atoms(&self) -> Vec<Self> {
        let mut atoms = Vec::new();
        let one = |text: &String| vec![text.clone()];
        for group in &self.api_groups {
            for resource in &self.resources {
                for verb in &self.verbs {
                    let atom = Self {
                        verbs: one(verb),
                        api_groups: one(group),
                        resources: one(resource),
                        ..Self::default()
                    };
                    if self.resource_names.is_empty() {
                        atoms.push(atom);
                    } else {
                        let named = |name| Self {
                            resource_names: one(name),
                            ..atom.clone()
                        };
                        atoms.extend(self.resource_names.iter().map(named));
                    }
                }
            }
        }
        for url in &self.non_resource_urls {
            for verb in &self.verbs {
                let atom = Self {
                    verbs: one(verb),
                    non_resource_urls: one(url),
                    ..Self::default()
                };
                atoms.push(atom);
            }
        }
        atoms
    }

    /// True if everything that `atom` allows is allowed by this rule too.
    fn covers_atom(&self, atom: &Self) -> bool {
        let names = if atom.resource_names.is_empty() {
            self.resource_names.is_empty()
        } else {
            self.resource_names.is_empty()
                || atom
                    .resource_names
                    .iter()
                    .all(|name| has(&self.resource_names, name))
        };
        names
            && atom.verbs.iter().all(|verb| has_or_all(&self.verbs, verb))
            && atom
                .api_groups
                .iter()
                .all(|group| has_or_all(&self.api_groups, group))
            && atom
                .resources
                .iter()
                .all(|resource| self.covers_resource(resource))
            && atom.non_resource_urls.iter().all(|url| {
                self.non_resource_urls
                    .iter()
                    .any(|own| url_covers(own, url))
            })
    }

    fn covers_resource(&self, resource: &str) -> bool {
        if has_or_all(&self.resources, resource) {
            return true;
        }
        resource
            .split_once('/')
            .is_some_and(|(_, sub)| has(&self.resources, &format!("*/{sub}")))
    }

    /// The form in which a refusal lists a rule.
    pub fn compact(&self) -> String {
        let parts: Vec<String> = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.non_resource_urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ]
        .into_iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(name, list)| format!("{name}:{}", go_list(list)))
        .collect();
        format!("{{{}}}", parts.join(", "))
    }
}

/// What of `wanted` the rules `held` do not cover, with the verbs of one resource put together;
/// each in its compact form, in alphabetical order.
pub fn missing(held: &[Rule], wanted: &[Rule]) -> Vec<String> {
    let mut compacted: Vec<Rule> = Vec::new();
    for atom in wanted.iter().flat_map(Rule::atoms) {
        if held.iter().any(|rule| rule.covers_atom(&atom)) {
            continue;
        }
        let same = compacted.iter_mut().find(|rule| {
            atom.non_resource_urls.is_empty()
                && rule.api_groups == atom.api_groups
                && rule.resources == atom.resources
                && rule.resource_names == atom.resource_names
        });
        match same {
            Some(rule) => rule.verbs.extend(atom.verbs),
            None => compacted.push(atom),
        }
    }
    compacted
        .iter()
        .map(Rule::compact)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

/// Those of `wanted`, atom by atom, that `held` lacks.
pub fn uncovered(held: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    wanted
        .iter()
        .flat_map(Rule::atoms)
        .filter(|atom| !held.iter().any(|rule| rule.covers_atom(atom)))
        .collect()
}

/// A list of texts as Go prints it with %q.
pub fn go_list(list: &[String]) -> String {
    let quoted: Vec<String> = list.iter().map(|one| format!("{one:?}")).collect();
    format!("[{}]", quoted.join(" "))
}

fn resource_fits(rule: &str, resource: &str, subresource: &str) -> bool {
    if rule == "*" {
        return true;
    }
    if subresource.is_empty() {
        return rule == resource;
    }
    match rule.split_once('/') {
        Some((left, right)) => right == subresource && (left == "*" || left == resource),
        None => false,
    }
}

fn url_covers(owner: &str, path: &str) -> bool {
    owner == path || owner.ends_with('*') && path.starts_with(owner.trim_end_matches('*'))
}

#[cfg(test)]
mod tests {
    use super::{Rule, missing};
    use crate::authn::UserInfo;
    use crate::authz::Attributes;

    fn rule(verbs: &str, groups: &str, resources: &str, names: &str, urls: &str) -> Rule {
        let list = |text: &str| {
            text.split(' ')
                .filter(|one| !one.is_empty())
                .map(|one| {
                    if one == "core" {
                        String::new()
                    } else {
                        one.to_owned()
                    }
                })
                .collect()
        };
        Rule {
            verbs: list(verbs),
            api_groups: list(groups),
            resources: list(resources),
            resource_names: list(names),
            non_resource_urls: list(urls),
        }
    }

    /// `verb group/resource[/subresource][:name]` or `verb /path`.
    fn allows(rule: &Rule, asked: &str) -> bool {
        let user = UserInfo::default();
        let (verb, rest) = asked.split_once(' ').unwrap();
        let mut attributes = Attributes {
            user: &user,
            verb,
            group: "",
            version: "v1",
            resource: "",
            subresource: "",
            namespace: "",
            name: "",
            path: "",
            is_resource: false,
        };
        if rest.starts_with('/') {
            attributes.path = rest;
            return rule.allows(&attributes);
        }
        let (rest, name) = rest.split_once(':').unwrap_or((rest, ""));
        let mut parts = rest.split('/');
        attributes.is_resource = true;
        attributes.name = name;
        attributes.group = match parts.next().unwrap() {
            "core" => "",
            group => group,
        };
        attributes.resource = parts.next().unwrap();
        attributes.subresource = parts.next().unwrap_or("");
        rule.allows(&attributes)
    }

    #[test]
    fn rules_fit_requests() {
        let cases = [
            (rule("get", "core", "pods", "", ""), "get core/pods", true),
            (rule("get", "core", "pods", "", ""), "list core/pods", false),
            (rule("get", "core", "pods", "", ""), "get apps/pods", false),
            (
                rule("get", "core", "pods", "", ""),
                "get core/pods/log",
                false,
            ),
            (
                rule("get", "core", "pods/log", "", ""),
                "get core/pods/log",
                true,
            ),
            (
                rule("get", "core", "pods/log", "", ""),
                "get core/pods",
                false,
            ),
            (
                rule("get", "core", "*/log", "", ""),
                "get core/pods/log",
                true,
            ),
            (
                rule("get", "core", "*/log", "", ""),
                "get core/pods/xlog",
                false,
            ),
            (rule("*", "*", "*", "", ""), "anything x/y/z:n", true),
            (rule("*", "*", "*", "", ""), "get /metrics", false),
            (
                rule("get", "core", "pods", "a b", ""),
                "get core/pods:b",
                true,
            ),
            (
                rule("get", "core", "pods", "a b", ""),
                "get core/pods:c",
                false,
            ),
            (
                rule("get", "core", "pods", "a b", ""),
                "get core/pods",
                false,
            ),
            (
                rule("get", "", "", "", "/healthz /livez/*"),
                "get /livez/ping",
                true,
            ),
            (
                rule("get", "", "", "", "/healthz /livez/*"),
                "get /livez",
                false,
            ),
            (
                rule("get", "", "", "", "/healthz /livez/*"),
                "post /healthz",
                false,
            ),
            (rule("get", "", "", "", "*"), "get /any/thing", true),
        ];
        for (rule, asked, expected) in cases {
            assert_eq!(allows(&rule, asked), expected, "{} {asked}", rule.compact());
        }
    }

    #[test]
    fn what_is_missing_is_named_as_upstream_names_it() {
        let held = [rule("get list", "core", "pods */status", "", "/healthz*")];
        let none: Vec<String> = Vec::new();
        assert_eq!(
            missing(&held, &[rule("get", "core", "pods pods/status", "", "")]),
            none
        );
        assert_eq!(
            missing(&held, &[rule("get", "core", "pods", "x", "")]),
            none
        );
        assert_eq!(
            missing(&held, &[rule("get", "", "", "", "/healthz/etcd")]),
            none
        );
        assert_eq!(
            missing(
                &held,
                &[rule("get create delete", "core apps", "pods", "", "")]
            ),
            [
                r#"{APIGroups:[""], Resources:["pods"], Verbs:["create" "delete"]}"#,
                r#"{APIGroups:["apps"], Resources:["pods"], Verbs:["get" "create" "delete"]}"#
            ]
        );
        let named = [rule("get", "core", "secrets", "one", "")];
        assert_eq!(
            missing(&named, &[rule("get", "core", "secrets", "", "")]),
            [r#"{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}"#]
        );
    }

    #[test]
    fn lists_may_be_null() {
        let rule: Rule = serde_json::from_str(r#"{"verbs":["get"],"apiGroups":null}"#).unwrap();
        assert_eq!(rule.verbs, ["get"]);
    }
}
