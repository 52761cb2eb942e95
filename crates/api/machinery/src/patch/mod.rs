//! Patches: JSON patch, JSON merge patch and strategic merge patch.
//!
//! A patch is worked into a copy; the object given is never changed.

mod strategic;

use api_meta::{Gvk, Status};
use serde_json::Value;

/// Operations in one JSON patch.
const OPERATIONS_MAX: usize = 10_000;
/// The `Accept-Patch`-like list in a refusal, in upstream's order.
pub const MEDIA_TYPES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

/// RFC 6902.
pub fn json(current: &Value, patch: &Value) -> Result<Value, Status> {
    let count = patch.as_array().map_or(0, Vec::len);
    if count > OPERATIONS_MAX {
        let text = format!(
            "The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {count}"
        );
        return Err(Status::failure(413, "RequestEntityTooLarge", text));
    }
    let operations: json_patch::Patch = serde_json::from_value(patch.clone())
        .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))?;
    let mut patched = current.clone();
    json_patch::patch(&mut patched, &operations).map_err(|error| {
        Status::failure(
            422,
            "Invalid",
            format!("the server rejected our request due to an error in our request: {error}"),
        )
    })?;
    Ok(patched)
}

/// RFC 7386.
pub fn merge(current: &Value, patch: &Value) -> Result<Value, Status> {
    if !patch.is_object() {
        return Err(Status::bad_request(
            "error decoding patch: a merge patch must be an object",
        ));
    }
    let mut patched = current.clone();
    json_patch::merge(&mut patched, patch);
    Ok(patched)
}

/// Kubernetes' own: lists merge by the keys that the kind's type names.
pub fn strategic(gvk: &Gvk, current: &Value, patch: &Value) -> Result<Value, Status> {
    strategic::apply(gvk, current, patch).map_err(|error| Status::bad_request(error.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn a_json_patch_is_whole_or_nothing() {
        let current = json!({"a": 1});
        let patch = json!([{"op": "replace", "path": "/a", "value": 2}, {"op": "test", "path": "/a", "value": 3}]);
        assert_eq!(super::json(&current, &patch).unwrap_err().code, 422);
        let patch = json!([{"op": "add", "path": "/b", "value": 2}]);
        assert_eq!(
            super::json(&current, &patch).unwrap(),
            json!({"a": 1, "b": 2})
        );
        assert_eq!(super::json(&current, &json!({})).unwrap_err().code, 400);
    }

    #[test]
    fn a_merge_patch_removes_by_null() {
        let current = json!({"a": {"x": 1, "y": 2}});
        assert_eq!(
            super::merge(&current, &json!({"a": {"x": null}})).unwrap(),
            json!({"a": {"y": 2}})
        );
        assert_eq!(super::merge(&current, &json!([])).unwrap_err().code, 400);
    }
}
