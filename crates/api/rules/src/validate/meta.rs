//! The metadata of every kind: names, labels, annotations, owners, finalizers.

use api_meta::{Cause, Gvk, names, object};
use serde_json::{Value, json};

use super::tools::{get, list, reasons, text};

const ANNOTATIONS_BYTES_MAX: usize = 256 << 10;
const RBAC: &str = "rbac.authorization.k8s.io";
/// Finalizers that need no domain.
const STANDARD: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];

/// The metadata of a new object.
pub(super) fn create(gvk: &Gvk, object: &Value, faults: &mut Vec<Cause>) {
    let name = object::name(object);
    if name.is_empty() {
        faults.push(Cause::required(
            "metadata.name",
            "name or generateName is required",
        ));
    } else {
        reasons(faults, "metadata.name", name, name_faults(gvk, name));
    }
    common(object, faults);
    finalizers(object, faults);
    core_finalizers(gvk, object, &[], faults);
}

/// Objects of the core group take no finalizer without a domain but the standard ones.
fn core_finalizers(gvk: &Gvk, object: &Value, known: &[&str], faults: &mut Vec<Cause>) {
    if !gvk.group.is_empty() {
        return;
    }
    for (i, finalizer) in object::finalizers(object).enumerate() {
        let is_fine = finalizer.contains('/') || STANDARD.contains(&finalizer);
        if !is_fine && !known.contains(&finalizer) {
            let path = format!("metadata.finalizers[{i}]");
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            faults.push(Cause::invalid(path, finalizer, why));
        }
    }
}

/// The metadata of a changed object.
pub(super) fn update(gvk: &Gvk, new: &Value, old: &Value, faults: &mut Vec<Cause>) {
    let known: Vec<&str> = object::finalizers(old).collect();
    if object::deletion_timestamp(old).is_some() {
        let mut added: Vec<&str> = object::finalizers(new)
            .filter(|finalizer| !known.contains(finalizer))
            .collect();
        added.sort_unstable();
        if !added.is_empty() {
            let added: Vec<String> = added.into_iter().map(api_meta::cause::quoted).collect();
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.join(", ")
            );
            faults.push(Cause::forbidden("metadata.finalizers", &why));
        }
    }
    common(new, faults);
    core_finalizers(gvk, new, &known, faults);
}

fn common(object: &Value, faults: &mut Vec<Cause>) {
    labels(
        faults,
        "metadata.labels",
        object.pointer("/metadata/labels"),
    );
    annotations(object, faults);
    owners(object, faults);
}

/// Labels at any path.
pub(super) fn labels(faults: &mut Vec<Cause>, path: &str, labels: Option<&Value>) {
    for (key, value) in labels.and_then(Value::as_object).into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        reasons(faults, path, key, names::label_key(key));
        reasons(faults, path, value, names::label_value(value));
    }
}

fn annotations(object: &Value, faults: &mut Vec<Cause>) {
    let mut bytes = 0;
    for (key, value) in object::annotations(object) {
        bytes += key.len() + value.len();
        reasons(
            faults,
            "metadata.annotations",
            key,
            names::label_key(&key.to_lowercase()),
        );
    }
    if bytes > ANNOTATIONS_BYTES_MAX {
        faults.push(Cause::too_long(
            "metadata.annotations",
            ANNOTATIONS_BYTES_MAX,
        ));
    }
}

fn owners(object: &Value, faults: &mut Vec<Cause>) {
    const PATH: &str = "metadata.ownerReferences";
    let mut controller: Option<String> = None;
    let metadata = object.get("metadata").unwrap_or(&Value::Null);
    let references = list(metadata, "ownerReferences");
    for reference in references {
        let (_, version) = api_meta::gvk::split_api_version(text(reference, "apiVersion"));
        if version.is_empty() {
            let value = text(reference, "apiVersion");
            faults.push(Cause::invalid(
                format!("{PATH}.apiVersion"),
                value,
                "version must not be empty",
            ));
        }
        for field in ["kind", "name", "uid"] {
            if text(reference, field).is_empty() {
                faults.push(Cause::invalid(
                    format!("{PATH}.{field}"),
                    "",
                    "must not be empty",
                ));
            }
        }
        if text(reference, "apiVersion") == "v1" && text(reference, "kind") == "Event" {
            let why = "/v1, Kind=Event is disallowed from being an owner";
            let message = format!("Invalid value: {}: {why}", owner_json(reference));
            faults.push(Cause::new("FieldValueInvalid", PATH, message));
        }
        if reference.get("controller") == Some(&json!(true)) {
            let this = format!("{}/{}", text(reference, "kind"), text(reference, "name"));
            if let Some(first) = &controller {
                let all: Vec<String> = references.iter().map(owner_json).collect();
                let message = format!(
                    "Invalid value: [{}]: Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}",
                    all.join(",")
                );
                faults.push(Cause::new("FieldValueInvalid", PATH, message));
            } else {
                controller = Some(this);
            }
        }
    }
}

/// In the order of upstream's type, not in that of the alphabet.
fn owner_json(reference: &Value) -> String {
    const FIELDS: [&str; 6] = [
        "apiVersion",
        "kind",
        "name",
        "uid",
        "controller",
        "blockOwnerDeletion",
    ];
    let part = |field: &&str| Some(format!("\"{field}\":{}", get(reference, field)?));
    let parts: Vec<String> = FIELDS.iter().filter_map(part).collect();
    format!("{{{}}}", parts.join(","))
}

fn finalizers(object: &Value, faults: &mut Vec<Cause>) {
    const PATH: &str = "metadata.finalizers";
    let all: Vec<&str> = object::finalizers(object).collect();
    for finalizer in &all {
        reasons(faults, PATH, *finalizer, names::label_key(finalizer));
    }
    if all.contains(&"orphan") && all.contains(&"foregroundDeletion") {
        let why = "finalizer orphan and foregroundDeletion cannot be both set";
        faults.push(Cause::invalid(PATH, &json!(all), why));
    }
}

/// Why a name is wrong for objects of a kind.
fn name_faults(gvk: &Gvk, name: &str) -> Vec<String> {
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Namespace" | "Service") | ("apps", "StatefulSet") => names::dns1123_label(name),
        (RBAC, _) => names::path_segment(name),
        ("batch", "CronJob") if name.len() > 52 => vec![names::at_most(52)],
        // Names of these are URLs or pairs with their own rules.
        ("apiregistration.k8s.io" | "apiextensions.k8s.io" | "certificates.k8s.io", _)
        | ("networking.k8s.io", "IPAddress") => names::path_segment(name),
        _ => names::dns1123_subdomain(name),
    }
}
