//! The parts of an object that selectors, caches and graphs of owners look at, parsed once.
//!
//! Reading a header builds no tree. Whatever has an unexpected type counts as absent, because a
//! header is read from objects that were accepted long ago, and of kinds that this table never saw.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The namespace; empty for objects of the cluster.
    pub namespace: Box<str>,
    /// The name.
    pub name: Box<str>,
    /// The uid.
    pub uid: Box<str>,
    /// Counts changes of the spec; 0 where the kind does not.
    pub generation: i64,
    /// When deletion was asked for.
    pub deletion_timestamp: Option<Box<str>>,
    /// Labels in the order of keys.
    pub labels: Vec<(Box<str>, Box<str>)>,
    /// The uids of its owners.
    pub owners: Vec<Box<str>>,
    /// Fields that field selectors of some kind may name, with their values as text.
    pub fields: Vec<(&'static str, Box<str>)>,
}

/// A selectable field: its label, the part of the object it lies in, and its name there.
const FIELDS: &[(&str, Part, &str)] = &[
    ("spec.nodeName", Part::Spec, "nodeName"),
    ("spec.restartPolicy", Part::Spec, "restartPolicy"),
    ("spec.schedulerName", Part::Spec, "schedulerName"),
    ("spec.serviceAccountName", Part::Spec, "serviceAccountName"),
    ("spec.hostNetwork", Part::Spec, "hostNetwork"),
    ("spec.unschedulable", Part::Spec, "unschedulable"),
    ("spec.signerName", Part::Spec, "signerName"),
    ("spec.driver", Part::Spec, "driver"),
    ("spec.clusterIP", Part::Spec, "clusterIP"),
    ("spec.type", Part::Spec, "type"),
    ("status.phase", Part::Status, "phase"),
    ("status.podIP", Part::Status, "podIP"),
    (
        "status.nominatedNodeName",
        Part::Status,
        "nominatedNodeName",
    ),
    ("status.replicas", Part::Status, "replicas"),
    ("status.successful", Part::Status, "succeeded"),
    ("involvedObject.kind", Part::Subject, "kind"),
    ("involvedObject.namespace", Part::Subject, "namespace"),
    ("involvedObject.name", Part::Subject, "name"),
    ("involvedObject.uid", Part::Subject, "uid"),
    ("involvedObject.apiVersion", Part::Subject, "apiVersion"),
    (
        "involvedObject.resourceVersion",
        Part::Subject,
        "resourceVersion",
    ),
    ("involvedObject.fieldPath", Part::Subject, "fieldPath"),
    ("source", Part::Source, "component"),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Spec,
    Status,
    Subject,
    Source,
}

impl Header {
    /// Reads the header of an object's JSON.
    pub fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        let outline: Outline<'_> = serde_json::from_slice(json)?;
        let metadata: Metadata = match outline.metadata {
            Some(raw) => serde_json::from_str(raw.get())?,
            None => Metadata::default(),
        };
        let mut labels: Vec<(Box<str>, Box<str>)> = metadata
            .labels
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.into(), value.as_str()?.into())))
            .collect();
        labels.sort_unstable();
        let fields = outline.fields();
        Ok(Self {
            namespace: metadata.namespace.unwrap_or_default(),
            name: metadata.name.unwrap_or_default(),
            uid: metadata.uid.unwrap_or_default(),
            generation: metadata.generation.unwrap_or_default(),
            deletion_timestamp: metadata.deletion_timestamp,
            labels,
            owners: metadata
                .owners
                .unwrap_or_default()
                .into_iter()
                .map(|owner| owner.uid)
                .collect(),
            fields,
        })
    }

    /// The value of a selectable field; none if it is absent. As upstream has it, an absent boolean
    /// is `false`, an absent count is `0`, and an event without a source comes from its reporter.
    pub fn field(&self, label: &str) -> Option<&str> {
        match label {
            "metadata.name" => return Some(&self.name),
            "metadata.namespace" => return Some(&self.namespace),
            _ => {}
        }
        let found = self.fields.iter().find(|(found, _)| *found == label);
        match found {
            Some((_, value)) => Some(value),
            None if matches!(label, "spec.hostNetwork" | "spec.unschedulable") => Some("false"),
            None if matches!(label, "status.replicas" | "status.successful") => Some("0"),
            None if label == "source" => self.field("reportingComponent"),
            None => None,
        }
    }
}

#[derive(Deserialize)]
struct Outline<'a> {
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    spec: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow, rename = "involvedObject")]
    subject: Option<&'a RawValue>,
    #[serde(borrow)]
    source: Option<&'a RawValue>,
    #[serde(borrow)]
    reason: Option<&'a RawValue>,
    #[serde(borrow, rename = "reportingComponent")]
    reporting: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    namespace: Option<Box<str>>,
    name: Option<Box<str>>,
    uid: Option<Box<str>>,
    generation: Option<i64>,
    deletion_timestamp: Option<Box<str>>,
    labels: Option<serde_json::Map<String, Value>>,
    #[serde(rename = "ownerReferences")]
    owners: Option<Vec<Owner>>,
}

#[derive(Deserialize)]
struct Owner {
    #[serde(default)]
    uid: Box<str>,
}

/// One level of an object's part, values left as text.
type Level<'a> = std::collections::HashMap<&'a str, &'a RawValue>;

impl Outline<'_> {
    fn fields(&self) -> Vec<(&'static str, Box<str>)> {
        let mut fields = Vec::new();
        let parts = [
            (Part::Spec, self.spec),
            (Part::Status, self.status),
            (Part::Subject, self.subject),
            (Part::Source, self.source),
        ];
        for (part, raw) in parts {
            let level: Option<Level<'_>> = raw.and_then(|raw| serde_json::from_str(raw.get()).ok());
            let Some(level) = level else { continue };
            for (label, _, name) in FIELDS.iter().filter(|(_, of, _)| *of == part) {
                fields.extend(
                    level
                        .get(name)
                        .and_then(|raw| text(raw))
                        .map(|value| (*label, value)),
                );
            }
        }
        for (label, raw) in [
            ("reason", self.reason),
            ("reportingComponent", self.reporting),
            ("type", self.kind),
        ] {
            fields.extend(raw.and_then(text).map(|value| (label, value)));
        }
        fields
    }
}

/// A scalar as a selector compares it.
fn text(raw: &RawValue) -> Option<Box<str>> {
    match serde_json::from_str(raw.get()).ok()? {
        Value::String(text) => Some(text.into()),
        Value::Number(number) => Some(number.to_string().into()),
        Value::Bool(value) => Some(value.to_string().into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Header;
    use crate::kinds::Kinds;

    /// Where the field of a label lies in an object.
    fn path_of(label: &str) -> Vec<&str> {
        match label {
            "status.successful" => vec!["status", "succeeded"],
            "source" => vec!["source", "component"],
            label => label.split('.').collect(),
        }
    }

    #[test]
    fn every_field_that_a_kind_offers_can_be_read() {
        let mut count = 0;
        for kind in Kinds::builtin().iter() {
            for label in &kind.field_labels {
                let mut object = json!({"metadata": {"name": "a"}});
                let place = path_of(label)
                    .into_iter()
                    .fold(&mut object, |at, part| &mut at[part]);
                *place = Value::from("here");
                let header = Header::parse(object.to_string().as_bytes()).unwrap();
                // Upstream takes this label and knows no value for it.
                let expected = (label != "status.podIPs").then_some("here");
                assert_eq!(header.field(label), expected, "{} {label}", kind.resource);
                count += 1;
            }
        }
        assert!(count > 30, "{count}");
    }

    #[test]
    fn absent_fields_have_upstreams_values() {
        let event = br#"{"metadata":{"name":"a"},"source":{},"reportingComponent":"r"}"#;
        let header = Header::parse(event).unwrap();
        assert_eq!(header.field("source"), Some("r"));
        assert_eq!(header.field("status.successful"), Some("0"));
        assert_eq!(header.field("spec.unschedulable"), Some("false"));
        assert_eq!(header.field("spec.driver"), None);
    }

    #[test]
    fn reads_what_selectors_need() {
        let pod = br#"{"metadata":{"name":"a","namespace":"n","uid":"u","labels":{"b":"2","a":"1"},
            "ownerReferences":[{"uid":"o"}]},"spec":{"nodeName":"x","hostNetwork":true},"status":{"phase":"Running"}}"#;
        let header = Header::parse(pod).unwrap();
        assert_eq!(header.labels[0].0.as_ref(), "a");
        assert_eq!(header.owners[0].as_ref(), "o");
        assert_eq!(header.field("spec.nodeName"), Some("x"));
        assert_eq!(header.field("spec.hostNetwork"), Some("true"));
        assert_eq!(header.field("spec.unschedulable"), Some("false"));
        assert_eq!(header.field("status.phase"), Some("Running"));
        assert_eq!(header.field("status.podIP"), None);
        assert_eq!(header.field("metadata.name"), Some("a"));
    }

    #[test]
    fn an_unexpected_type_counts_as_absent() {
        let odd = br#"{"metadata":{"name":"a"},"spec":[1],"status":7,"type":{"x":1}}"#;
        assert!(Header::parse(odd).unwrap().fields.is_empty());
        assert!(Header::parse(b"[").is_err());
    }
}
