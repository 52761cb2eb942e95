//! May this user do that: SubjectAccessReview, its local form, and the form about oneself.

use std::collections::BTreeMap;

use api_meta::cause::Cause;
use api_meta::object;
use api_meta::status::Status;
use serde::Deserialize;
use serde_json::{Value, json};

use super::AUTHORIZATION;
use super::service::answered;
use crate::authn::UserInfo;
use crate::authz::{Attributes, Authorizer, Decision};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    resource_attributes: Option<Resource>,
    non_resource_attributes: Option<Path>,
    user: String,
    groups: Option<Vec<String>>,
    extra: Option<BTreeMap<String, Option<Vec<String>>>>,
    uid: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Resource {
    namespace: String,
    verb: String,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    name: String,
    field_selector: Option<SelectorSpec>,
    label_selector: Option<SelectorSpec>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SelectorSpec {
    raw_selector: String,
    requirements: Option<Vec<Value>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Path {
    path: String,
    verb: String,
}

/// SubjectAccessReview.
pub(super) fn of_anyone(authorizer: &dyn Authorizer, body: Value) -> Result<Value, Status> {
    let spec = read(&body)?;
    let mut faults = spec.faults();
    faults.extend(spec.user_faults());
    faults.extend(metadata_fault(&body, &[], "must be empty"));
    refuse(faults)?;
    let status = decide(authorizer, &spec, &spec.asked_user());
    Ok(answered(body, "SubjectAccessReview", AUTHORIZATION, status))
}

/// LocalSubjectAccessReview: the same within one namespace.
pub(super) fn local(
    authorizer: &dyn Authorizer,
    body: Value,
    namespace: &str,
) -> Result<Value, Status> {
    let spec = read(&body)?;
    let own = object::namespace(&body).to_owned();
    let mut faults = spec.faults();
    faults.extend(spec.user_faults());
    faults.extend(metadata_fault(
        &body,
        &["namespace"],
        "must be empty except for namespace",
    ));
    if let Some(resource) = &spec.resource_attributes
        && resource.namespace != own
    {
        let field = "spec.resourceAttributes.namespace";
        faults.push(Cause::invalid(
            field,
            resource.namespace.as_str(),
            "must match metadata.namespace",
        ));
    }
    if let Some(path) = &spec.non_resource_attributes {
        let field = "spec.nonResourceAttributes";
        faults.push(Cause::invalid(
            field,
            &path.shown(),
            "disallowed on this kind of request",
        ));
    }
    refuse(faults)?;
    if namespace.is_empty() {
        return Err(Status::bad_request("namespace is required on this type: "));
    }
    if namespace != own {
        return Err(Status::bad_request(format!(
            "spec.resourceAttributes.namespace must match namespace: {namespace}"
        )));
    }
    let status = decide(authorizer, &spec, &spec.asked_user());
    Ok(answered(
        body,
        "LocalSubjectAccessReview",
        AUTHORIZATION,
        status,
    ))
}

/// SelfSubjectAccessReview.
pub(super) fn of_oneself(
    authorizer: &dyn Authorizer,
    body: Value,
    user: &UserInfo,
) -> Result<Value, Status> {
    let spec = read(&body)?;
    let mut faults = spec.faults();
    faults.extend(metadata_fault(&body, &[], "must be empty"));
    refuse(faults)?;
    let status = decide(authorizer, &spec, user);
    Ok(answered(
        body,
        "SelfSubjectAccessReview",
        AUTHORIZATION,
        status,
    ))
}

fn read(body: &Value) -> Result<Spec, Status> {
    match body.get("spec") {
        None | Some(Value::Null) => Ok(Spec::default()),
        Some(spec) => {
            Spec::deserialize(spec).map_err(|error| Status::bad_request(error.to_string()))
        }
    }
}

fn refuse(faults: Vec<Cause>) -> Result<(), Status> {
    // Upstream names no kind in this refusal.
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Status::invalid(AUTHORIZATION, "", "", faults))
    }
}

fn metadata_fault(body: &Value, allowed: &[&str], why: &str) -> Option<Cause> {
    let metadata = body.get("metadata")?;
    let has_more = metadata.as_object()?.iter().any(|(field, value)| {
        !value.is_null() && field != "managedFields" && !allowed.contains(&field.as_str())
    });
    has_more.then(|| Cause::invalid("metadata", metadata, why))
}

fn decide(authorizer: &dyn Authorizer, spec: &Spec, user: &UserInfo) -> Value {
    let resource = spec.resource_attributes.clone().unwrap_or_default();
    let path = spec.non_resource_attributes.clone().unwrap_or_default();
    let is_resource = spec.resource_attributes.is_some();
    let version = if resource.version.is_empty() {
        "*"
    } else {
        &resource.version
    };
    let decision = authorizer.authorize(&Attributes {
        user,
        verb: if is_resource {
            &resource.verb
        } else {
            &path.verb
        },
        group: &resource.group,
        version,
        resource: &resource.resource,
        subresource: &resource.subresource,
        namespace: &resource.namespace,
        name: &resource.name,
        path: &path.path,
        is_resource,
    });
    let mut status = json!({"allowed": decision.is_allowed()});
    if matches!(decision, Decision::Deny { .. }) {
        status["denied"] = json!(true);
    }
    if !decision.reason().is_empty() {
        status["reason"] = json!(decision.reason());
    }
    status
}

impl Spec {
    fn asked_user(&self) -> UserInfo {
        let extra = self.extra.iter().flatten();
        UserInfo {
            name: self.user.clone(),
            uid: self.uid.clone(),
            groups: self.groups.clone().unwrap_or_default(),
            extra: extra
                .map(|(key, values)| (key.clone(), values.clone().unwrap_or_default()))
                .collect(),
        }
    }

    fn user_faults(&self) -> Option<Cause> {
        let nobody = self.user.is_empty() && self.groups.as_ref().is_none_or(Vec::is_empty);
        nobody.then(|| {
            Cause::invalid(
                "spec.user",
                "",
                "at least one of user or group must be specified",
            )
        })
    }

    fn faults(&self) -> Vec<Cause> {
        let mut faults = Vec::new();
        match (&self.resource_attributes, &self.non_resource_attributes) {
            (Some(_), Some(path)) => faults.push(Cause::invalid(
                "spec.nonResourceAttributes",
                &path.shown(),
                "cannot be specified in combination with resourceAttributes",
            )),
            (None, None) => faults.push(Cause::invalid(
                "spec.resourceAttributes",
                &Value::Null,
                "exactly one of nonResourceAttributes or resourceAttributes must be specified",
            )),
            _ => {}
        }
        if let Some(resource) = &self.resource_attributes {
            for (name, selector) in [
                ("fieldSelector", &resource.field_selector),
                ("labelSelector", &resource.label_selector),
            ] {
                faults.extend(selector.as_ref().and_then(|selector| selector.fault(name)));
            }
        }
        faults
    }
}

impl SelectorSpec {
    fn fault(&self, name: &str) -> Option<Cause> {
        let field = format!("spec.resourceAttributes.{name}");
        let has_requirements = self
            .requirements
            .as_ref()
            .is_some_and(|list| !list.is_empty());
        match (self.raw_selector.is_empty(), has_requirements) {
            (false, true) => Some(Cause::invalid(
                format!("{field}.rawSelector"),
                self.raw_selector.as_str(),
                "may not specified at the same time as requirements",
            )),
            (true, false) => Some(Cause::required(
                format!("{field}.requirements"),
                &format!("when {field} is specified, requirements or rawSelector is required"),
            )),
            _ => None,
        }
    }
}

impl Path {
    /// Refusals show it with the names that Go gives its fields.
    fn shown(&self) -> Value {
        json!({"Path": self.path, "Verb": self.verb})
    }
}
