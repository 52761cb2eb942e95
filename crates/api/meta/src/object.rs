//! Reading and writing the metadata of an object that is being worked on as a tree.
//!
//! Every accessor is total: a missing or ill-typed field reads as absent, because shape is checked
//! by the schema walk and never here.

use serde_json::{Map, Value};

/// The string at a path of field names; absent and ill-typed are `None`.
pub fn str_at<'a>(object: &'a Value, path: &[&str]) -> Option<&'a str> {
    at(object, path)?.as_str()
}

/// The integer at a path of field names.
pub fn i64_at(object: &Value, path: &[&str]) -> Option<i64> {
    at(object, path)?.as_i64()
}

/// The boolean at a path; absent is false.
pub fn bool_at(object: &Value, path: &[&str]) -> bool {
    at(object, path).and_then(Value::as_bool).unwrap_or(false)
}

/// The list at a path; absent is empty.
pub fn list_at<'a>(object: &'a Value, path: &[&str]) -> &'a [Value] {
    at(object, path)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The map at a path.
pub fn map_at<'a>(object: &'a Value, path: &[&str]) -> Option<&'a Map<String, Value>> {
    at(object, path)?.as_object()
}

/// The value at a path of field names; `null` reads as absent.
pub fn at<'a>(object: &'a Value, path: &[&str]) -> Option<&'a Value> {
    let mut here = object;
    for name in path {
        here = here.get(name)?;
    }
    (!here.is_null()).then_some(here)
}

/// Sets the value at a path, making the maps on the way. A path through something that is not a map
/// changes nothing.
pub fn set(object: &mut Value, path: &[&str], value: Value) {
    let Some((last, way)) = path.split_last() else {
        return;
    };
    let mut here = object;
    for name in way {
        let Some(map) = here.as_object_mut() else {
            return;
        };
        let next = map.entry(*name).or_insert(Value::Null);
        if next.is_null() {
            *next = Value::Object(Map::new());
        }
        here = next;
    }
    if let Some(map) = here.as_object_mut() {
        map.insert((*last).to_owned(), value);
    }
}

/// Removes the value at a path and returns it.
pub fn remove(object: &mut Value, path: &[&str]) -> Option<Value> {
    let (last, way) = path.split_last()?;
    let mut here = object;
    for name in way {
        here = here.get_mut(name)?;
    }
    here.as_object_mut()?.remove(*last)
}

/// `apiVersion`, empty if absent.
pub fn api_version(object: &Value) -> &str {
    str_at(object, &["apiVersion"]).unwrap_or_default()
}

/// `kind`, empty if absent.
pub fn kind(object: &Value) -> &str {
    str_at(object, &["kind"]).unwrap_or_default()
}

/// The field of metadata, empty if absent.
pub fn metadata<'a>(object: &'a Value, field: &str) -> &'a str {
    str_at(object, &["metadata", field]).unwrap_or_default()
}

/// `metadata.name`, empty if absent.
pub fn name(object: &Value) -> &str {
    metadata(object, "name")
}

/// `metadata.namespace`, empty if absent.
pub fn namespace(object: &Value) -> &str {
    metadata(object, "namespace")
}

/// `metadata.generateName`, empty if absent.
pub fn generate_name(object: &Value) -> &str {
    metadata(object, "generateName")
}

/// `metadata.uid`, empty if absent.
pub fn uid(object: &Value) -> &str {
    metadata(object, "uid")
}

/// `metadata.resourceVersion`, empty if absent.
pub fn resource_version(object: &Value) -> &str {
    metadata(object, "resourceVersion")
}

/// `metadata.generation`, 0 if absent.
pub fn generation(object: &Value) -> i64 {
    i64_at(object, &["metadata", "generation"]).unwrap_or_default()
}

/// `metadata.deletionTimestamp`.
pub fn deletion_timestamp(object: &Value) -> Option<&str> {
    str_at(object, &["metadata", "deletionTimestamp"])
}

/// `metadata.labels` as pairs.
pub fn labels(object: &Value) -> impl Iterator<Item = (&str, &str)> {
    string_map(object, &["metadata", "labels"])
}

/// One label.
pub fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    str_at(object, &["metadata", "labels", key])
}

/// `metadata.annotations` as pairs.
pub fn annotations(object: &Value) -> impl Iterator<Item = (&str, &str)> {
    string_map(object, &["metadata", "annotations"])
}

/// One annotation.
pub fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    str_at(object, &["metadata", "annotations", key])
}

/// The pairs of a map of strings at a path.
pub fn string_map<'a>(
    object: &'a Value,
    path: &[&str],
) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
    let pairs = map_at(object, path).into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}

/// `metadata.finalizers`.
pub fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    list_at(object, &["metadata", "finalizers"])
        .iter()
        .filter_map(Value::as_str)
}

/// `metadata.ownerReferences`.
pub fn owner_references(object: &Value) -> &[Value] {
    list_at(object, &["metadata", "ownerReferences"])
}

/// The owner reference whose `controller` is true.
pub fn controller_of(object: &Value) -> Option<&Value> {
    owner_references(object)
        .iter()
        .find(|owner| bool_at(owner, &["controller"]))
}

/// The metadata map, made if it is missing. `None` if the object or its metadata is no map.
pub fn metadata_mut(object: &mut Value) -> Option<&mut Map<String, Value>> {
    let slot = object
        .as_object_mut()?
        .entry("metadata")
        .or_insert(Value::Null);
    if slot.is_null() {
        *slot = Value::Object(Map::new());
    }
    slot.as_object_mut()
}

/// Sets a string of the metadata; an empty one removes the field.
pub fn set_metadata(object: &mut Value, field: &str, value: &str) {
    let Some(metadata) = metadata_mut(object) else {
        return;
    };
    if value.is_empty() {
        metadata.remove(field);
    } else {
        metadata.insert(field.to_owned(), Value::String(value.to_owned()));
    }
}

/// Sets `apiVersion` and `kind`.
pub fn set_type(object: &mut Value, api_version: &str, kind: &str) {
    set(
        object,
        &["apiVersion"],
        Value::String(api_version.to_owned()),
    );
    set(object, &["kind"], Value::String(kind.to_owned()));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn accessors_are_total() {
        for odd in [
            json!(null),
            json!([]),
            json!({"metadata": 3}),
            json!({"metadata": {"name": {}}}),
        ] {
            assert_eq!(name(&odd), "");
            assert_eq!(labels(&odd).count(), 0);
            assert_eq!(controller_of(&odd), None);
        }
    }

    #[test]
    fn setting_makes_the_way() {
        let mut object = json!({});
        set(&mut object, &["spec", "a", "b"], json!(1));
        set_metadata(&mut object, "name", "x");
        assert_eq!(
            object,
            json!({"spec": {"a": {"b": 1}}, "metadata": {"name": "x"}})
        );
        assert_eq!(remove(&mut object, &["spec", "a", "b"]), Some(json!(1)));
        set_metadata(&mut object, "name", "");
        assert_eq!(object, json!({"spec": {"a": {}}, "metadata": {}}));
        set(&mut object, &["spec", "a", "b"], json!(1));
        set(&mut object, &["spec", "a", "b", "c"], json!(1));
        assert_eq!(object["spec"]["a"]["b"], json!(1));
    }
}
