//! `--config-file`: etcd's YAML in the place of flags and environment.
//!
//! The fields are those of etcd's `embed.Config` and its `configJSON` (server/embed/config.go). As
//! there, lists of URLs are comma-separated text, durations are nanoseconds, an unknown field does no
//! harm, and of a field given twice the last one counts; both are said. Each field becomes the flag
//! of the same meaning, so that a file and a command line are checked by the same rules.

mod fields;
mod yaml;

pub(super) use self::fields::CLIENT_ALLOWED_CN;

use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use self::fields::{Field, Place};
use self::yaml::Node;
use super::flags::{Kind, check_form};
use super::values::Values;
use super::{ConfigError, text};
use crate::words;

/// The largest file that is read. A real one has a few KiB.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Reads the file into what a command line would have given. All faults are reported together, each
/// with the file, the line, the field and what to write instead.
pub(super) fn read(path: &str) -> Result<Values, ConfigError> {
    let text = text_of(Path::new(path)).map_err(|fault| ConfigError::Invalid(vec![fault]))?;
    parse(path, &text)
}

fn text_of(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let file =
        File::open(path).map_err(|error| format!("open {shown}: {}", words::of_io(&error)))?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("read {shown}: {}", words::of_io(&error)))?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len > FILE_BYTES_MAX) {
        return Err(format!(
            "read {shown}: more than {FILE_BYTES_MAX} bytes: this is no configuration file"
        ));
    }
    String::from_utf8(bytes).map_err(|_| format!("read {shown}: not UTF-8 text"))
}

fn parse(path: &str, text: &str) -> Result<Values, ConfigError> {
    let root = yaml::parse(text).map_err(|error| {
        ConfigError::Invalid(vec![format!(
            "error converting YAML to JSON: {path}: {error}"
        )])
    })?;
    let mut reader = Reader {
        path,
        text,
        values: Values::of_file(path),
        faults: Vec::new(),
    };
    match root {
        Node::Null => {}
        Node::Map(pairs) => reader.section("", pairs),
        other => reader.faults.push(format!(
            "{path}: cannot unmarshal {} into a configuration: write one `field: value` a line",
            other.kind()
        )),
    }
    if reader.faults.is_empty() {
        Ok(reader.values)
    } else {
        Err(ConfigError::Invalid(reader.faults))
    }
}

struct Reader<'a> {
    path: &'a str,
    text: &'a str,
    values: Values,
    faults: Vec<String>,
}

impl Reader<'_> {
    /// `prefix` names the section, empty at the top; else it ends with a slash.
    fn section(&mut self, prefix: &str, pairs: Vec<(String, Node)>) {
        let mut seen: Vec<String> = Vec::new();
        for (key, node) in pairs {
            let name = key.to_ascii_lowercase();
            let place = format!("{prefix}{name}");
            if seen.contains(&name) {
                let at = self.at(&place);
                self.values
                    .warnings
                    .push(format!("{at}: {key} is given twice; the last one counts"));
            }
            seen.push(name);
            match (fields::find(&place), node) {
                // As if it were not there.
                (Place::Field(_) | Place::Section | Place::Ignored, Node::Null) => {}
                (Place::Ignored, _) => {}
                (Place::Field(field), node) => self.field(&place, field, node),
                (Place::Section, Node::Map(pairs)) => self.section(&format!("{place}/"), pairs),
                (Place::Section, other) => {
                    let (at, kind) = (self.at(&place), other.kind());
                    self.faults.push(format!(
                        "{at}: {key}: cannot unmarshal {kind} into a section: write its fields indented below it"
                    ));
                }
                (Place::Unknown, _) => {
                    let at = self.at(&place);
                    self.values.warnings.push(format!(
                        "{at}: {key} is no field of a configuration file and is ignored"
                    ));
                }
            }
        }
    }

    fn field(&mut self, place: &str, field: Field, node: Node) {
        let result = value(&field, node).and_then(|value| {
            // What etcd takes for "not given".
            let is_absent = matches!(field.kind, Kind::Urls | Kind::OneOf(_) | Kind::Gates);
            match value {
                Given::Text(text) if text.is_empty() && is_absent => Ok(None),
                Given::Text(text) => check(&field, &text).map(|()| Some(Given::Text(text))),
                list => Ok(Some(list)),
            }
        });
        match result {
            Ok(None) => {}
            Ok(Some(Given::Text(text))) => self.values.set(field.flag, text),
            Ok(Some(Given::List(list))) => self.values.set_list(field.flag, list),
            Err(fault) => {
                let at = self.at(place);
                self.faults.push(format!("{at}: {fault}"));
            }
        }
    }

    /// The file, and the line where one can be found.
    fn at(&self, place: &str) -> String {
        let mut at = self.path.to_owned();
        if let Some(line) = yaml::line_of(self.text, place) {
            let _ = write!(at, ":{line}");
        }
        at
    }
}

enum Given {
    Text(String),
    List(Vec<String>),
}

/// The text that a flag would have had. The form is checked as strictly as etcd checks it: a number
/// is no text, and a text is no number.
fn value(field: &Field, node: Node) -> Result<Given, String> {
    let name = field.name();
    let wrong = |node: &Node, wanted: &str| {
        Err(format!(
            "{name}: cannot unmarshal {} into {wanted}",
            node.kind()
        ))
    };
    let number = |min: i128, max: i128, node: Node| match node {
        Node::Integer(number) if (min..=max).contains(&number) => {
            Ok(Given::Text(number.to_string()))
        }
        Node::Integer(number) => Err(format!(
            "{name}: cannot unmarshal number {number}: it must be from {min} to {max}"
        )),
        other => wrong(&other, "a number: write it as digits without quotes"),
    };
    match (field.kind, node) {
        (Kind::Bool, Node::Bool(value)) => Ok(Given::Text(value.to_string())),
        (Kind::Bool, Node::Text(text)) => match yaml::old_bool(&text) {
            Some(value) => Ok(Given::Text(value.to_string())),
            None => wrong(
                &Node::Text(text),
                "true or false: write one of them without quotes",
            ),
        },
        (Kind::Bool, node) => wrong(&node, "true or false: write one of them without quotes"),
        (Kind::Unsigned, node) => number(0, i128::from(u64::MAX), node),
        (Kind::Unsigned32, node) => number(0, i128::from(u32::MAX), node),
        (Kind::Signed, node) => number(i128::from(i64::MIN), i128::from(i64::MAX), node),
        (Kind::Duration, Node::Text(text)) => Err(match text::duration(&text) {
            Ok(duration) => format!(
                "{name}: cannot unmarshal string into a duration: a file gives it in nanoseconds, {text} is {}",
                duration.as_nanos()
            ),
            Err(_) => format!(
                "{name}: cannot unmarshal string into a duration: a file gives it in nanoseconds, as a number"
            ),
        }),
        (Kind::Duration, node) => match number(0, i128::from(i64::MAX), node)? {
            Given::Text(nanos) => Ok(Given::Text(format!("{nanos}ns"))),
            list => Ok(list),
        },
        (Kind::List, Node::List(nodes)) if !field.is_comma_text() => {
            let mut list = Vec::with_capacity(nodes.len());
            for node in nodes {
                match node {
                    Node::Text(text) => list.push(text),
                    Node::Null => {}
                    other => return wrong(&other, "a text of the list: put it in quotes"),
                }
            }
            Ok(Given::List(list))
        }
        (Kind::List, Node::Text(text)) if field.is_comma_text() => Ok(Given::Text(text)),
        (Kind::List, node) if field.is_comma_text() => {
            wrong(&node, "a text: write the values in one text, with commas")
        }
        (Kind::List, node) => wrong(&node, "a list: write [a, b]"),
        (_, Node::Text(text)) => Ok(Given::Text(text)),
        (_, node @ Node::List(_)) => {
            wrong(&node, "a text: write the values in one text, with commas")
        }
        (_, node) => wrong(&node, "a text: put it in quotes"),
    }
}

fn check(field: &Field, text: &str) -> Result<(), String> {
    let Some(flag) = super::flags::find(field.flag) else {
        return Ok(());
    };
    let name = field.name();
    check_form(flag, text).map_err(|fault| match field.kind {
        Kind::Urls => format!("unexpected error setting up {name}: {fault}"),
        Kind::Gates => format!("{name}: {fault}"),
        Kind::OneOf(allowed) if name == "initial-cluster-state" => format!(
            "unexpected clusterState {text:?}: {name} is one of {}",
            allowed.join(", ")
        ),
        Kind::OneOf(allowed) => {
            format!(
                "invalid value {text:?} for {name}: it is one of {}",
                allowed.join(", ")
            )
        }
        _ => format!("invalid value {text:?} for {name}: {fault}"),
    })
}

#[cfg(test)]
mod tests;
