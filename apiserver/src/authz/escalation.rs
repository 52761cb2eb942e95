//! Nobody grants what they do not hold: the check on every write of a role or binding.
//!
//! Admission asks it through [`Guard`], with the object as it will be stored. Roles need the verb
//! `escalate` or all their rules held; bindings the verb `bind` or all rules of the role held. It
//! reads the cache and cannot wait for it, so the door lets it catch up first, see [`kinds_read`].

use std::sync::Arc;

use api_meta::kinds::Kind;
use api_meta::status::Status;
use serde::Deserialize;
use serde_json::Value;

use super::rule::{Rule, go_list, missing, uncovered};
use super::{Attributes, Authorizer, Chain, RBAC_GROUP, builtin_kind};
use crate::admission::GrantGuard;
use crate::admission::plugins::grants::Grant;
use crate::authn::UserInfo;
use crate::authn::user::MASTERS;

/// The guard that admission asks.
#[derive(Debug)]
pub struct Guard(Arc<Chain>);

impl Guard {
    /// `chain` says what the writer holds.
    pub fn new(chain: Arc<Chain>) -> Self {
        Self(chain)
    }
}

impl GrantGuard for Guard {
    fn check(&self, grant: &Grant<'_>) -> Result<(), Status> {
        check(grant, &self.0)
    }

    fn authorizer(&self) -> Option<Arc<dyn Authorizer>> {
        Some(self.0.clone())
    }
}

/// What the check of a request reads; nothing if there is no check. The cache must show these kinds
/// as they were when the request came: a binding often comes right after its role, and the writer's
/// own rights right before both, each perhaps by another replica.
pub fn kinds_read(user: &UserInfo, group: &str, verb: &str) -> Vec<&'static Kind> {
    let is_checked = group == RBAC_GROUP && matches!(verb, "create" | "update" | "patch");
    if !is_checked || user.is_in(MASTERS) {
        return Vec::new();
    }
    let resources = [
        "roles",
        "clusterroles",
        "rolebindings",
        "clusterrolebindings",
    ];
    resources
        .map(|resource| builtin_kind(RBAC_GROUP, "v1", resource))
        .to_vec()
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Role {
    rules: Option<Vec<Rule>>,
    aggregation_rule: Option<Aggregation>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Aggregation {
    cluster_role_selectors: Option<Vec<Value>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RoleRef {
    api_group: String,
    kind: String,
    name: String,
}

/// Refuses the write with 403 if it would grant more than the writer holds.
pub fn check(write: &Grant<'_>, chain: &Chain) -> Result<(), Status> {
    // The server's own loopback user is a master, and masters can do anything anyway.
    if write.user.is_in(MASTERS)
        || write
            .old
            .is_some_and(|old| only_owners_changed(write.object, old))
    {
        return Ok(());
    }
    match write.resource {
        "roles" | "clusterroles" => check_role(write, chain),
        "rolebindings" | "clusterrolebindings" => check_binding(write, chain),
        _ => Ok(()),
    }
}

fn check_role(write: &Grant<'_>, chain: &Chain) -> Result<(), Status> {
    if allows(write, chain, "escalate", write.resource, write.request_name) {
        return Ok(());
    }
    let role = parse::<Role>(write.object)?;
    let rules = role.rules.unwrap_or_default();
    confirm(write, chain, &rules)?;
    let old = write.old.map(parse::<Role>).transpose()?;
    let aggregates = |role: &Option<Aggregation>| {
        role.as_ref()
            .and_then(|rule| rule.cluster_role_selectors.as_ref())
            .is_some_and(|selectors| !selectors.is_empty())
    };
    if aggregates(&role.aggregation_rule)
        || old.is_some_and(|old| aggregates(&old.aggregation_rule))
    {
        // An aggregation gathers anything, so only those who hold everything may set it.
        let star = || vec!["*".to_owned()];
        let everything = [
            Rule {
                verbs: star(),
                api_groups: star(),
                resources: star(),
                ..Rule::default()
            },
            Rule {
                verbs: star(),
                non_resource_urls: star(),
                ..Rule::default()
            },
        ];
        let held = chain.rbac().rules_for(write.user, write.namespace).rules;
        if !uncovered(&held, &everything).is_empty() {
            return Err(refusal(
                write,
                "must have cluster-admin privileges to use the aggregationRule",
            ));
        }
    }
    Ok(())
}

fn check_binding(write: &Grant<'_>, chain: &Chain) -> Result<(), Status> {
    let reference: RoleRef = parse(write.object.get("roleRef").unwrap_or(&Value::Null))?;
    let resource = match reference.kind.as_str() {
        "Role" => "roles",
        "ClusterRole" => "clusterroles",
        _ => return Ok(()),
    };
    // A group that is missing is validation's business.
    if reference.api_group == RBAC_GROUP && allows(write, chain, "bind", resource, &reference.name)
    {
        return Ok(());
    }
    let rules = chain
        .rbac()
        .role_rules(&reference.kind, &reference.name, write.namespace)
        .map_err(|_| Status::not_found(RBAC_GROUP, resource, &reference.name))?;
    confirm(write, chain, &rules)
}

fn allows(write: &Grant<'_>, chain: &Chain, verb: &str, resource: &str, name: &str) -> bool {
    let attributes = Attributes {
        user: write.user,
        verb,
        group: RBAC_GROUP,
        version: "*",
        resource,
        subresource: "",
        namespace: write.namespace,
        name,
        path: "",
        is_resource: true,
    };
    chain.authorize(&attributes).is_allowed()
}

fn confirm(write: &Grant<'_>, chain: &Chain, rules: &[Rule]) -> Result<(), Status> {
    let held = chain.rbac().rules_for(write.user, write.namespace);
    let missing = missing(&held.rules, rules);
    if missing.is_empty() {
        return Ok(());
    }
    let mut why = format!(
        "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        write.user.name,
        go_list(&write.user.groups),
        missing.join("\n")
    );
    if !held.errors.is_empty() {
        why.push_str(&format!(
            "; resolution errors: [{}]",
            held.errors.join(", ")
        ));
    }
    Err(refusal(write, &why))
}

fn refusal(write: &Grant<'_>, why: &str) -> Status {
    let name = write
        .object
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    Status::forbidden(RBAC_GROUP, write.resource, name, why)
}

fn parse<T: for<'de> Deserialize<'de> + Default>(value: &Value) -> Result<T, Status> {
    if value.is_null() {
        return Ok(T::default());
    }
    T::deserialize(value).map_err(|error| Status::bad_request(error.to_string()))
}

/// True if the objects differ in owners, finalizers and bookkeeping alone: the garbage collector
/// may do that without holding anything.
fn only_owners_changed(new: &Value, old: &Value) -> bool {
    let strip = |value: &Value| {
        let mut value = value.clone();
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            for field in [
                "ownerReferences",
                "finalizers",
                "managedFields",
                "resourceVersion",
                "generation",
            ] {
                metadata.remove(field);
            }
        }
        value
    };
    strip(new) == strip(old)
}

#[cfg(test)]
mod tests;
