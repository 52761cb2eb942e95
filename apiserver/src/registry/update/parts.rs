//! Which parts of an object a request may change, for whom it is meant, and what holds its deletion
//! back. Pure.

use api_meta::status::Status;
use serde_json::Value;

use super::Part;
use crate::registry::context::Target;
use crate::registry::strategy::Strategy;
use crate::registry::{refusals, tree};

/// Refuses a change that is meant for another object, or for another state of it.
pub(super) fn check_identity(
    target: &Target,
    strategy: &dyn Strategy,
    new: &Value,
    old: &Value,
) -> Result<(), Status> {
    let kind = target.kind;
    let (uid, now) = (tree::uid(new), tree::uid(old));
    if !uid.is_empty() && uid != now {
        let why =
            format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {now}");
        return Err(Status::conflict(
            &kind.group,
            &kind.resource,
            &target.name,
            &why,
        ));
    }
    match tree::text(new, "/metadata/resourceVersion") {
        "" | "0" if strategy.allows_blind_update(kind) => Ok(()),
        "" | "0" => {
            let cause = api_meta::Cause::new(
                "FieldValueInvalid",
                "metadata.resourceVersion",
                "Invalid value: 0: must be specified for an update",
            );
            Err(Status::invalid(
                &kind.group,
                &kind.kind,
                &target.name,
                vec![cause],
            ))
        }
        version if version == tree::text(old, "/metadata/resourceVersion") => Ok(()),
        version if version.parse::<u64>().is_err() => {
            let cause = api_meta::Cause::invalid(
                "metadata.resourceVersion",
                version,
                "must be an unsigned integer",
            );
            Err(Status::invalid(
                &kind.group,
                &kind.kind,
                &target.name,
                vec![cause],
            ))
        }
        _ => Err(refusals::modified(target)),
    }
}

/// What the server alone decides on stays as it is.
pub(super) fn keep_system_metadata(new: &mut Value, old: &Value) {
    let kept = [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "namespace",
        "resourceVersion",
    ];
    let from = old.get("metadata");
    let metadata = tree::metadata(new);
    for field in kept {
        tree::copy_field(metadata, from, field);
    }
    for field in ["selfLink", "managedFields"] {
        metadata.remove(field);
    }
    if metadata
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .is_empty()
    {
        tree::copy_field(metadata, from, "name");
    }
}

/// Lets a request change only its part of the object.
pub(super) fn isolate(part: Part, new: &mut Value, old: &Value) {
    match part {
        Part::AsMade | Part::Decision => {}
        Part::Whole => {
            if strategy_has_status(old) {
                tree::copy_top(new, old, "status");
            }
        }
        Part::Status => {
            let mut result = old.clone();
            tree::copy_top(&mut result, new, "status");
            let sent = new.get("metadata").cloned().unwrap_or_default();
            let metadata = tree::metadata(&mut result);
            for field in ["labels", "annotations", "finalizers"] {
                tree::copy_field(metadata, Some(&sent), field);
            }
            *new = result;
        }
    }
}

/// Whether the object's kind keeps a status apart.
fn strategy_has_status(object: &Value) -> bool {
    let (group, version) = api_meta::gvk::split_api_version(tree::text(object, "/apiVersion"));
    api_meta::Kinds::builtin()
        .by_kind(group, version, tree::text(object, "/kind"))
        .is_some_and(api_meta::Kind::has_status)
}

/// Whether nothing holds a terminating object back any more.
pub(in crate::registry) fn is_deletion_finished(kind: &api_meta::Kind, object: &Value) -> bool {
    let is_namespace = kind.group.is_empty() && kind.resource == "namespaces";
    tree::is_terminating(object)
        && tree::finalizers(object).is_empty()
        && tree::number(object, "/metadata/deletionGracePeriodSeconds").unwrap_or(0) == 0
        && (!is_namespace || tree::array(object, "/spec/finalizers").is_empty())
}

#[cfg(test)]
mod tests;
