//! Defaults of volumes and of what provides them.

use serde_json::{Map, Value};

use super::{child, default, default_text, made};

/// PersistentVolume.
pub(super) fn persistent_volume(object: &mut Map<String, Value>) {
    if let Some(spec) = made(object, "spec") {
        default_text(spec, "persistentVolumeReclaimPolicy", "Retain");
        default_text(spec, "volumeMode", "Filesystem");
        if let Some(path) = child(spec, "hostPath") {
            default(path, "type", "");
        }
    }
    if let Some(status) = made(object, "status") {
        default_text(status, "phase", "Pending");
    }
}

/// PersistentVolumeClaim.
pub(super) fn persistent_volume_claim(object: &mut Map<String, Value>) {
    if let Some(spec) = made(object, "spec") {
        default_text(spec, "volumeMode", "Filesystem");
    }
    if let Some(status) = made(object, "status") {
        default_text(status, "phase", "Pending");
    }
}

/// `storage.k8s.io/v1` StorageClass.
pub(super) fn storage_class(object: &mut Map<String, Value>) {
    default(object, "reclaimPolicy", "Delete");
    default(object, "volumeBindingMode", "Immediate");
}

/// `storage.k8s.io/v1` CSIDriver.
pub(super) fn csi_driver(object: &mut Map<String, Value>) {
    let Some(spec) = made(object, "spec") else {
        return;
    };
    default(spec, "attachRequired", true);
    default(spec, "podInfoOnMount", false);
    default(spec, "storageCapacity", false);
    default(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    default(
        spec,
        "volumeLifecycleModes",
        serde_json::json!(["Persistent"]),
    );
    default(spec, "requiresRepublish", false);
    default(spec, "seLinuxMount", false);
}
