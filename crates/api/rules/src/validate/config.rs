//! What holds data: ConfigMaps, Secrets, Leases, Events, Nodes, claims of storage.

use api_meta::{Cause, names, object};
use base64::Engine as _;
use serde_json::{Value, json};

use super::placement;
use super::resources::quantity;
use super::tools::{get, immutable, list, number, range, reasons, text};

const DATA_BYTES_MAX: usize = 1 << 20;

/// ConfigMap.
pub(super) fn config_map(map: &Value, old: Option<&Value>, faults: &mut Vec<Cause>) {
    let fields = |field: &str| {
        map.get(field)
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
    };
    let mut bytes = 0;
    for (key, value) in fields("data") {
        reasons(
            faults,
            &format!("data[{key}]"),
            key,
            names::config_map_key(key),
        );
        if map
            .get("binaryData")
            .is_some_and(|binary| binary.get(key).is_some())
        {
            let why = "duplicate of key present in binaryData";
            faults.push(Cause::invalid(format!("data[{key}]"), key, why));
        }
        bytes += value.as_str().map_or(0, str::len);
    }
    for (key, value) in fields("binaryData") {
        reasons(
            faults,
            &format!("binaryData[{key}]"),
            key,
            names::config_map_key(key),
        );
        bytes += value.as_str().map_or(0, |text| text.len() / 4 * 3);
    }
    too_much(faults, "[]", bytes);
    stays(faults, map, old, &["data", "binaryData"]);
}

/// Secret.
pub(super) fn secret(secret: &Value, old: Option<&Value>, faults: &mut Vec<Cause>) {
    if let Some(old) = old {
        immutable(faults, "type", secret.get("type"), old.get("type"));
    }
    let data = secret.get("data").and_then(Value::as_object);
    let mut bytes = 0;
    for (key, value) in data.into_iter().flatten() {
        reasons(
            faults,
            &format!("data[{key}]"),
            key,
            names::config_map_key(key),
        );
        bytes += value.as_str().map_or(0, |text| text.len() / 4 * 3);
    }
    too_much(faults, "data", bytes);
    secret_type(faults, secret);
    stays(faults, secret, old, &["data"]);
}

fn secret_type(faults: &mut Vec<Cause>, secret: &Value) {
    let has = |key: &str| {
        secret
            .get("data")
            .is_some_and(|data| data.get(key).is_some())
    };
    let mut need = |key: &str| {
        let is_there = has(key);
        if !is_there {
            faults.push(Cause::required(format!("data[{key}]"), ""));
        }
        is_there
    };
    let docker = match text(secret, "type") {
        "kubernetes.io/service-account-token" => {
            const NAME: &str = "kubernetes.io/service-account.name";
            if object::annotation(secret, NAME).is_none_or(str::is_empty) {
                faults.push(Cause::required(format!("metadata.annotations[{NAME}]"), ""));
            }
            None
        }
        "kubernetes.io/tls" => {
            need("tls.crt");
            need("tls.key");
            None
        }
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            need("username");
            need("password");
            None
        }
        "kubernetes.io/ssh-auth" => {
            need("ssh-privatekey");
            None
        }
        "kubernetes.io/dockerconfigjson" => {
            need(".dockerconfigjson").then_some(".dockerconfigjson")
        }
        "kubernetes.io/dockercfg" => need(".dockercfg").then_some(".dockercfg"),
        _ => None,
    };
    if let Some(key) = docker {
        let text = secret
            .get("data")
            .and_then(|data| data.get(key))
            .and_then(Value::as_str);
        let bytes = base64::engine::general_purpose::STANDARD.decode(text.unwrap_or_default());
        if let Ok(Err(error)) = bytes.map(|bytes| serde_json::from_slice::<Value>(&bytes)) {
            let message = format!("Invalid value: \"<secret contents redacted>\": {error}");
            faults.push(Cause::new(
                "FieldValueInvalid",
                format!("data[{key}]"),
                message,
            ));
        }
    }
}

fn too_much(faults: &mut Vec<Cause>, path: &str, bytes: usize) {
    if bytes > DATA_BYTES_MAX {
        faults.push(Cause::too_long(path, DATA_BYTES_MAX));
    }
}

/// What is marked immutable stays as it is, and marked.
fn stays(faults: &mut Vec<Cause>, new: &Value, old: Option<&Value>, fields: &[&str]) {
    let Some(old) = old.filter(|old| old.get("immutable") == Some(&json!(true))) else {
        return;
    };
    let why = "field is immutable when `immutable` is set";
    if new.get("immutable") != Some(&json!(true)) {
        faults.push(Cause::forbidden("immutable", why));
    }
    for field in fields {
        if get(new, field) != get(old, field) {
            faults.push(Cause::forbidden(*field, why));
        }
    }
}

/// `coordination.k8s.io/v1` Lease.
pub(super) fn lease(object: &Value, _: Option<&Value>, faults: &mut Vec<Cause>) {
    let nothing = json!({});
    let spec = object.get("spec").unwrap_or(&nothing);
    if let Some(seconds) = number(spec, "leaseDurationSeconds").filter(|seconds| *seconds <= 0) {
        faults.push(Cause::invalid(
            "spec.leaseDurationSeconds",
            seconds,
            "must be greater than 0",
        ));
    }
    super::tools::not_negative(faults, "spec", spec, "leaseTransitions");
}

/// Event.
pub(super) fn event(object: &Value, _: Option<&Value>, faults: &mut Vec<Cause>) {
    let about = object
        .pointer("/involvedObject/namespace")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let namespace = object::namespace(object);
    let is_fine = if about.is_empty() {
        namespace == "default"
    } else {
        about == namespace
    };
    if !is_fine && !namespace.is_empty() {
        let path = "involvedObject.namespace";
        faults.push(Cause::invalid(
            path,
            about,
            "does not match event.namespace",
        ));
    }
}

/// Node.
pub(super) fn node(object: &Value, old: Option<&Value>, faults: &mut Vec<Cause>) {
    let nothing = json!({});
    let spec = object.get("spec").unwrap_or(&nothing);
    placement::taints(faults, "metadata.taints", list(spec, "taints"));
    for (i, one) in list(spec, "podCIDRs")
        .iter()
        .filter_map(Value::as_str)
        .enumerate()
    {
        range(faults, &format!("spec.podCIDRs[{i}]"), one);
    }
    if let Some(old) = old.and_then(|old| old.get("spec")) {
        let had = text(old, "podCIDR");
        if !had.is_empty() && text(spec, "podCIDR") != had {
            let why = "node updates may not change podCIDR except from \"\" to valid";
            faults.push(Cause::forbidden("spec.podCIDRs", why));
        }
        let had = text(old, "providerID");
        if !had.is_empty() && text(spec, "providerID") != had {
            let why = "node updates may not change providerID except from \"\" to valid";
            faults.push(Cause::forbidden("spec.providerID", why));
        }
    }
}

/// PersistentVolumeClaim.
pub(super) fn persistent_volume_claim(object: &Value, _: Option<&Value>, faults: &mut Vec<Cause>) {
    const MODES: &[&str] = &[
        "ReadOnlyMany",
        "ReadWriteMany",
        "ReadWriteOnce",
        "ReadWriteOncePod",
    ];
    let nothing = json!({});
    let spec = object.get("spec").unwrap_or(&nothing);
    let modes = list(spec, "accessModes");
    if modes.is_empty() {
        faults.push(Cause::required(
            "spec.accessModes",
            "at least 1 access mode is required",
        ));
    }
    for mode in modes
        .iter()
        .filter_map(Value::as_str)
        .filter(|mode| !MODES.contains(mode))
    {
        faults.push(Cause::not_supported("spec.accessModes", mode, MODES));
    }
    match spec.pointer("/resources/requests/storage") {
        None => faults.push(Cause::required("spec.resources[storage]", "")),
        Some(size) => {
            if quantity(size).is_some_and(|size| size.is_zero() || size.is_negative()) {
                let why = "must be greater than zero";
                faults.push(Cause::invalid("spec.resources[storage]", size, why));
            }
        }
    }
}

/// PersistentVolume.
pub(super) fn persistent_volume(object: &Value, _: Option<&Value>, faults: &mut Vec<Cause>) {
    let nothing = json!({});
    let spec = object.get("spec").unwrap_or(&nothing);
    if list(spec, "accessModes").is_empty() {
        faults.push(Cause::required("spec.accessModes", ""));
    }
    let capacity = get(spec, "capacity");
    if capacity.is_none() {
        faults.push(Cause::required("spec.capacity", ""));
    }
    if capacity
        .and_then(|capacity| capacity.get("storage"))
        .is_none()
    {
        let shown = capacity.unwrap_or(&Value::Null);
        faults.push(Cause::not_supported("spec.capacity", shown, &["storage"]));
    }
    const OTHER: [&str; 9] = [
        "accessModes",
        "capacity",
        "claimRef",
        "mountOptions",
        "nodeAffinity",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "volumeAttributesClassName",
        "volumeMode",
    ];
    let fields = spec.as_object().into_iter().flatten();
    if fields
        .filter(|(name, _)| !OTHER.contains(&name.as_str()))
        .count()
        == 0
    {
        faults.push(Cause::required("spec", "must specify a volume type"));
    }
}

/// `storage.k8s.io/v1` StorageClass.
pub(super) fn storage_class(object: &Value, old: Option<&Value>, faults: &mut Vec<Cause>) {
    if text(object, "provisioner").is_empty() {
        faults.push(Cause::required("provisioner", ""));
    }
    let Some(old) = old else { return };
    for field in [
        "parameters",
        "provisioner",
        "reclaimPolicy",
        "volumeBindingMode",
    ] {
        immutable(faults, field, object.get(field), old.get(field));
    }
}
