//! Volumes of a pod.

use std::collections::BTreeSet;

use api_meta::{Cause, names};
use serde_json::Value;

use super::environment;
use super::tools::{list, number, reasons, required, text};

const HOST_PATHS: &[&str] = &[
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
];

/// Checks the volumes; returns their names.
pub(super) fn volumes(faults: &mut Vec<Cause>, path: &str, volumes: &[Value]) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for (i, volume) in volumes.iter().enumerate() {
        let path = format!("{path}[{i}]");
        source(faults, &path, volume);
        let name = text(volume, "name");
        if name.is_empty() {
            faults.push(Cause::required(format!("{path}.name"), ""));
            continue;
        }
        let wrong = names::dns1123_label(name);
        if wrong.is_empty() && !known.insert(name.to_owned()) {
            faults.push(Cause::duplicate(format!("{path}.name"), name));
        }
        reasons(faults, &format!("{path}.name"), name, wrong);
    }
    known
}

/// Exactly one source, in the order in which upstream looks at them.
fn source(faults: &mut Vec<Cause>, path: &str, volume: &Value) {
    const FIRST: [&str; 3] = ["emptyDir", "hostPath", "secret"];
    let Some(fields) = volume.as_object() else {
        return;
    };
    let mut sources: Vec<(&String, &Value)> = fields
        .iter()
        .filter(|(name, value)| *name != "name" && !value.is_null())
        .collect();
    sources.sort_by_key(|(name, _)| {
        FIRST
            .iter()
            .position(|first| first == name)
            .unwrap_or(FIRST.len())
    });
    if sources.is_empty() {
        faults.push(Cause::required(path, "must specify a volume type"));
    }
    for (i, (name, value)) in sources.into_iter().enumerate() {
        let path = format!("{path}.{name}");
        if i > 0 {
            faults.push(Cause::forbidden(
                path,
                "may not specify more than 1 volume type",
            ));
        } else {
            one(faults, &path, name, value);
        }
    }
}

fn one(faults: &mut Vec<Cause>, path: &str, kind: &str, value: &Value) {
    match kind {
        "hostPath" => {
            required(faults, path, value, "path");
            if text(value, "path").split('/').any(|part| part == "..") {
                let why = "must not contain '..'";
                faults.push(Cause::invalid(
                    format!("{path}.path"),
                    text(value, "path"),
                    why,
                ));
            }
            let found = text(value, "type");
            if !HOST_PATHS.contains(&found) {
                faults.push(Cause::not_supported(
                    format!("{path}.type"),
                    found,
                    HOST_PATHS,
                ));
            }
        }
        "configMap" => {
            required(faults, path, value, "name");
            files(faults, path, value);
        }
        "secret" => {
            required(faults, path, value, "secretName");
            files(faults, path, value);
        }
        "persistentVolumeClaim" => required(faults, path, value, "claimName"),
        "projected" => {
            mode(faults, path, value);
            for (i, source) in list(value, "sources").iter().enumerate() {
                for (name, source) in source.as_object().into_iter().flatten() {
                    let path = format!("{path}.sources[{i}].{name}");
                    match name.as_str() {
                        "configMap" | "secret" => {
                            required(faults, &path, source, "name");
                            environment::items(faults, &path, source);
                        }
                        "serviceAccountToken" => required(faults, &path, source, "path"),
                        _ => {}
                    }
                }
            }
        }
        _ => {}
    }
}

fn files(faults: &mut Vec<Cause>, path: &str, value: &Value) {
    mode(faults, path, value);
    environment::items(faults, path, value);
}

fn mode(faults: &mut Vec<Cause>, path: &str, value: &Value) {
    if let Some(mode) = number(value, "defaultMode").filter(|mode| !(0..=0o777).contains(mode)) {
        let why = "must be a number between 0 and 0777 (octal), both inclusive";
        faults.push(Cause::invalid(format!("{path}.defaultMode"), mode, why));
    }
}
