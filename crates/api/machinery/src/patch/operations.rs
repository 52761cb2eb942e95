//! RFC 6902, operation by operation, within limits.
//!
//! Operations multiply what a small body says: a copy of the object into itself doubles it, and a
//! move nests it deeper. Input: a checked number of operations that a user sent, and an object that
//! was parsed within [`PARSED_DEPTH_MAX`].

use std::io::{self, Write};

use json_patch::{CopyOperation, MoveOperation, PatchOperation};
use serde_json::Value;

/// What all copies of a patch together may add, in bytes of JSON: upstream's JSONPatchMaxCopyBytes,
/// which is as large as a request's body may be.
const COPY_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Levels of nesting that the parser lets through.
const PARSED_DEPTH_MAX: usize = 127;
/// Levels that a patched object may have: the parser must read it again from the store, and clients
/// with a similar limit must read it inside of a list.
const DEPTH_MAX: usize = 120;
/// Levels that there may be between two operations, counted as if each had found its worst case.
/// Trees are walked by recursion, so this also bounds the stack.
const NESTING_MAX: usize = 1000;

const _: () = assert!(DEPTH_MAX < PARSED_DEPTH_MAX && 2 * PARSED_DEPTH_MAX < NESTING_MAX);

/// Why a patch cannot be applied.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Operation(#[from] json_patch::PatchError),
    #[error(
        "Unable to complete the copy, the accumulated size increase of copy is {0}, exceeding the limit {COPY_BYTES_MAX}"
    )]
    Copies(usize),
    #[error("the patch nests values deeper than {DEPTH_MAX} levels")]
    Depth,
}

/// Applies the operations in order to a copy of `current`.
pub(super) fn apply(current: &Value, operations: &[PatchOperation]) -> Result<Value, Error> {
    let mut patched = current.clone();
    let mut copied = 0_usize;
    let mut nesting = PARSED_DEPTH_MAX;
    for (place, operation) in operations.iter().enumerate() {
        if let PatchOperation::Copy(copy) = operation
            && let Some(source) = patched.pointer(copy.from.as_str())
        {
            copied = copied.saturating_add(json_bytes(source));
            if copied > COPY_BYTES_MAX {
                return Err(Error::Copies(copied));
            }
        }
        nesting = nesting.max(nesting_after(operation, nesting));
        if nesting > NESTING_MAX {
            return Err(Error::Depth);
        }
        // The copy is thrown away when an operation fails, so nothing needs to be undone.
        json_patch::patch_unsafe(&mut patched, std::slice::from_ref(operation)).map_err(
            |mut error| {
                error.operation = place;
                error
            },
        )?;
    }
    if depth(&patched) > DEPTH_MAX {
        return Err(Error::Depth);
    }
    Ok(patched)
}

/// The levels that an operation may bring about where there are at most `nesting` now.
fn nesting_after(operation: &PatchOperation, nesting: usize) -> usize {
    let levels = |pointer: &str| pointer.matches('/').count();
    match operation {
        PatchOperation::Add(_) | PatchOperation::Replace(_) => {
            levels(operation.path().as_str()) + PARSED_DEPTH_MAX
        }
        PatchOperation::Move(MoveOperation { from, path })
        | PatchOperation::Copy(CopyOperation { from, path }) => {
            levels(path.as_str()) + nesting.saturating_sub(levels(from.as_str()))
        }
        PatchOperation::Remove(_) | PatchOperation::Test(_) => 0,
    }
}

/// How many lists and maps lie inside of each other.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// The size of a value as JSON.
fn json_bytes(value: &Value) -> usize {
    struct Counted(usize);
    impl Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.saturating_add(bytes.len());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counted = Counted(0);
    match serde_json::to_writer(&mut counted, value) {
        Ok(()) => counted.0,
        // A tree always has a JSON form; one without must not be copied.
        Err(_) => usize::MAX,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{COPY_BYTES_MAX, DEPTH_MAX, apply, depth};

    fn patched(current: &Value, operations: Value) -> Result<Value, String> {
        let operations: json_patch::Patch = serde_json::from_value(operations).unwrap();
        apply(current, &operations).map_err(|error| error.to_string())
    }

    #[test]
    fn copies_are_limited_together() {
        let copies = |count: usize, bytes: usize| {
            let current = json!({"a": "x".repeat(bytes)});
            let copy = json!({"op": "copy", "from": "/a", "path": "/b"});
            patched(&current, vec![copy; count].into())
        };
        // Two quotation marks are part of the JSON.
        let half = COPY_BYTES_MAX / 2 - 2;
        assert_eq!(copies(2, half).unwrap()["b"], "x".repeat(half));
        assert_eq!(
            copies(3, half).unwrap_err(),
            "Unable to complete the copy, the accumulated size increase of copy is 4718592, exceeding the limit 3145728"
        );
    }

    #[test]
    fn an_object_that_is_copied_into_itself_stays_small() {
        let copy = |n: usize| json!({"op": "copy", "from": "", "path": format!("/{n}")});
        let bomb: Vec<Value> = (0..100).map(copy).collect();
        let refused = patched(&json!({"a": "x".repeat(1000)}), bomb.into()).unwrap_err();
        assert!(refused.contains("exceeding the limit"), "{refused}");
    }

    #[test]
    fn nesting_ends_before_the_stack_does() {
        let mut current = json!({"a": {}});
        let nest = json!([
            {"op": "add", "path": "/b", "value": {}},
            {"op": "move", "from": "/a", "path": "/b/a"},
            {"op": "move", "from": "/b", "path": "/a"},
        ]);
        let refusal = "the patch nests values deeper than 120 levels";
        let many: Vec<Value> = (0..3000).map(|n| nest[n % 3].clone()).collect();
        assert_eq!(patched(&current, many.into()).unwrap_err(), refusal);
        // A parent for each path, and under it what the parser still lets through.
        let deep = (0..100).fold(json!({}), |inner, _| json!({ "a": inner }));
        let path = |n: usize| "/a".repeat(100 * n + 1);
        let add = |n: usize| json!({"op": "add", "path": path(n), "value": deep});
        let many: Vec<Value> = (0..100).map(add).collect();
        assert_eq!(patched(&current, many.into()).unwrap_err(), refusal);
        // What is stored can be read again and patched again.
        while depth(&current) < DEPTH_MAX {
            current = patched(&current, nest.clone()).unwrap();
        }
        serde_json::from_str::<Value>(&current.to_string()).unwrap();
        assert_eq!(patched(&current, nest).unwrap_err(), refusal);
    }

    #[test]
    fn a_failure_names_its_operation() {
        let operations = json!([
            {"op": "add", "path": "/b", "value": 1},
            {"op": "copy", "from": "/none", "path": "/c"},
        ]);
        assert_eq!(
            patched(&json!({}), operations).unwrap_err(),
            "operation '/1' failed at path '/c': \"from\" path is invalid"
        );
    }
}
