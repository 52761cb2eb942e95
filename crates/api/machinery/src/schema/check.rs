//! Compares an object with the type of its kind: fields that the type does not have, and values of
//! the wrong type, in the words of upstream's decoder.

use api_meta::Gvk;
use serde_json::Value;

use super::{Definition, Schemas, Type};

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A field that the type does not have; a strict decoder refuses it, others drop it.
    Unknown(String),
    /// A value that no decoder can take.
    WrongType(String),
}

/// Compares `object` with the type of `gvk`. A kind without a known type has no faults.
pub fn check(gvk: &Gvk, object: &Value) -> Vec<Fault> {
    let mut walk = Walk {
        schemas: Schemas::builtin(),
        faults: Vec::new(),
    };
    if let Some((name, definition)) = walk.schemas.of_kind(gvk) {
        walk.definition(short(name), definition, object, "");
    }
    walk.faults
}

struct Walk {
    schemas: &'static Schemas,
    faults: Vec<Fault>,
}

impl Walk {
    /// `path` is that of the value; empty at the top.
    fn definition(
        &mut self,
        owner: &str,
        definition: &'static Definition,
        value: &Value,
        path: &str,
    ) {
        let Some(fields) = &definition.fields else {
            return;
        };
        let Some(object) = value.as_object() else {
            return self.wrong(value, owner, path, &format!("v1.{owner}"));
        };
        for (name, value) in object {
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            match fields.get(name) {
                Some(field) => self.value(owner, field, value, &path),
                None => self.faults.push(Fault::Unknown(path)),
            }
        }
    }

    fn value(&mut self, owner: &str, kind: &'static Type, value: &Value, path: &str) {
        // An explicit null counts as left out everywhere.
        if value.is_null() {
            return;
        }
        if let Some(target) = self.schemas.target(kind) {
            let name = kind.reference.as_deref().map_or("", short);
            return match &target.plain {
                Some(plain) => self.plain(owner, plain, value, path),
                None => self.definition(name, target, value, path),
            };
        }
        self.plain(owner, kind, value, path);
    }

    fn plain(&mut self, owner: &str, kind: &'static Type, value: &Value, path: &str) {
        match (kind.data_type.as_str(), value) {
            ("array", Value::Array(items)) => {
                let Some(item_type) = kind.items.as_deref() else {
                    return;
                };
                for (i, item) in items.iter().enumerate() {
                    self.value(owner, item_type, item, &format!("{path}[{i}]"));
                }
            }
            ("object", Value::Object(map)) => {
                let Some(value_type) = kind.values.as_deref() else {
                    return;
                };
                for (key, value) in map {
                    self.value(owner, value_type, value, &format!("{path}.{key}"));
                }
            }
            ("string", Value::String(_))
            | ("boolean", Value::Bool(_))
            | ("number", Value::Number(_)) => {}
            ("integer", Value::Number(number)) if number.is_i64() || number.is_u64() => {}
            ("integer", Value::Number(number))
                if number.as_f64().is_some_and(|n| n.fract() == 0.0) => {}
            ("array", _) => self.wrong(value, owner, path, "[]"),
            ("object", _) if kind.values.is_some() => {
                self.wrong(value, owner, path, "map[string]string")
            }
            ("string", _) => self.wrong(value, owner, path, "string"),
            ("boolean", _) => self.wrong(value, owner, path, "bool"),
            ("integer", _) => {
                let format = kind.format.clone().unwrap_or_else(|| "int64".to_owned());
                self.wrong(value, owner, path, &format);
            }
            ("number", _) => self.wrong(value, owner, path, "float64"),
            _ => {}
        }
    }

    fn wrong(&mut self, value: &Value, owner: &str, path: &str, wanted: &str) {
        let found = match value {
            Value::Bool(_) => "bool",
            Value::Number(number) => &format!("number {number}"),
            Value::String(_) => "string",
            Value::Array(_) => "array",
            _ => "object",
        };
        // Indices do not appear in the decoder's paths.
        let plain: String = path
            .split('[')
            .map(|part| part.split_once(']').map_or(part, |(_, rest)| rest))
            .collect();
        let found = if found.starts_with("number") && !wanted.starts_with("int") {
            "number"
        } else {
            found
        };
        self.faults.push(Fault::WrongType(format!(
            "json: cannot unmarshal {found} into Go struct field {owner}.{plain} of type {wanted}"
        )));
    }
}

/// The last part of a definition's name.
fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use api_meta::Gvk;
    use serde_json::{Value, json};

    use super::{Fault, check};

    fn faults(kind: &str, object: &Value) -> Vec<Fault> {
        let group = if kind == "Deployment" { "apps" } else { "" };
        check(&Gvk::new(group, "v1", kind), object)
    }

    #[test]
    fn unknown_fields_are_told_by_path() {
        let object = json!({"metadata": {"name": "x", "nonsense": 1}, "spec": {"containers": [{"nmae": "c"}]}, "extra": {}});
        assert_eq!(
            faults("Pod", &object),
            ["extra", "metadata.nonsense", "spec.containers[0].nmae"]
                .map(|p| Fault::Unknown(p.to_owned()))
        );
    }

    #[test]
    fn values_of_the_wrong_type_are_told_as_the_decoder_does() {
        let text = "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32";
        assert_eq!(
            faults("Deployment", &json!({"spec": {"replicas": "3"}})),
            [Fault::WrongType(text.to_owned())]
        );
        let text =
            "json: cannot unmarshal number into Go struct field ConfigMap.data.a of type string";
        assert_eq!(
            faults("ConfigMap", &json!({"data": {"a": 1}})),
            [Fault::WrongType(text.to_owned())]
        );
    }

    #[test]
    fn right_objects_have_no_faults() {
        let object = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"labels": {"a": "b"}, "creationTimestamp": null},
            "spec": {"ports": [{"port": 80, "targetPort": "web"}, {"port": 81, "targetPort": 81}]},
        });
        assert!(faults("Service", &object).is_empty());
    }
}
