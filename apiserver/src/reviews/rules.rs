//! What may I do here: SelfSubjectRulesReview, which `kubectl auth can-i --list` asks.

use api_meta::object;
use api_meta::status::Status;
use serde_json::{Value, json};

use super::AUTHORIZATION;
use super::service::answered;
use crate::authn::UserInfo;
use crate::authz::rule::Rule;
use crate::authz::{Authorizer, UserRules};

/// The rules of the caller in one namespace.
pub(super) fn answer(
    authorizer: &dyn Authorizer,
    body: &Value,
    user: &UserInfo,
) -> Result<Value, Status> {
    let namespace = object::str_at(body, &["spec", "namespace"]).unwrap_or_default();
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let UserRules {
        rules,
        incomplete,
        errors,
    } = authorizer.rules_for(user, namespace);
    let resources: Vec<Value> = rules
        .iter()
        .filter(|rule| !rule.resources.is_empty())
        .map(resource_rule)
        .collect();
    let paths: Vec<Value> = rules
        .iter()
        .filter(|rule| !rule.non_resource_urls.is_empty())
        .map(|rule| json!({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls}))
        .collect();
    let mut status = json!({
        "resourceRules": resources,
        "nonResourceRules": paths,
        "incomplete": incomplete,
    });
    match errors.as_slice() {
        [] => {}
        [one] => status["evaluationError"] = json!(one),
        many => status["evaluationError"] = json!(format!("[{}]", many.join(", "))),
    }
    // Upstream answers without the question.
    Ok(answered(
        json!({"metadata": {}, "spec": {}}),
        "SelfSubjectRulesReview",
        AUTHORIZATION,
        status,
    ))
}

fn resource_rule(rule: &Rule) -> Value {
    let mut shown =
        json!({"verbs": rule.verbs, "apiGroups": rule.api_groups, "resources": rule.resources});
    if !rule.resource_names.is_empty() {
        shown["resourceNames"] = json!(rule.resource_names);
    }
    shown
}
