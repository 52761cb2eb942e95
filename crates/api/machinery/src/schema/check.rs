//! Compares an object with the type of its kind: fields that the type does not have, and values of
//! the wrong type, in the words of upstream's decoder.

use api_meta::Gvk;
use api_meta::quantity::Quantity;
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
        let place = Place {
            owner: short(name),
            path: String::new(),
            fields: String::new(),
        };
        walk.definition(name, definition, object, &place);
    }
    walk.faults
}

struct Walk {
    schemas: &'static Schemas,
    faults: Vec<Fault>,
}

/// Where a value stands, in the two ways in which it is told.
struct Place<'a> {
    /// The struct of upstream's that has the field.
    owner: &'a str,
    /// The path with indices, of unknown fields.
    path: String,
    /// The path by field names alone, of values of the wrong type.
    fields: String,
}

impl Place<'_> {
    fn element(&self, path: String) -> Place<'_> {
        Place {
            owner: self.owner,
            path,
            fields: self.fields.clone(),
        }
    }
}

impl Walk {
    fn definition(
        &mut self,
        name: &'static str,
        definition: &'static Definition,
        value: &Value,
        place: &Place<'_>,
    ) {
        let Some(fields) = &definition.fields else {
            return;
        };
        let Some(object) = value.as_object() else {
            return self.wrong(value, place, &go_name(name));
        };
        for (field_name, value) in object {
            let path = join(&place.path, field_name);
            let Some(field) = fields.get(field_name) else {
                self.faults.push(Fault::Unknown(path));
                continue;
            };
            let mut names = place.fields.clone();
            if let Some(embedded) = &field.embedded {
                names = join(&names, embedded);
            }
            let fields = join(&names, field_name);
            self.value(
                field,
                value,
                &Place {
                    owner: short(name),
                    path,
                    fields,
                },
            );
        }
    }

    fn value(&mut self, kind: &'static Type, value: &Value, place: &Place<'_>) {
        // An explicit null counts as left out everywhere.
        if value.is_null() {
            return;
        }
        let Some(name) = kind.reference.as_deref() else {
            return self.plain(kind, value, place);
        };
        match (
            name.rsplit_once('.').map_or(name, |(_, last)| last),
            self.schemas.get(name),
        ) {
            ("Quantity", _) => self.quantity(value),
            ("Time", _) => self.time(value, place, "2006-01-02T15:04:05Z07:00"),
            ("MicroTime", _) => self.time(value, place, "2006-01-02T15:04:05.000000Z07:00"),
            ("IntOrString", _) => {
                if !value.is_string() {
                    self.integer(value, place, "int32");
                }
            }
            (_, Some(target)) => match &target.plain {
                Some(plain) => self.plain(plain, value, place),
                None => self.definition(name, target, value, place),
            },
            (_, None) => {}
        }
    }

    fn plain(&mut self, kind: &'static Type, value: &Value, place: &Place<'_>) {
        match (kind.data_type.as_str(), value) {
            ("array", Value::Array(items)) => {
                for (i, item) in items.iter().enumerate() {
                    if let Some(item_type) = kind.items.as_deref() {
                        let path = format!("{}[{i}]", place.path);
                        self.value(item_type, item, &place.element(path));
                    }
                }
            }
            ("object", Value::Object(map)) => {
                for (key, value) in map {
                    if let Some(value_type) = kind.values.as_deref() {
                        self.value(value_type, value, &place.element(join(&place.path, key)));
                    }
                }
            }
            ("string", Value::String(text)) => {
                if kind.format.as_deref() == Some("byte")
                    && let Some(at) = wrong_base64(text)
                {
                    let text = format!("illegal base64 data at input byte {at}");
                    self.faults.push(Fault::WrongType(text));
                }
            }
            ("boolean", Value::Bool(_)) | ("number", Value::Number(_)) | ("any", _) => {}
            ("integer", _) => {
                self.integer(value, place, kind.format.as_deref().unwrap_or("int64"));
            }
            ("object", _) if kind.values.is_none() => {}
            _ => self.wrong(value, place, &go_type(kind)),
        }
    }

    fn integer(&mut self, value: &Value, place: &Place<'_>, format: &str) {
        let bits = if format == "int32" { 32 } else { 64 };
        let fits = match value {
            Value::Number(number) => match number.as_i64() {
                Some(number) => bits == 64 || i32::try_from(number).is_ok(),
                // A float that is whole is taken, as it stands for the integer.
                None => number.is_f64() && number.as_f64().is_some_and(|n| n.fract() == 0.0),
            },
            _ => false,
        };
        if !fits {
            self.wrong(value, place, format);
        }
    }

    fn quantity(&mut self, value: &Value) {
        let text = match value {
            Value::String(text) => text.trim().to_owned(),
            other => other.to_string(),
        };
        if let Err(error) = text.parse::<Quantity>() {
            self.faults.push(Fault::WrongType(error.to_string()));
        }
    }

    fn time(&mut self, value: &Value, place: &Place<'_>, layout: &str) {
        let Some(text) = value.as_str() else {
            return self.wrong(value, place, "string");
        };
        let has_fraction = text.contains('.') || !layout.contains('.');
        if api_meta::time::parse(text).is_none() || !has_fraction {
            self.faults.push(Fault::WrongType(format!(
                "parsing time {text:?} as {layout:?}: cannot parse {text:?} as \"2006\""
            )));
        }
    }

    fn wrong(&mut self, value: &Value, place: &Place<'_>, wanted: &str) {
        let found = match value {
            Value::Bool(_) => "bool",
            Value::Number(number) if wanted.starts_with("int") => &format!("number {number}"),
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            _ => "object",
        };
        self.faults.push(Fault::WrongType(format!(
            "json: cannot unmarshal {found} into Go struct field {}.{} of type {wanted}",
            place.owner, place.fields
        )));
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// How upstream calls a type.
fn go_type(kind: &Type) -> String {
    if let Some(name) = &kind.reference {
        return go_name(name);
    }
    match kind.data_type.as_str() {
        "array" => format!(
            "[]{}",
            kind.items.as_deref().map_or_else(String::new, go_type)
        ),
        "object" => {
            format!(
                "map[string]{}",
                kind.values.as_deref().map_or_else(String::new, go_type)
            )
        }
        "boolean" => "bool".to_owned(),
        "integer" => kind.format.clone().unwrap_or_else(|| "int64".to_owned()),
        "number" => "float64".to_owned(),
        other => other.to_owned(),
    }
}

/// `v1.PodSpec` of `io.k8s.api.core.v1.PodSpec`.
fn go_name(name: &str) -> String {
    let mut parts = name.rsplit('.');
    let last = parts.next().unwrap_or(name);
    parts
        .next()
        .map_or_else(|| last.to_owned(), |package| format!("{package}.{last}"))
}

/// The last part of a definition's name.
fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// The first byte that is not in the standard alphabet, or the length of a text that breaks off.
fn wrong_base64(text: &str) -> Option<usize> {
    let is_known =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'\n' | b'\r');
    let body = text.trim_end_matches('=');
    let padding = text.len() - body.len();
    if let Some(at) = body.bytes().position(|byte| !is_known(&byte)) {
        return Some(at);
    }
    let digits = body
        .bytes()
        .filter(|byte| !matches!(byte, b'\n' | b'\r'))
        .count();
    let is_whole = (digits + padding).is_multiple_of(4) && padding <= 2;
    (!is_whole).then(|| text.len() / 4 * 4)
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
            "json: cannot unmarshal number into Go struct field ConfigMap.data of type string";
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
