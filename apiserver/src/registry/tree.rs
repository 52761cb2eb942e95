//! Small readings and changes of an object's tree. Knows paths, not kinds.

use serde_json::{Map, Value};

/// The text at a JSON pointer; empty if there is none.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The number at a JSON pointer.
pub(crate) fn number(value: &Value, pointer: &str) -> Option<i64> {
    value.pointer(pointer).and_then(Value::as_i64)
}

/// The array at a JSON pointer; empty if there is none.
pub(crate) fn array<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// The strings of the array at a JSON pointer.
pub(crate) fn strings(value: &Value, pointer: &str) -> Vec<String> {
    array(value, pointer)
        .iter()
        .filter_map(|item| item.as_str().map(str::to_owned))
        .collect()
}

/// The object under a field, made if it is not there.
pub(crate) fn child<'a>(value: &'a mut Value, field: &str) -> &'a mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => submap(map, field),
        _ => unreachable!("the value was made an object right above"),
    }
}

/// The map under a field of a map, made if it is not there.
pub(crate) fn submap<'a>(
    map: &'a mut Map<String, Value>,
    field: &str,
) -> &'a mut Map<String, Value> {
    let entry = map.entry(field).or_insert(Value::Null);
    if !entry.is_object() {
        *entry = Value::Object(Map::new());
    }
    match entry {
        Value::Object(map) => map,
        _ => unreachable!("the entry was made an object right above"),
    }
}

/// The annotations, made if they are not there.
pub(crate) fn annotations(value: &mut Value) -> &mut Map<String, Value> {
    submap(metadata(value), "annotations")
}

/// The metadata, made if it is not there.
pub(crate) fn metadata(value: &mut Value) -> &mut Map<String, Value> {
    child(value, "metadata")
}

/// The name.
pub(crate) fn name(value: &Value) -> &str {
    text(value, "/metadata/name")
}

/// The namespace; empty for kinds without one.
pub(crate) fn namespace(value: &Value) -> &str {
    text(value, "/metadata/namespace")
}

/// The unique id.
pub(crate) fn uid(value: &Value) -> &str {
    text(value, "/metadata/uid")
}

/// The finalizers.
pub(crate) fn finalizers(value: &Value) -> Vec<String> {
    strings(value, "/metadata/finalizers")
}

/// Sets the finalizers; an empty list leaves no field.
pub(crate) fn set_finalizers(value: &mut Value, finalizers: &[String]) {
    if finalizers.is_empty() {
        metadata(value).remove("finalizers");
    } else {
        metadata(value).insert("finalizers".into(), finalizers.into());
    }
}

/// Whether deletion has begun.
pub(crate) fn is_terminating(value: &Value) -> bool {
    value
        .pointer("/metadata/deletionTimestamp")
        .is_some_and(|time| !time.is_null())
}

/// Takes a field from `from`, or removes it where `from` has none.
pub(crate) fn copy_field(to: &mut Map<String, Value>, from: Option<&Value>, field: &str) {
    match from.and_then(|from| from.get(field)) {
        Some(value) if !value.is_null() => {
            to.insert(field.to_owned(), value.clone());
        }
        _ => {
            to.remove(field);
        }
    }
}

/// Copies a top-level field.
pub(crate) fn copy_top(to: &mut Value, from: &Value, field: &str) {
    if let Value::Object(map) = to {
        copy_field(map, Some(from), field);
    }
}

/// Whether two objects say the same, besides their resourceVersion.
pub(crate) fn is_same(a: &Value, b: &Value) -> bool {
    let (Value::Object(a), Value::Object(b)) = (a, b) else {
        return a == b;
    };
    let rest = |map: &Map<String, Value>| map.len() - usize::from(map.contains_key("metadata"));
    rest(a) == rest(b)
        && a.iter()
            .filter(|(field, _)| *field != "metadata")
            .all(|(f, v)| b.get(f) == Some(v))
        && same_metadata(a.get("metadata"), b.get("metadata"))
}

fn same_metadata(a: Option<&Value>, b: Option<&Value>) -> bool {
    let clean = |value: Option<&Value>| {
        let mut map = value
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        map.remove("resourceVersion");
        map
    };
    clean(a) == clean(b)
}

/// The time now in the form of `metav1.Time`.
pub(crate) fn now() -> String {
    api_meta::time::format(jiff::Timestamp::now())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{child, is_same};

    #[test]
    fn sameness_ignores_the_version_only() {
        let a = json!({"metadata": {"name": "x", "resourceVersion": "1"}, "data": {"a": "b"}});
        let b = json!({"metadata": {"name": "x", "resourceVersion": "2"}, "data": {"a": "b"}});
        let c = json!({"metadata": {"name": "x", "labels": {}}, "data": {"a": "b"}});
        let d = json!({"metadata": {"name": "x"}, "data": {"a": "b"}, "more": 1});
        assert!(is_same(&a, &b));
        assert!(!is_same(&a, &c));
        assert!(!is_same(&a, &d) && !is_same(&d, &a));
    }

    #[test]
    fn a_child_is_made_where_none_is() {
        let mut value = json!({"spec": null});
        child(&mut value, "spec").insert("a".into(), 1.into());
        child(&mut value, "status").insert("b".into(), 2.into());
        assert_eq!(value, json!({"spec": {"a": 1}, "status": {"b": 2}}));
    }
}
