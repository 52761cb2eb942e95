//! Strategic merge patch: maps merge field by field, lists by the key that the type names, with the
//! directives `$patch`, `$retainKeys`, `$setElementOrder/…` and `$deleteFromPrimitiveList/…`.
//!
//! Mirrors the strategicpatch package of apimachinery. What the type does not know merges as a
//! plain map or is replaced as a plain value.

use api_meta::Gvk;
use serde_json::{Map, Value};

use crate::schema::{Definition, Schemas, Type};

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const SET_ORDER: &str = "$setElementOrder/";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";

/// Why a patch cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("error decoding patch: a strategic merge patch must be an object")]
    NotAnObject,
    #[error("unknown patch type: {directive} in map: {map}")]
    Directive { directive: String, map: String },
    #[error("merging lists cannot yet be specified in the patch")]
    MergeInList,
    #[error("map: {item} does not contain declared merge key: {key}")]
    NoKey { item: String, key: String },
    #[error("invalid patch format of primitive list")]
    PrimitiveList,
    #[error("invalid patch format of retainKeys")]
    RetainKeys,
    #[error("invalid patch format of setElementOrder list")]
    SetElementOrder,
}

impl Error {
    /// Whether the patch has the wrong form; the rest fails while it is worked in.
    pub(super) fn is_format(&self) -> bool {
        match self {
            Self::NotAnObject | Self::PrimitiveList | Self::RetainKeys | Self::SetElementOrder => {
                true
            }
            Self::Directive { .. } | Self::MergeInList | Self::NoKey { .. } => false,
        }
    }
}

/// Applies `patch` to a copy of `current`.
pub(super) fn apply(gvk: &Gvk, current: &Value, patch: &Value) -> Result<Value, Error> {
    let (Some(current), Some(patch)) = (current.as_object(), patch.as_object()) else {
        return Err(Error::NotAnObject);
    };
    let definition = Schemas::builtin()
        .of_kind(gvk)
        .map(|(_, definition)| definition);
    Ok(Value::Object(map(
        current,
        patch,
        Scope {
            definition,
            values: None,
        },
    )?))
}

/// What is known of a map: the fields of a definition, or one type for all values.
#[derive(Clone, Copy)]
struct Scope {
    definition: Option<&'static Definition>,
    values: Option<&'static Type>,
}

impl Scope {
    fn field(self, name: &str) -> Option<&'static Type> {
        let known = self
            .definition
            .and_then(|definition| definition.fields.as_ref());
        known.and_then(|fields| fields.get(name)).or(self.values)
    }

    /// What is known inside a value of type `kind`.
    fn inside(kind: Option<&'static Type>) -> Self {
        let definition = kind.and_then(|kind| Schemas::builtin().target(kind));
        Self {
            definition,
            values: kind.and_then(|kind| kind.values.as_deref()),
        }
    }
}

fn map(
    current: &Map<String, Value>,
    patch: &Map<String, Value>,
    scope: Scope,
) -> Result<Map<String, Value>, Error> {
    match patch
        .get(PATCH)
        .map(|directive| directive.as_str().unwrap_or_default())
    {
        None => {}
        Some("replace") => return Ok(without_directives(patch)),
        Some("delete") => return Ok(Map::new()),
        Some(other) => return Err(unknown(other, patch)),
    }
    let mut merged = current.clone();
    if let Some(keep) = patch.get(RETAIN_KEYS) {
        let keep = keep.as_array().ok_or(Error::RetainKeys)?;
        let is_kept = |name: &String| keep.iter().any(|kept| kept == name);
        let mut set = patch
            .iter()
            .filter(|(name, value)| !name.starts_with('$') && !value.is_null());
        if set.any(|(name, _)| !is_kept(name)) {
            return Err(Error::RetainKeys);
        }
        merged.retain(|name, _| is_kept(name));
    }
    for (name, value) in patch {
        if let Some(list) = name.strip_prefix(DELETE_FROM) {
            delete_from(&mut merged, list, value)?;
        } else if !name.starts_with('$') {
            merge_field(&mut merged, name, value, scope)?;
        }
    }
    for (name, order) in patch {
        let Some(list) = name.strip_prefix(SET_ORDER) else {
            continue;
        };
        let kind = scope.field(list);
        let order = order.as_array().ok_or(Error::SetElementOrder)?;
        if let Some(items) = merged.get_mut(list).and_then(Value::as_array_mut) {
            let server = current.get(list).and_then(Value::as_array);
            reorder(
                items,
                order,
                server.map_or(&[], Vec::as_slice),
                merge_key(kind),
            );
        }
    }
    Ok(merged)
}

fn merge_field(
    merged: &mut Map<String, Value>,
    name: &str,
    value: &Value,
    scope: Scope,
) -> Result<(), Error> {
    let kind = scope.field(name);
    let result = match (merged.get(name), value) {
        (_, Value::Null) => {
            merged.remove(name);
            return Ok(());
        }
        (Some(Value::Object(old)), Value::Object(new)) if !replaces(kind) => {
            Value::Object(map(old, new, Scope::inside(kind))?)
        }
        (_, Value::Object(new)) => Value::Object(map(&Map::new(), new, Scope::inside(kind))?),
        (old, Value::Array(new)) if merges(kind) => {
            let old = old.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            Value::Array(list(old, new, kind)?)
        }
        (_, value) => value.clone(),
    };
    merged.insert(name.to_owned(), result);
    Ok(())
}

fn merges(kind: Option<&Type>) -> bool {
    strategies(kind).any(|strategy| strategy == "merge")
}

/// An object is merged unless its type asks for the contrary.
fn replaces(kind: Option<&Type>) -> bool {
    strategies(kind).any(|strategy| strategy == "replace")
}

fn strategies(kind: Option<&Type>) -> impl Iterator<Item = &str> {
    kind.and_then(|kind| kind.patch_strategy.as_deref())
        .into_iter()
        .flat_map(|all| all.split(','))
}

fn merge_key(kind: Option<&Type>) -> Option<&str> {
    kind?.patch_merge_key.as_deref()
}

/// Merges a list; without a key its items are plain values.
///
/// The items of the patch come in the order of the patch, those that only the server has keep their
/// order and stand before an item of the patch only where they did so on the server.
fn list(old: &[Value], new: &[Value], kind: Option<&'static Type>) -> Result<Vec<Value>, Error> {
    let Some(key) = merge_key(kind) else {
        let mut merged = old.to_vec();
        merged.extend(new.iter().filter(|item| !old.contains(item)).cloned());
        reorder(&mut merged, new, old, None);
        return Ok(merged);
    };
    let mut server = old.to_vec();
    let mut plain: Vec<(&Map<String, Value>, &Value)> = Vec::new();
    let mut is_replaced = false;
    let empty = Map::new();
    for item in new {
        let fields = item.as_object().unwrap_or(&empty);
        match fields
            .get(PATCH)
            .map(|directive| directive.as_str().unwrap_or_default())
        {
            None => plain.push((fields, item)),
            Some("delete") => {
                let id = id_of(fields, key)?;
                server.retain(|found| found.get(key) != Some(id));
            }
            Some("replace") => is_replaced = true,
            Some("merge") => return Err(Error::MergeInList),
            Some(other) => return Err(unknown(other, fields)),
        }
    }
    if is_replaced {
        return Ok(plain.into_iter().map(|(_, item)| item.clone()).collect());
    }
    let inside = Scope::inside(kind.and_then(|kind| kind.items.as_deref()));
    let mut merged = server.clone();
    let mut order = Vec::with_capacity(plain.len());
    for (fields, item) in plain {
        let id = id_of(fields, key)?;
        let slot = merged.iter_mut().find(|found| found.get(key) == Some(id));
        let base = slot
            .as_ref()
            .and_then(|found| found.as_object())
            .unwrap_or(&empty);
        let whole = Value::Object(map(base, fields, inside)?);
        match slot {
            Some(slot) => *slot = whole,
            None => merged.push(whole),
        }
        order.push(item.clone());
    }
    reorder(&mut merged, &order, &server, Some(key));
    Ok(merged)
}

fn id_of<'a>(fields: &'a Map<String, Value>, key: &str) -> Result<&'a Value, Error> {
    let missing = || Error::NoKey {
        item: go_map(fields),
        key: key.to_owned(),
    };
    fields.get(key).ok_or_else(missing)
}

fn unknown(directive: &str, map: &Map<String, Value>) -> Error {
    Error::Directive {
        directive: directive.to_owned(),
        map: go_map(map),
    }
}

/// A value as Go prints it in a message.
pub(super) fn go_text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(go_text).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(map) => go_map(map),
        other => other.to_string(),
    }
}

fn go_map(map: &Map<String, Value>) -> String {
    let fields: Vec<String> = map
        .iter()
        .map(|(name, value)| format!("{name}:{}", go_text(value)))
        .collect();
    format!("map[{}]", fields.join(" "))
}

fn delete_from(merged: &mut Map<String, Value>, list: &str, values: &Value) -> Result<(), Error> {
    let gone = values.as_array().ok_or(Error::PrimitiveList)?;
    if let Some(items) = merged.get_mut(list).and_then(Value::as_array_mut) {
        items.retain(|item| !gone.contains(item));
    }
    Ok(())
}

/// Puts the items that `order` names into that order. Items that only the server has keep their
/// place relative to their neighbours on the server.
fn reorder(items: &mut Vec<Value>, order: &[Value], server: &[Value], key: Option<&str>) {
    let id = |item: &Value| {
        key.map_or_else(
            || item.clone(),
            |key| item.get(key).cloned().unwrap_or(Value::Null),
        )
    };
    let wanted: Vec<Value> = order.iter().map(id).collect();
    let place = |item: &Value| wanted.iter().position(|wanted| *wanted == id(item));
    let (mut listed, others): (Vec<Value>, Vec<Value>) = std::mem::take(items)
        .into_iter()
        .partition(|item| place(item).is_some());
    listed.sort_by_key(|item| place(item));
    let on_server = |item: &Value| server.iter().position(|found| id(found) == id(item));
    let mut others = others.into_iter().peekable();
    for item in listed {
        while let Some(other) = others.next_if(|other| match (on_server(other), on_server(&item)) {
            (Some(other), Some(item)) => other < item,
            _ => false,
        }) {
            items.push(other);
        }
        items.push(item);
    }
    items.extend(others);
}

fn without_directives(map: &Map<String, Value>) -> Map<String, Value> {
    map.iter()
        .filter(|(name, _)| !name.starts_with('$'))
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use api_meta::Gvk;
    use serde_json::{Value, json};

    use super::{Error, apply};

    fn deployment(current: &Value, patch: &Value) -> Value {
        apply(&Gvk::new("apps", "v1", "Deployment"), current, patch).unwrap()
    }

    fn containers(list: Value) -> Value {
        json!({"spec": {"template": {"spec": {"containers": list}}}})
    }

    #[test]
    fn containers_merge_by_name() {
        let current = containers(
            json!([{"name": "a", "image": "a:1", "ports": [{"containerPort": 80}]}, {"name": "b"}]),
        );
        let patch = containers(json!([{"name": "a", "image": "a:2"}, {"name": "c"}]));
        let merged = containers(json!([
            {"name": "a", "image": "a:2", "ports": [{"containerPort": 80}]}, {"name": "c"}, {"name": "b"},
        ]));
        assert_eq!(deployment(&current, &patch), merged);
    }

    #[test]
    fn items_are_deleted_and_replaced_by_directive() {
        let current = containers(json!([{"name": "a", "image": "1"}, {"name": "b"}]));
        let delete = containers(json!([{"name": "a", "$patch": "delete"}]));
        assert_eq!(
            deployment(&current, &delete),
            containers(json!([{"name": "b"}]))
        );
        let whole = containers(json!([{"$patch": "replace"}, {"name": "z"}]));
        assert_eq!(
            deployment(&current, &whole),
            containers(json!([{"name": "z"}]))
        );
    }

    #[test]
    fn an_order_is_set() {
        let current = containers(json!([{"name": "a"}, {"name": "b"}, {"name": "s"}]));
        let patch = json!({"spec": {"template": {"spec": {
            "$setElementOrder/containers": [{"name": "c"}, {"name": "b"}, {"name": "a"}],
            "containers": [{"name": "c"}],
        }}}});
        let merged =
            containers(json!([{"name": "c"}, {"name": "b"}, {"name": "a"}, {"name": "s"}]));
        assert_eq!(deployment(&current, &patch), merged);
    }

    #[test]
    fn keys_are_retained_and_nulls_remove() {
        let current = json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}});
        let patch = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}, "replicas": null}});
        assert_eq!(
            deployment(&current, &patch),
            json!({"spec": {"strategy": {"type": "Recreate"}}})
        );
    }

    #[test]
    fn plain_lists_are_joined_where_the_type_says_so_and_replaced_elsewhere() {
        let gvk = Gvk::new("", "v1", "Pod");
        let current = json!({"metadata": {"finalizers": ["a", "b"]}, "spec": {"containers": [{"name": "c", "args": ["1"]}]}});
        let patch = json!({
            "metadata": {"finalizers": ["c"], "$deleteFromPrimitiveList/finalizers": ["a"]},
            "spec": {"containers": [{"name": "c", "args": ["2"]}]},
        });
        let merged = apply(&gvk, &current, &patch).unwrap();
        let mut finalizers: Vec<&str> = merged["metadata"]["finalizers"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        finalizers.sort_unstable();
        assert_eq!(finalizers, ["b", "c"]);
        assert_eq!(merged["spec"]["containers"][0]["args"], json!(["2"]));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let gvk = Gvk::new("apps", "v1", "Deployment");
        let fault = |patch: Value| apply(&gvk, &json!({}), &patch).unwrap_err();
        assert_eq!(fault(json!([])), Error::NotAnObject);
        assert_eq!(
            fault(json!({"$patch": "nonsense"})).to_string(),
            "unknown patch type: nonsense in map: map[$patch:nonsense]"
        );
        assert!(matches!(
            fault(containers(json!([{"image": "x"}]))),
            Error::NoKey { .. }
        ));
    }
}
