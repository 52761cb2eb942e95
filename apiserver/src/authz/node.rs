//! What kubelets may do.
//!
//! Every member of `system:nodes` named `system:node:NAME` has the rules that upstream's node
//! authorizer starts from. Deliberately absent: the graph that ties secrets, config maps, claims and
//! tokens to the pods of one node. Until it exists a kubelet reads those of any pod, and for that
//! reason this authorizer must not be called more than a rule set.

use super::rule::Rule;
use super::{Attributes, Authorizer, Decision, UserRules};
use crate::authn::UserInfo;
use crate::authn::user::{NODE_PREFIX, NODES};

/// Verbs, groups, resources; separated by blanks, `core` is the group without a name.
const RULES: &[(&str, &str, &str)] = &[
    ("create", "authentication.k8s.io", "tokenreviews"),
    (
        "create",
        "authorization.k8s.io",
        "subjectaccessreviews localsubjectaccessreviews",
    ),
    ("get list watch", "core", "services"),
    ("create get list watch update patch", "core", "nodes"),
    ("update patch", "core", "nodes/status"),
    ("create update patch", "core events.k8s.io", "events"),
    ("get list watch create delete", "core", "pods"),
    ("update patch", "core", "pods/status"),
    ("create", "core", "pods/eviction"),
    ("get list watch", "core", "secrets configmaps"),
    (
        "get",
        "core",
        "persistentvolumeclaims persistentvolumes endpoints serviceaccounts",
    ),
    ("get update patch", "core", "persistentvolumeclaims/status"),
    ("create", "core", "serviceaccounts/token"),
    (
        "create get list watch",
        "certificates.k8s.io",
        "certificatesigningrequests",
    ),
    (
        "get create update patch delete",
        "coordination.k8s.io",
        "leases",
    ),
    ("get", "storage.k8s.io", "volumeattachments"),
    ("get list watch", "storage.k8s.io", "csidrivers"),
    (
        "get create update patch delete",
        "storage.k8s.io",
        "csinodes",
    ),
    ("get list watch", "node.k8s.io", "runtimeclasses"),
    ("get", "resource.k8s.io", "resourceclaims"),
    (
        "get list watch create update patch delete deletecollection",
        "resource.k8s.io",
        "resourceslices",
    ),
];

/// The authorizer of kubelets.
#[derive(Debug)]
pub struct Node {
    rules: Vec<Rule>,
}

impl Default for Node {
    fn default() -> Self {
        let list = |text: &str| {
            text.split(' ')
                .map(|one| {
                    if one == "core" {
                        String::new()
                    } else {
                        one.to_owned()
                    }
                })
                .collect()
        };
        let rules = RULES.iter().map(|(verbs, groups, resources)| Rule {
            verbs: list(verbs),
            api_groups: list(groups),
            resources: list(resources),
            ..Rule::default()
        });
        Self {
            rules: rules.collect(),
        }
    }
}

/// The name of the node that a user is, if it is one.
pub fn node_name(user: &UserInfo) -> Option<&str> {
    user.name
        .strip_prefix(NODE_PREFIX)
        .filter(|name| !name.is_empty() && user.is_in(NODES))
}

impl Authorizer for Node {
    fn authorize(&self, attributes: &Attributes<'_>) -> Decision {
        let allowed = node_name(attributes.user).is_some()
            && self.rules.iter().any(|rule| rule.allows(attributes));
        let reason = String::new();
        if allowed {
            Decision::Allow { reason }
        } else {
            Decision::NoOpinion { reason }
        }
    }

    fn rules_for(&self, user: &UserInfo, _namespace: &str) -> UserRules {
        if node_name(user).is_none() {
            return UserRules::default();
        }
        UserRules {
            rules: Vec::new(),
            incomplete: true,
            errors: vec!["node authorizer does not support user rule resolution".to_owned()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Attributes, Authorizer, Node};
    use crate::authn::UserInfo;

    #[test]
    fn only_named_members_of_the_group_are_nodes() {
        let node = Node::default();
        let check = |name: &str, group: &str, verb: &str, resource: &str| {
            let user = UserInfo {
                name: name.to_owned(),
                groups: vec![group.to_owned()],
                ..UserInfo::default()
            };
            let attributes = Attributes {
                user: &user,
                verb,
                group: "",
                version: "v1",
                resource,
                subresource: "",
                namespace: "a",
                name: "b",
                path: "",
                is_resource: true,
            };
            node.authorize(&attributes).is_allowed()
        };
        assert!(check("system:node:n1", "system:nodes", "get", "secrets"));
        assert!(!check("system:node:n1", "other", "get", "secrets"));
        assert!(!check("system:node:", "system:nodes", "get", "secrets"));
        assert!(!check("someone", "system:nodes", "get", "secrets"));
        assert!(!check(
            "system:node:n1",
            "system:nodes",
            "delete",
            "secrets"
        ));
        assert!(!check(
            "system:node:n1",
            "system:nodes",
            "list",
            "deployments"
        ));
    }
}
