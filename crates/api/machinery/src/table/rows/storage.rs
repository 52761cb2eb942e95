//! Rows of volumes and of what provides them.

use jiff::Timestamp;
use serde_json::Value;

use super::text::{UNSET, age, at, at_or, is_true, list};

/// PersistentVolumeClaim.
pub(super) fn persistent_volume_claim(object: &Value, now: Timestamp) -> Vec<Value> {
    let is_bound = !at(object, "/spec/volumeName").is_empty();
    let phase = match object.pointer("/metadata/deletionTimestamp") {
        Some(_) => "Terminating",
        None => at(object, "/status/phase"),
    };
    let (capacity, modes) = match is_bound {
        true => (
            at(object, "/status/capacity/storage"),
            access_modes(object, "/status/accessModes"),
        ),
        false => ("", String::new()),
    };
    vec![
        phase.into(),
        at(object, "/spec/volumeName").into(),
        capacity.into(),
        modes.into(),
        at(object, "/spec/storageClassName").into(),
        at_or(object, "/spec/volumeAttributesClassName", UNSET).into(),
        age(object, now),
        at_or(object, "/spec/volumeMode", UNSET).into(),
    ]
}

/// PersistentVolume.
pub(super) fn persistent_volume(object: &Value, now: Timestamp) -> Vec<Value> {
    let claim = match at(object, "/spec/claimRef/name") {
        "" => String::new(),
        name => format!("{}/{name}", at(object, "/spec/claimRef/namespace")),
    };
    let phase = match object.pointer("/metadata/deletionTimestamp") {
        Some(_) => "Terminating",
        None => at(object, "/status/phase"),
    };
    vec![
        at(object, "/spec/capacity/storage").into(),
        access_modes(object, "/spec/accessModes").into(),
        at(object, "/spec/persistentVolumeReclaimPolicy").into(),
        phase.into(),
        claim.into(),
        at(object, "/spec/storageClassName").into(),
        at_or(object, "/spec/volumeAttributesClassName", UNSET).into(),
        at(object, "/status/reason").into(),
        age(object, now),
        at_or(object, "/spec/volumeMode", UNSET).into(),
    ]
}

/// In upstream's short forms and order.
fn access_modes(object: &Value, pointer: &str) -> String {
    const SHORT: [(&str, &str); 4] = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let has = |mode: &str| list(object, pointer).iter().any(|found| found == mode);
    let found = SHORT.iter().filter(|(mode, _)| has(mode));
    found.map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

/// StorageClass.
pub(super) fn storage_class(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        at(object, "/provisioner").into(),
        at_or(object, "/reclaimPolicy", "Delete").into(),
        at_or(object, "/volumeBindingMode", "Immediate").into(),
        is_true(object, "/allowVolumeExpansion").into(),
        age(object, now),
    ]
}

/// Whether claims that name no class get this one.
pub(super) fn is_default_class(object: &Value) -> bool {
    const MARKS: [&str; 2] = [
        "storageclass.kubernetes.io/is-default-class",
        "storageclass.beta.kubernetes.io/is-default-class",
    ];
    MARKS
        .iter()
        .any(|mark| api_meta::object::annotation(object, mark) == Some("true"))
}

/// CSINode.
pub(super) fn csi_node(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![list(object, "/spec/drivers").len().into(), age(object, now)]
}

/// VolumeAttachment.
pub(super) fn volume_attachment(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        at(object, "/spec/attacher").into(),
        at(object, "/spec/source/persistentVolumeName").into(),
        at(object, "/spec/nodeName").into(),
        is_true(object, "/status/attached").into(),
        age(object, now),
    ]
}
