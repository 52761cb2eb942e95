//! The one written form of an object of a built-in kind: what upstream's decoder and encoder would
//! make of it. Unknown fields and nulls go, zero values go or come as each field's type says,
//! quantities and times are rewritten, and the defaults of the schema come in.
//!
//! Doing it twice is the same as once. Values of the wrong type are left as they are: they are
//! refused by [`super::check`], which comes first. Only equal forms can be compared by bytes.

use api_meta::Gvk;
use api_meta::quantity;
use serde_json::{Map, Value};

use super::{Definition, Schemas, Type, Zero};

const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";
const MICRO_TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";

/// Schemas of custom resources hold themselves; nothing built in is nearly as deep.
const DEPTH_MAX: usize = 500;

/// Rewrites `object` into its written form. A kind without a known type is left as it is.
pub fn canonicalise(gvk: &Gvk, object: &mut Value) {
    let walk = Walk {
        schemas: Schemas::builtin(),
    };
    if let (Some((_, definition)), Some(object)) =
        (walk.schemas.of_kind(gvk), object.as_object_mut())
    {
        walk.object(definition, object, 0);
    }
}

struct Walk {
    schemas: &'static Schemas,
}

impl Walk {
    fn object(
        &self,
        definition: &'static Definition,
        object: &mut Map<String, Value>,
        depth: usize,
    ) {
        let Some(fields) = definition.fields.as_ref().filter(|_| depth < DEPTH_MAX) else {
            return;
        };
        object.retain(|name, value| !value.is_null() && fields.contains_key(name));
        for (name, field) in fields {
            if let Some(value) = object.get_mut(name) {
                self.value(field, value, depth + 1);
                if !self.is_left_out(field, value, depth) {
                    continue;
                }
                object.remove(name);
            }
            if let Some(value) = self.absent(field, depth + 1) {
                object.insert(name.clone(), value);
            }
        }
    }

    fn value(&self, kind: &'static Type, value: &mut Value, depth: usize) {
        if let Some(name) = kind.reference.as_deref() {
            return self.referenced(name, value, depth);
        }
        match value {
            Value::Array(items) => {
                let Some(item_type) = kind.items.as_deref() else {
                    return;
                };
                for item in items {
                    self.element(item_type, item, depth + 1);
                }
            }
            Value::Object(map) => {
                let Some(value_type) = kind.values.as_deref() else {
                    return;
                };
                let is_resources = value_type.reference.as_deref() == Some(QUANTITY);
                for value in map.values_mut() {
                    match written(value, true).filter(|_| is_resources) {
                        Some(text) => *value = text.into(),
                        None => self.element(value_type, value, depth + 1),
                    }
                }
            }
            Value::Number(number) if kind.data_type == "integer" && number.is_f64() => {
                if let Some(whole) = whole(number.as_f64()) {
                    *value = whole.into();
                }
            }
            _ => {}
        }
    }

    /// A null in a list or map is the zero of its type.
    fn element(&self, kind: &'static Type, value: &mut Value, depth: usize) {
        if value.is_null() {
            *value = self.zero(kind, depth);
        } else {
            self.value(kind, value, depth);
        }
    }

    fn referenced(&self, name: &str, value: &mut Value, depth: usize) {
        match name {
            QUANTITY => {
                if let Some(text) = written(value, false) {
                    *value = text.into();
                }
            }
            TIME | MICRO_TIME => {
                let format = if name == TIME {
                    api_meta::time::format
                } else {
                    api_meta::time::format_micro
                };
                if let Some(at) = value.as_str().and_then(api_meta::time::parse) {
                    *value = format(at).into();
                }
            }
            INT_OR_STRING => {
                if value.is_f64()
                    && let Some(whole) = whole(value.as_f64())
                {
                    *value = whole.into();
                }
            }
            _ => {
                if let (Some(definition), Value::Object(object)) = (self.schemas.get(name), value) {
                    self.object(definition, object, depth);
                }
            }
        }
    }

    /// Whether the encoder leaves a value out that is there.
    fn is_left_out(&self, field: &'static Type, value: &Value, depth: usize) -> bool {
        match field.zero {
            Zero::Pointer | Zero::Kept => false,
            // `omitempty` says nothing about structs.
            Zero::Dropped if self.is_struct(field) => false,
            Zero::Dropped => is_empty(value),
            Zero::StructDropped => is_empty(value) || *value == self.zero(field, depth + 1),
        }
    }

    /// What stands for a field that is not there.
    fn absent(&self, field: &'static Type, depth: usize) -> Option<Value> {
        if let Some(default) = field.default.as_ref().filter(|default| !is_empty(default)) {
            return Some(default.clone());
        }
        match field.zero {
            Zero::Kept => Some(self.zero(field, depth)),
            Zero::Dropped if field.reference.is_some() => Some(self.zero(field, depth)),
            _ => None,
        }
    }

    fn is_struct(&self, field: &Type) -> bool {
        field.reference.is_some()
    }

    fn zero(&self, kind: &'static Type, depth: usize) -> Value {
        if let Some(name) = kind.reference.as_deref() {
            return match (name, self.schemas.get(name)) {
                (QUANTITY, _) => "0".into(),
                (INT_OR_STRING, _) => 0.into(),
                (_, Some(definition)) if definition.fields.is_some() => {
                    let mut object = Map::new();
                    self.object(definition, &mut object, depth);
                    object.into()
                }
                _ => Value::Null,
            };
        }
        match kind.data_type.as_str() {
            "string" if kind.format.as_deref() == Some("byte") => Value::Null,
            "string" => "".into(),
            "integer" | "number" => 0.into(),
            "boolean" => false.into(),
            _ => Value::Null,
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

/// The integer that a float is, if it is one that every client can read back.
fn whole(number: Option<f64>) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number = number.filter(|n| n.fract() == 0.0 && n.abs() <= EXACT)?;
    format!("{number:.0}").parse().ok()
}

fn written(value: &Value, is_in_list: bool) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    quantity::written(&text, is_in_list).ok()
}

#[cfg(test)]
mod tests {
    use api_meta::Gvk;
    use serde_json::{Value, json};

    use super::canonicalise;

    fn check(group: &str, kind: &str, mut object: Value, expected: &Value) {
        let gvk = Gvk::new(group, "v1", kind);
        canonicalise(&gvk, &mut object);
        assert_eq!(object, *expected);
        canonicalise(&gvk, &mut object);
        assert_eq!(object, *expected, "done twice");
    }

    #[test]
    fn a_pod_as_go_writes_it() {
        check(
            "",
            "Pod",
            json!({
                "metadata": {"name": "x", "labels": {}, "creationTimestamp": null, "odd": 1},
                "spec": {
                    "hostNetwork": false, "nodeName": "", "terminationGracePeriodSeconds": 0,
                    "containers": [{
                        "name": "c", "image": "i", "env": [{"name": "A", "value": ""}], "args": [],
                        "resources": {"requests": {"cpu": 1, "memory": "1024Ki"}, "limits": {"cpu": "1000m"}},
                        "ports": [{"containerPort": 80.0}],
                    }],
                },
            }),
            &json!({
                "metadata": {"name": "x"},
                "spec": {
                    "terminationGracePeriodSeconds": 0,
                    "containers": [{
                        "name": "c", "image": "i", "env": [{"name": "A"}],
                        "resources": {"requests": {"cpu": "1", "memory": "1Mi"}, "limits": {"cpu": "1"}},
                        "ports": [{"containerPort": 80, "protocol": "TCP"}],
                    }],
                },
                "status": {},
            }),
        );
    }

    #[test]
    fn what_is_always_written_comes_in() {
        check(
            "rbac.authorization.k8s.io",
            "Role",
            json!({"metadata": {"name": "x"}}),
            &json!({"metadata": {"name": "x"}, "rules": null}),
        );
        check(
            "",
            "Service",
            json!({"metadata": {}, "spec": {"ports": [{"port": 1, "targetPort": "a"}]}}),
            &json!({
                "metadata": {},
                "spec": {"ports": [{"port": 1, "protocol": "TCP", "targetPort": "a"}]},
                "status": {"loadBalancer": {}},
            }),
        );
    }

    #[test]
    fn values_of_another_type_are_left_to_the_check() {
        let odd =
            json!({"metadata": 3, "spec": {"containers": {"a": 1}, "priority": "x"}, "status": []});
        check("", "Pod", odd.clone(), &odd);
        let mut unknown = json!({"spec": {"a": null}});
        canonicalise(&Gvk::new("example.com", "v1", "Odd"), &mut unknown);
        assert_eq!(unknown, json!({"spec": {"a": null}}));
    }
}
