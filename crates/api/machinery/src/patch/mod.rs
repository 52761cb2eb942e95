//! Patches: JSON patch, JSON merge patch and strategic merge patch.
//!
//! A patch is worked into a copy; the object given is never changed.

mod operations;
mod strategic;

use api_meta::{Cause, Gvk, Status};
use serde_json::Value;

use crate::schema::{self, Fault};

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
    operations::apply(current, &operations).map_err(|error| {
        // Upstream answers so to everything that goes wrong here, copies beyond the limit included,
        // and keeps the error to itself.
        Status::failure(
            422,
            "Invalid",
            format!("the server rejected our request due to an error in our request: {error}"),
        )
    })
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
    let patched = strategic::apply(gvk, current, patch).map_err(|error| {
        if error.is_format() {
            Status::bad_request(error.to_string())
        } else {
            // Upstream has no better code for a patch that fails half-way.
            Status::failure(500, "", error.to_string())
        }
    })?;
    let wrong = schema::check(gvk, &patched)
        .into_iter()
        .find_map(|fault| match fault {
            Fault::WrongType(text) => Some(text),
            Fault::Unknown(_) => None,
        });
    match wrong {
        None => Ok(patched),
        Some(text) => {
            let shown = strategic::go_text(patch);
            let cause = Cause::invalid("patch", &shown, &restored(&text));
            Err(Status::invalid("", "", "", vec![cause]))
        }
    }
}

/// What upstream says of a patched object that does not fit its type, made of what its decoder says
/// of the same object as a body.
fn restored(decoder: &str) -> String {
    let Some((found, wanted)) = decoder
        .strip_prefix("json: cannot unmarshal ")
        .and_then(|rest| rest.split_once(" into Go struct field "))
        .and_then(|(found, rest)| Some((found, rest.rsplit_once(" of type ")?.1)))
    else {
        return decoder.to_owned();
    };
    let found = match found.split(' ').next() {
        Some("number") => "int64",
        Some("array") => "slice",
        Some("object") => "map",
        other => other.unwrap_or_default(),
    };
    match wanted {
        list if list.starts_with("[]") => format!("cannot restore slice from {found}"),
        map if map.starts_with("map[") => format!("cannot restore map from {found}"),
        name if name.contains('.') => format!("cannot restore struct from: {found}"),
        plain => format!("unrecognized type: {plain}"),
    }
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
    fn a_json_patch_that_copies_too_much_is_refused_as_upstream_does() {
        let current = json!({"a": "x".repeat(2_000_000)});
        let copy = json!({"op": "copy", "from": "/a", "path": "/a"});
        super::json(&current, &json!([copy])).unwrap();
        let refused = super::json(&current, &json!([copy, copy])).unwrap_err();
        assert_eq!((refused.code, refused.reason.as_str()), (422, "Invalid"));
        let many = vec![copy; 10_001];
        let refused = super::json(&current, &many.into()).unwrap_err();
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (413, "RequestEntityTooLarge")
        );
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
