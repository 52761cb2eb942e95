//! What only the Go sources of the API modules tell: protobuf field numbers (from `generated.proto`)
//! and how a field that is zero is written (from the tags in `types.go`).
//!
//! A line reader, not a parser of Go: it knows the one form in which these files are written.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Modules that hold served types.
const MODULES: [&str; 4] = [
    "api@",
    "apimachinery@",
    "apiextensions-apiserver@",
    "kube-aggregator@",
];

/// Messages and structs by the name that OpenAPI gives them.
#[derive(Default)]
pub(super) struct Sources {
    /// Protobuf messages.
    pub(super) messages: BTreeMap<String, Vec<ProtoField>>,
    /// Go structs.
    pub(super) structs: BTreeMap<String, Vec<GoField>>,
}

/// A field of a protobuf message.
pub(super) struct ProtoField {
    pub(super) number: u32,
    pub(super) name: String,
    /// Of the element for repeated fields, of the value for maps.
    pub(super) type_name: String,
    pub(super) label: Label,
}

/// How often a protobuf field occurs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    Single,
    Repeated,
    Map,
}

/// A field of a Go struct.
pub(super) struct GoField {
    /// The JSON name; empty for an embedded struct.
    pub(super) json: String,
    /// The number in protobuf, if it has one.
    pub(super) number: Option<u32>,
    pub(super) is_pointer: bool,
    pub(super) omits_empty: bool,
    pub(super) omits_zero: bool,
    /// The type as written, without a leading `*`.
    pub(super) type_name: String,
}

impl Sources {
    /// Reads every module under the folder.
    pub(super) fn read(modules: &Path) -> Result<Self> {
        let mut sources = Self::default();
        for entry in fs::read_dir(modules).with_context(|| format!("read {}", modules.display()))? {
            let path = entry?.path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if MODULES.iter().any(|module| name.starts_with(module)) {
                sources.walk(&path)?;
            }
        }
        Ok(sources)
    }

    fn walk(&mut self, folder: &Path) -> Result<()> {
        let mut files: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(folder)? {
            files.push(entry?.path());
        }
        let has_proto = files.iter().any(|file| file.ends_with("generated.proto"));
        let mut package = None;
        if has_proto {
            let text = fs::read_to_string(folder.join("generated.proto"))?;
            package = self.proto_file(&text);
        }
        for file in files {
            let name = file
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if file.is_dir() {
                if name != "testdata" && name != "vendor" {
                    self.walk(&file)?;
                }
            } else if let Some(package) = &package
                && name.ends_with(".go")
                && !name.ends_with("_test.go")
                && !name.contains("generated")
            {
                self.go_file(package, &fs::read_to_string(&file)?);
            }
        }
        Ok(())
    }

    fn proto_file(&mut self, text: &str) -> Option<String> {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("package "))?;
        let proto_package = line.trim_end_matches(';').trim();
        let package = openapi_name(proto_package);
        let mut message: Option<String> = None;
        for line in text.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix("message ") {
                let name = format!("{package}.{}", name.trim_end_matches('{').trim());
                self.messages.entry(name.clone()).or_default();
                message = Some(name);
            } else if line == "}" {
                message = None;
            } else if let Some(message) = &message
                && let Some(field) = proto_field(&package, line)
                && let Some(fields) = self.messages.get_mut(message)
            {
                fields.push(field);
            }
        }
        Some(package)
    }

    fn go_file(&mut self, package: &str, text: &str) {
        let mut inside: Option<String> = None;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("type ")
                && let Some(name) = rest.strip_suffix(" struct {")
            {
                let name = format!("{package}.{name}");
                self.structs.entry(name.clone()).or_default();
                inside = Some(name);
            } else if line == "}" {
                inside = None;
            } else if let Some(name) = &inside
                && let Some(field) = go_field(line.trim())
                && let Some(fields) = self.structs.get_mut(name)
            {
                fields.push(field);
            }
        }
    }
}

fn proto_field(package: &str, line: &str) -> Option<ProtoField> {
    let (left, number) = line.strip_suffix(';')?.split_once(" = ")?;
    let number = number.split(' ').next()?.parse().ok()?;
    if let Some(rest) = left.strip_prefix("map<") {
        let (types, name) = rest.split_once("> ")?;
        let (_, value) = types.split_once(", ")?;
        let type_name = qualified(package, value);
        return Some(ProtoField {
            number,
            name: name.to_owned(),
            type_name,
            label: Label::Map,
        });
    }
    let mut words = left.split(' ');
    let label = match words.next()? {
        "optional" | "required" => Label::Single,
        "repeated" => Label::Repeated,
        _ => return None,
    };
    let (type_name, name) = (words.next()?, words.next()?);
    Some(ProtoField {
        number,
        name: name.to_owned(),
        type_name: qualified(package, type_name),
        label,
    })
}

fn qualified(package: &str, type_name: &str) -> String {
    match type_name.strip_prefix('.') {
        Some(full) => openapi_name(full),
        None if type_name.starts_with(|c: char| c.is_ascii_uppercase()) => {
            format!("{package}.{type_name}")
        }
        None => type_name.to_owned(),
    }
}

/// `k8s.io.api.core.v1` in protobuf is `io.k8s.api.core.v1` in OpenAPI.
fn openapi_name(proto: &str) -> String {
    let name = proto
        .strip_prefix("k8s.io.")
        .map_or_else(|| proto.to_owned(), |rest| format!("io.k8s.{rest}"));
    name.replace("apiextensions_apiserver", "apiextensions-apiserver")
        .replace("kube_aggregator", "kube-aggregator")
}

fn go_field(line: &str) -> Option<GoField> {
    if line.starts_with("//") {
        return None;
    }
    let (left, tags) = line.split_once('`')?;
    let tags = tags.split('`').next()?;
    let json = tag(tags, "json")?;
    let mut parts = json.split(',');
    let name = parts.next()?;
    let options: Vec<&str> = parts.collect();
    let mut words = left.split_whitespace();
    let first = words.next()?;
    let rest: String = words.collect();
    let written = if rest.is_empty() {
        first
    } else {
        rest.as_str()
    };
    if name == "-" || (name.is_empty() && !options.contains(&"inline")) {
        return None;
    }
    let number = tag(tags, "protobuf").and_then(|tag| tag.split(',').nth(1)?.parse().ok());
    Some(GoField {
        json: name.to_owned(),
        number,
        is_pointer: written.starts_with('*'),
        omits_empty: options.contains(&"omitempty"),
        omits_zero: options.contains(&"omitzero"),
        type_name: written.trim_start_matches('*').to_owned(),
    })
}

fn tag<'a>(tags: &'a str, name: &str) -> Option<&'a str> {
    let start = tags.find(&format!("{name}:\""))? + name.len() + 2;
    tags.get(start..)?.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::{Label, go_field, proto_field};

    #[test]
    fn the_two_forms_of_lines() {
        let field = go_field(
            "Replicas *int32 `json:\"replicas,omitempty\" protobuf:\"varint,1,opt,name=replicas\"`",
        )
        .unwrap();
        assert!(field.is_pointer && field.omits_empty && !field.omits_zero);
        assert_eq!((field.json.as_str(), field.number), ("replicas", Some(1)));
        let field = go_field("metav1.TypeMeta `json:\",inline\"`").unwrap();
        assert_eq!(
            (field.json.as_str(), field.type_name.as_str()),
            ("", "metav1.TypeMeta")
        );
        assert!(go_field("// a `json:\"x\"` comment").is_none());
        let field = proto_field(
            "p",
            "map<string, .k8s.io.apimachinery.pkg.api.resource.Quantity> hard = 1;",
        )
        .unwrap();
        assert!(field.label == Label::Map);
        assert_eq!(
            field.type_name,
            "io.k8s.apimachinery.pkg.api.resource.Quantity"
        );
        let field = proto_field("p", "repeated Volume volumes = 1;").unwrap();
        assert_eq!((field.type_name.as_str(), field.number), ("p.Volume", 1));
    }
}
